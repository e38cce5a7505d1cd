package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

// othersFor has another stack take a job from our pod that waits, for so long.
func othersFor(w *world, id string, d time.Duration) {
	w.await("a kjob", time.Minute, func() bool { return w.kjobs(id) == 1 })
	const token = simulator.DefaultAgentToken
	w.call("POST", "stacks/register", token, map[string]any{"key": "other", "type": "custom", "queue_key": "default", "metadata": map[string]string{}})
	if err := w.sim.LapseReservation(id); err != nil {
		w.Fatal(err)
	}
	if code, _ := w.call("PUT", "stacks/other/scheduled-jobs/batch-reserve", token, map[string]any{"job_uuids": []string{id}, "reservation_expiry_seconds": int(d.Seconds())}); code != 200 {
		w.Fatalf("the other stack's reservation: %d", code)
	}
}

// A job that another stack had for a while, and gave back, is ended with its own text: no
// finish of it was sent before, so Buildkite has refused no text.
func TestFinishOfAJobThatAnotherStackGaveBack(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = pending
		id := w.build(1)[0].ID
		r := w.start(soonPending)
		othersFor(w, id, 5*time.Minute)
		time.Sleep(4 * time.Minute)
		if n := w.sim.Count("stacks_finish"); n > 0 || w.job(id).State.Terminal() {
			t.Errorf("%d finishes were sent for the other stack's job, which is %s", n, w.job(id).State)
		}
		w.await("ended", 10*time.Minute, w.finished(1))
		if f := w.job(id).StackFinish; f == nil || !strings.Contains(f.Detail, "did not start within 30s") {
			t.Errorf("finished with %+v; want why the pod did not start", f)
		}
		r.end(w)
	})
}

// While nobody can say whose a job is, it isn't finished.
func TestFinishWaitsForTheReservation(t *testing.T) {
	for _, f := range []simulator.Fault{{Status: 503}, {Status: 500}, {Reset: "before"}, {Garbage: "before"}} {
		inWorld(t, simulator.Config{}, func(w *world) {
			w.runs = pending
			id := w.build(1)[0].ID
			r := w.start(soonPending)
			othersFor(w, id, 5*time.Minute)
			// The renewals, for longer, go through.
			f.Endpoint, f.Contains, f.Until = "stacks_reserve", fmt.Sprintf(`seconds":%.0f`, reserveFor.Seconds()), 3*time.Minute
			w.sim.AddFault(f)
			time.Sleep(4 * time.Minute)
			if n := w.sim.Count("stacks_finish"); n > 0 || w.job(id).State.Terminal() {
				t.Errorf("%+v: %d finishes were sent for the other stack's job, which is %s", f, n, w.job(id).State)
			}
			w.await("ended", 10*time.Minute, w.finished(1))
			r.end(w)
		})
	}
}
