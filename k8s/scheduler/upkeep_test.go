package scheduler

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/simulator"
)

// A Buildkite that takes longer to tell a state than a state is believed: what
// is to be decided on it is decided all the same.
func TestStatesComeSlowly(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = pending
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_states", Delay: decide.StateFresh + 2*time.Second})
		jobs := w.build(2)
		r := w.start("  pending-timeout: 2m\n")
		time.Sleep(20 * time.Second)
		w.mu.Lock()
		p := w.pods["onejob-"+jobs[0].ID]
		w.mu.Unlock()
		p.setKjob(func(k *batchv1.Job) { k.Annotations[contract.AnnotationCancel] = "ada" })
		w.await("the one that is cancelled", time.Minute, w.finished(1))
		w.await("the one that is pending", 3*time.Minute, w.finished(2))
		for i, want := range []string{"cancelled in Kubernetes by ada", "did not start within 2m0s"} {
			if f := w.job(jobs[i].ID).StackFinish; f == nil || !strings.Contains(f.Detail, want) {
				t.Errorf("finish %+v, want %q", f, want)
			}
		}
		r.end(w)
	})
}
