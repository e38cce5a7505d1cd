package scheduler

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/simulator"
)

// mostCalls is what either side is called in an outage of the other, a second.
const mostCalls = 2.0

// asked is how many requests the simulator has had.
func (w *world) asked() (n int) {
	for _, c := range w.sim.Counts() {
		n += c
	}
	return n
}

// askedOfKubernetes is how many requests the API server has had, less those that
// follow (watches) and those of this test.
func (w *world) askedOfKubernetes() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.writes {
		n += c
	}
	return n
}

// pend is a pod that pends on its node for ever, without a word.
func pend(w *world, p *pod) {
	p.set(func(o *corev1.Pod) { o.Spec.NodeName = "node-1" })
	w.sleep(24*time.Hour, p.kill)
}

// While the API server is away nothing can be made, and Buildkite isn't asked as if
// it could; when it is back the jobs go on at once.
func TestFewCallsWhileTheAPIServerIsAway(t *testing.T) {
	const n, lasts = 100, 2 * time.Minute
	inWorld(t, simulator.Config{}, func(w *world) {
		down := false
		w.onCreate = func(*batchv1.Job) (before, after error) {
			if down {
				return errTorn, nil
			}
			return nil, nil
		}
		w.runs = pend
		w.build(n)
		r := w.start("  max-in-flight: 0\n  template: {inline: {spec: {nodeSelector: {team: '{{env.BUILDKITE_PIPELINE_SLUG}}'}}}}\n")
		w.await("a kjob each", time.Minute, func() bool { return w.created() == n })
		w.mu.Lock()
		down = true
		w.mu.Unlock()
		w.build(n)
		time.Sleep(10 * time.Second)
		before := w.asked()
		for range lasts / time.Second / 10 {
			time.Sleep(10 * time.Second)
			w.build(3) // each is news
		}
		counts := w.sim.Counts()
		if got := float64(w.asked()-before) / lasts.Seconds(); got > mostCalls {
			t.Errorf("Buildkite was called %.1f times a second, want at most %.0f: %v", got, mostCalls, counts)
		}
		w.mu.Lock()
		down = false
		made := len(w.made)
		w.mu.Unlock()
		all := 2*n + 3*int(lasts/time.Second/10)
		took := w.await("the rest's kjobs", 15*time.Second, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.made) == all })
		t.Logf("%d kjobs after the outage, in %s", all-made, took)
		r.end(w)
	})
}

// While Buildkite is away nothing can be told, and Kubernetes isn't asked for words.
func TestFewCallsWhileBuildkiteIsAway(t *testing.T) {
	const n, lasts = 100, 2 * time.Minute
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = pend
		w.build(n)
		r := w.start("  max-in-flight: 0\n", func(o *Options) { o.Lease = &LeaseOptions{Namespace: namespace, Name: "onejob", Identity: "a"} })
		w.await("a kjob each", time.Minute, func() bool { return w.created() == n })
		time.Sleep(time.Minute)
		w.sim.AddFault(simulator.Fault{Endpoint: "*", Status: 503, Until: lasts + 10*time.Second})
		time.Sleep(10 * time.Second)
		before := w.askedOfKubernetes()
		time.Sleep(lasts)
		if got := float64(w.askedOfKubernetes()-before) / lasts.Seconds(); got > mostCalls {
			t.Errorf("Kubernetes was called %.1f times a second, want at most %.0f", got, mostCalls)
		}
		r.end(w)
	})
}
