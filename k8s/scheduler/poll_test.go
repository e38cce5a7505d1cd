package scheduler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/simulator"
)

// buildWith schedules n jobs that ask for a tag.
func (w *world) buildWith(tag string, n int) []string {
	w.Helper()
	b, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: fmt.Appendf(nil, "steps: [{command: make, parallelism: %d, agents: [%q]}]", n, tag)})
	if err != nil {
		w.Fatal(err)
	}
	return b.JobIDs
}

// A queue takes the jobs whose tags it has, promptly however many others are
// listed before them, and counts those.
func TestTags(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		var others []string
		for range 2 {
			others = append(others, w.buildWith("os=plan9", 1000)...)
		}
		r := w.start("  tags: [os=linux, arch=arm64]\n")
		time.Sleep(5 * time.Second)
		for range 5 {
			ids := w.buildWith("arch=arm64", 2)
			w.await("their kjobs", 2*time.Second, func() bool { return w.kjobs(ids[0])+w.kjobs(ids[1]) == 2 })
			time.Sleep(1234 * time.Millisecond)
		}
		w.await("finished", time.Minute, w.finished(10))
		time.Sleep(2 * time.Second)
		for _, name := range []string{"onejob_queue_unmatched_jobs", "onejob_queue_jobs"} {
			if d := cmp.Diff(map[string]float64{"default": 2000}, r.metric(name)); d != "" {
				t.Errorf("%s (-want +got):\n%s", name, d)
			}
		}
		if slices.ContainsFunc(others, func(id string) bool { return w.kjobs(id) > 0 }) {
			t.Error("there are kjobs of jobs whose tag the queue hasn't")
		}
		r.end(w)
	})
}

// A queue that is quiet for a minute is asked at the interval that was set, and
// no two schedulers beat in step.
func TestIdleInterval(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r := w.start("", func(o *Options) {
			o.Load = func() (*config.Config, error) {
				return config.Parse([]byte("endpoint: http://buildkite.test/v3\nidle-interval: 5s\nqueues:\n- name: default\n"), namespace)
			}
		})
		time.Sleep(2 * time.Minute)
		began := time.Now()
		time.Sleep(5 * time.Minute)
		var gaps []time.Duration
		last := time.Time{}
		for _, q := range w.sim.Requests() {
			if q.Endpoint != "stacks_list" || q.Time.Before(began) {
				continue
			}
			if !last.IsZero() {
				gaps = append(gaps, q.Time.Sub(last).Round(time.Millisecond))
			}
			last = q.Time
		}
		if n := len(gaps); n < 55 || n > 65 {
			t.Fatalf("%d looks in five quiet minutes, want one each five seconds", n)
		}
		slices.Sort(gaps)
		least, most := gaps[0], gaps[len(gaps)-1]
		if kinds := len(slices.Compact(gaps)); least < 4500*time.Millisecond || most > 5500*time.Millisecond || kinds < 30 {
			t.Errorf("from %s to %s, %d different ones; want a tenth more or less", least, most, kinds)
		}
		r.end(w)
	})
}

// Of jobs that are as urgent, the one that was made first is the next, though it could
// run later: Buildkite has the older build go first.
func TestOldestFirst(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		b, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: make}, wait, {command: make}]")})
		if err != nil {
			t.Fatal(err)
		}
		r := w.start("  max-in-flight: 1\n")
		time.Sleep(time.Second)
		want := []string{b.JobIDs[0], b.JobIDs[1], w.build(1)[0].ID}
		w.await("all", time.Minute, w.finished(3))
		got := slices.Clone(want)
		w.mu.Lock()
		slices.SortFunc(got, func(a, b string) int { return w.made["onejob-"+a].Compare(w.made["onejob-"+b]) })
		w.mu.Unlock()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("in this order (-want +got):\n%s", d)
		}
		r.end(w)
	})
}

// The more urgent goes first, then the older, and of one upload the one that stands in front.
func TestOrderOfJobs(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		var want, low, high []string
		for range 2 { // two builds, each of many jobs that were made at one time
			b, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: make, parallelism: 8}, {command: make, priority: 2, parallelism: 4}]")})
			if err != nil {
				t.Fatal(err)
			}
			low, high = append(low, b.JobIDs[:8]...), append(high, b.JobIDs[8:]...)
			time.Sleep(time.Second)
		}
		want = append(high, low...)
		r := w.start("  max-in-flight: 1\n")
		w.await("all", 5*time.Minute, w.finished(len(want)))
		got := slices.Clone(want)
		w.mu.Lock()
		slices.SortFunc(got, func(a, b string) int { return w.made["onejob-"+a].Compare(w.made["onejob-"+b]) })
		w.mu.Unlock()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("in this order (-want +got):\n%s", d)
		}
		r.end(w)
	})
}

// A poll or two that are refused, by a proxy as it may be, stop no queue whose token
// Buildkite accepts; all of them do.
func TestPollThatIsRefused(t *testing.T) {
	for _, endpoint := range []string{"stacks_list", "stacks_reserve"} {
		inWorld(t, simulator.Config{}, func(w *world) {
			r := w.start("")
			time.Sleep(2 * time.Minute)
			w.sim.AddFault(simulator.Fault{Endpoint: endpoint, Status: 403, Times: 2})
			w.build(3)
			w.await("finished", 15*time.Second, w.finished(3))
			if n := w.eventsOf("default"); len(n) > 0 {
				t.Errorf("%s: Events %q", endpoint, n)
			}
			w.sim.AddFault(simulator.Fault{Endpoint: endpoint, Status: 403, Until: 10 * time.Minute})
			w.build(1)
			w.await("stopped", time.Minute, func() bool { return len(r.unready()) == 1 })
			w.await("finished", 11*time.Minute, w.finished(4))
			r.end(w)
		})
	}
}
