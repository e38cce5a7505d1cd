package scheduler

import (
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/simulator"
)

// refuses is a pod whose token is refused, as long as there are fewer than most
// of them; those after it do as next says.
func refuses(most int, next func(*world, *pod)) func(*world, *pod) {
	n := 0
	return func(w *world, p *pod) {
		w.mu.Lock()
		n++
		bad := n <= most
		w.mu.Unlock()
		if !bad {
			next(w, p)
			return
		}
		p.start()
		p.end(contract.ExitRefused, "Error", &contract.Message{Outcome: contract.OutcomeRefused, Reason: "401"})
	}
}

// The pods' token is refused, which is said once, and then mended: the first
// that gets through ends the probes, however long its job takes.
func TestProbesEndWithTheFirstThatGetsThrough(t *testing.T) {
	inWorld(t, simulator.Config{HeartbeatTimeout: time.Hour}, func(w *world) {
		w.runs = refuses(maxRefusals, func(w *world, p *pod) {
			w.sleep(5*time.Second, p.kill)
			working(w, p)
		})
		w.build(maxRefusals)
		r := w.start("")
		time.Sleep(2 * time.Second)
		w.build(40)
		running := func(n int) func() bool {
			return func() bool { return w.sim.JobsIn()[simulator.StateRunning] >= n }
		}
		w.await("one runs", time.Minute, running(1))
		w.await("all run", 15*time.Second, running(40))
		events, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-queue-default")
		if err != nil || len(events) != 1 || events[0].Reason != "TokenRefused" {
			t.Errorf("the Events %+v, %v; want one, TokenRefused", events, err)
		}
		r.end(w)
	})
}

// A job can write its runner's message and kill it. That the token is refused is
// not believed while the job is held: its runner had it, with a good token.
func TestForgedRefusalsCountForNothing(t *testing.T) {
	inWorld(t, simulator.Config{HeartbeatTimeout: time.Hour}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			p.start()
			a, err := w.acquire(p.id)
			if err != nil {
				t.Error(err)
				return
			}
			w.sleep(5*time.Second, p.kill)
			p.end(contract.ExitRefused, "Error", &contract.Message{Outcome: contract.OutcomeRefused, Reason: "forged"})
			w.sleep(20*time.Second, p.kill)
			a.finish(-1) // Buildkite's share, when its agent is silent
		}
		w.build(maxRefusals)
		r := w.start("")
		time.Sleep(time.Second)
		r.mu.Lock()
		q := r.queues["default"]
		r.mu.Unlock()
		refusals := func() int { q.standing.mu.Lock(); defer q.standing.mu.Unlock(); return q.standing.refusals }
		for range 30 {
			time.Sleep(time.Second)
			if n := refusals(); n != 0 {
				t.Fatalf("%d refusals are believed", n)
			}
		}
		if events, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-queue-default"); err != nil || len(events) > 0 {
			t.Errorf("the Events %+v, %v; want none", events, err)
		}
		r.end(w)
	})
}

// Probes that can't start leave room for others, if slowly.
func TestProbesThatWaitForANode(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = refuses(maxRefusals, pending)
		r := w.start("  max-in-flight: 3\n  pending-timeout: 1h\n")
		for range maxRefusals {
			w.build(1)
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		w.build(20)
		time.Sleep(probeFor / 2)
		made := func() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.made) - maxRefusals }
		for _, want := range []int{1, 2, 3, 3} {
			if n := made(); n != want {
				t.Errorf("%d probes, want %d", n, want)
			}
			time.Sleep(probeFor)
		}
		r.end(w)
	})
}
