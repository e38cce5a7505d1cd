package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
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

// A stack that may finish only what it has reserved reserves a job first that it has to
// end: while its pod is pending, and when its last attempt is over.
func TestFinishAfterTheReservation(t *testing.T) {
	stopped := func(_ *world, p *pod) { p.end(143, "Error", &contract.Message{Outcome: contract.OutcomeStopped}) }
	for _, side := range []assumptions.StackFinishUnreserved{assumptions.StackFinishUnreservedTaken, assumptions.StackFinishUnreservedRefused} {
		for name, runs := range map[string]func(*world, *pod){"pending": pending, "stopped": stopped} {
			t.Run(fmt.Sprint(name, ", ", side), func(t *testing.T) {
				inWorld(t, simulator.Config{Profile: assumptions.Profile{StackFinishUnreserved: side}}, func(w *world) {
					w.runs = runs
					id := w.build(1)[0].ID
					w.attempt(id, 1) // nobody has it reserved
					w.cancel(id)
					time.Sleep(10 * time.Second)
					r := w.start("")
					w.await("ended", time.Minute, func() bool { return w.job(id).StackFinish != nil })
					if n := w.kjobs(id); n != 1 {
						t.Errorf("%d kjobs, want one", n)
					}
					r.end(w)
				})
			})
		}
	}
}

// A pod that is refused a job which is offered all the while, as its queue was paused,
// isn't the last: Buildkite lists the job, as it had said before.
func TestRefusedWhileOffered(t *testing.T) {
	for _, side := range []assumptions.AcquirePaused{assumptions.AcquirePausedGranted, assumptions.AcquirePausedRefused} {
		inWorld(t, simulator.Config{Profile: assumptions.Profile{AcquirePaused: side}}, func(w *world) {
			w.runs = func(w *world, p *pod) {
				if p.attempt == 1 { // it has a node late
					w.sleep(30*time.Second, p.kill)
				}
				ran(w, p)
			}
			r := w.start("")
			id := w.build(1)[0].ID
			time.Sleep(20 * time.Second)
			if err := w.sim.SetQueuePaused("default", true); err != nil {
				t.Fatal(err)
			}
			if err := w.sim.LapseReservation(id); err != nil {
				t.Fatal(err)
			}
			w.sim.AddFault(simulator.Fault{Endpoint: "stacks_reserve", Status: 503})
			time.Sleep(40 * time.Second)
			w.sim.ClearFaults()
			if err := w.sim.SetQueuePaused("default", false); err != nil {
				t.Fatal(err)
			}
			w.await("finished", 2*time.Minute, w.finished(1))
			want := map[assumptions.AcquirePaused]int{assumptions.AcquirePausedGranted: 1, assumptions.AcquirePausedRefused: 2}[side]
			if n := w.kjobs(id); n != want {
				t.Errorf("%s: %d kjobs, want %d", side, n, want)
			}
			r.end(w)
		})
	}
}
