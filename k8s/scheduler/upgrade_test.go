package scheduler

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// An upgrade from a release in which all installations' stacks had one key, at a moment when
// that release has jobs in each place: with a pod that runs, with one that pends, with one
// that was stopped before it had the job, reserved a moment ago without a Kubernetes Job
// (it died in between), and not reserved yet. Each is run once, with the one Kubernetes Job
// that it needs, and none waits longer than the old reservation lasts.
func TestUpgradeFromOldKey(t *testing.T) {
	for _, reserved := range []time.Duration{20 * time.Second, time.Minute} { // reserveFor, renewLong
		t.Run(fmt.Sprint(reserved), func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				const each = 3
				places := map[string][]simulator.Job{}
				var at sync.Map // the place of a job, by its ID
				place := func(name string) {
					places[name] = w.build(each)
					for _, j := range places[name] {
						at.Store(j.ID, name)
					}
				}
				w.runs = func(w *world, p *pod) {
					switch name, _ := at.Load(p.id.String()); {
					case name == "runs":
						for20s(w, p)
					case name == "pends":
						w.sleep(40*time.Second, p.kill)
						ran(w, p)
					case name == "was stopped" && p.attempt == 1:
						w.sleep(6*time.Second, p.kill) // when the old release is gone
						p.end(143, "Error", &contract.Message{Outcome: contract.OutcomeStopped})
					default:
						ran(w, p)
					}
				}
				for _, name := range []string{"runs", "pends", "was stopped"} {
					place(name)
				}
				r := w.start("")
				w.await("Kubernetes Jobs", 10*time.Second, func() bool { return w.created() == 3*each })
				time.Sleep(2 * time.Second)
				r.end(w)

				place("is reserved")
				var ids []string
				for _, j := range places["is reserved"] {
					ids = append(ids, j.ID)
				}
				if code, got := w.call("PUT", "stacks/onejob-default/scheduled-jobs/batch-reserve", simulator.DefaultAgentToken,
					map[string]any{"job_uuids": ids, "reservation_expiry_seconds": reserved.Seconds()}); code != 200 {
					t.Fatalf("reserving: %d %v", code, got)
				}
				place("is scheduled")
				r = w.start("", installed("builds.onejob", "uid-1"))
				took := w.await("finished", 5*time.Minute, w.finished(5*each))
				for name, jobs := range places {
					for _, j := range jobs {
						want := 1
						if name == "was stopped" {
							want = 2 // it never had the job
						}
						if got := w.job(j.ID); got.ExitStatus != "0" || w.kjobs(j.ID) != want {
							t.Errorf("a job that %s ended with %q and %d Kubernetes Jobs: %q", name, got.ExitStatus, w.kjobs(j.ID), w.page(j.ID))
						}
					}
				}
				if most := 90 * time.Second; took > most {
					t.Errorf("all were done after %s, want %s", took, most)
				}
				r.end(w)
			})
		})
	}
}
