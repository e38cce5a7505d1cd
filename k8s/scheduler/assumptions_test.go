package scheduler

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/simulator"
)

// Under each answer to what nobody can know of Buildkite, jobs run once, one whose pod is
// lost before it had its job runs in the next, and one that can't run is ended with the
// reason.
func TestUnderEachProfile(t *testing.T) {
	profiles := map[string]assumptions.Profile{"opposite": assumptions.Shipped().Opposite()}
	for _, a := range assumptions.All {
		for _, s := range a.Sides {
			profiles[a.Name+"="+s.Name] = assumptions.Shipped().With(a.Name, s.Name)
		}
	}
	for seed := range uint64(20) {
		p := assumptions.Random(rand.New(rand.NewPCG(seed, 1)))
		profiles[p.String()] = p
	}
	for name, profile := range profiles {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{Profile: profile}, func(w *world) {
				jobs := w.build(4)
				w.runs = func(w *world, p *pod) {
					switch string(p.id) {
					case jobs[2].ID:
						if p.attempt == 1 {
							p.start()
							p.end(137, "OOMKilled", nil)
							return
						}
					case jobs[3].ID:
						pending(w, p)
						return
					}
					ran(w, p)
				}
				r := w.start("  pending-timeout: 30s\n")
				w.await("finished", 5*time.Minute, w.finished(4))
				time.Sleep(2 * time.Minute)
				for i, kjobs := range []int{1, 1, 2} {
					if j := w.job(jobs[i].ID); j.ExitStatus != "0" || w.kjobs(j.ID) != kjobs {
						t.Errorf("job %d ended with %q after %d kjobs, want 0 after %d", i, j.ExitStatus, w.kjobs(j.ID), kjobs)
					}
				}
				if page := w.page(jobs[0].ID); len(page) != 0 {
					t.Errorf("the page of a job that ran says %q", page)
				}
				if j := w.job(jobs[3].ID); j.StackFinish == nil || j.StackFinish.Detail == "" {
					t.Errorf("the job that can't run: %+v", j)
				}
				r.end(w)
			})
		})
	}
}

// A stack that may finish only what it has reserved reserves a job again whose reservation
// has lapsed, and ends it then.
func TestFinishAfterTheReservation(t *testing.T) {
	for _, side := range []assumptions.StackFinishUnreserved{assumptions.StackFinishUnreservedTaken, assumptions.StackFinishUnreservedRefused} {
		inWorld(t, simulator.Config{Profile: assumptions.Profile{StackFinishUnreserved: side}}, func(w *world) {
			w.runs = pending
			r := w.start("")
			id := w.build(1)[0].ID
			time.Sleep(20 * time.Second)
			if err := w.sim.LapseReservation(id); err != nil {
				t.Fatal(err)
			}
			w.cancel(id)
			w.await("ended", time.Minute, func() bool { return w.job(id).StackFinish != nil })
			r.end(w)
		})
	}
}
