package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

// places are the lines on a job's page about its place in the line.
func (w *world) places(id string) (lines []string) {
	for _, n := range w.job(id).Notifications {
		if strings.HasPrefix(n.Detail, "waiting to be started: ") {
			lines = append(lines, n.Detail)
		}
	}
	return lines
}

// noticesSent counts the calls that had texts for jobs' pages.
func (w *world) noticesSent() (n int) {
	for _, c := range w.sim.Requests() {
		if strings.HasSuffix(c.Path, "/notifications") {
			n++
		}
	}
	return n
}

// A job that waits for a slot is told its place, five times at the most, and only when
// that has changed; explain says it at any time.
func TestPlaceIsTold(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = slowly(0, 0, 2*time.Minute)
		r := w.start("  max-in-flight: 2\n")
		jobs := w.build(20)
		time.Sleep(20 * time.Second)
		for _, j := range jobs {
			if got := w.places(j.ID); len(got) > 0 {
				t.Fatalf("after 20 s a page says %q", got)
			}
		}
		last := jobs[19].ID
		w.await("told", time.Minute, func() bool { return len(w.places(last)) > 0 })
		if got, want := w.places(last), []string{"waiting to be started: 17 jobs ahead, 2 of 2 slots in use"}; !slices.Equal(got, want) {
			t.Errorf("the last one's page says %q, want %q", got, want)
		}
		if s := w.explainLine(last); s != "waiting to be started: 17 jobs ahead, 2 of 2 slots in use" {
			t.Errorf("explain says %q", s)
		}
		w.await("finished", time.Hour, w.finished(20))
		for i, j := range jobs {
			got := w.places(j.ID)
			if len(got) > maxAheads || len(slices.Compact(slices.Clone(got))) != len(got) || i < 2 && len(got) > 0 {
				t.Errorf("job %d: the page says %q", i, got)
			}
		}
		if got := w.places(last); len(got) < 3 {
			t.Errorf("the last one was told of %q only", got)
		}
		r.end(w)
	})
}

// Jobs that wait for something else than a slot are told nothing of a line.
func TestNoPlaceWithoutALine(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = slowly(0, 0, time.Minute)
		r := w.start("  max-in-flight: 0\n")
		jobs := w.build(50)
		time.Sleep(2 * time.Minute)
		for _, j := range jobs {
			if got := w.places(j.ID); len(got) > 0 {
				t.Errorf("a page says %q", got)
			}
		}
		r.end(w)
	})
}

// Thousands that wait are told at a pace, and one call has many of them.
func TestPlacesOfThousands(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = slowly(0, 0, time.Hour)
		r := w.start("  max-in-flight: 1\n")
		const n = 1200
		w.build(n)
		time.Sleep(2 * time.Minute)
		told, calls := 0, w.noticesSent()
		for _, j := range w.sim.Jobs() {
			told += len(w.places(j.ID))
		}
		if told < n-1 || told > 3*n || calls > 40 {
			t.Errorf("%d texts came in %d calls for %d jobs", told, calls, n)
		}
		r.end(w)
	})
}

// These texts go in calls of their own, and to no job for a while after Buildkite has refused
// three alone and taken none: that it takes any for a job that nobody has reserved is guessed,
// and texts that matter mustn't wait for that. A call that is refused may be for one of its
// texts, so it is halved until one is alone; a call without an answer isn't.
func TestPlacesThatAreRefused(t *testing.T) {
	const place = "slots in use"
	const halving = 30 // three times down to a single one of 60
	for name, tt := range map[string]struct {
		fault simulator.Fault
		most  int
	}{
		"refused": {simulator.Fault{Status: 422}, halving}, "not found": {simulator.Fault{Status: 404}, halving}, "fails": {simulator.Fault{Status: 500}, halving},
		"forbidden": {simulator.Fault{Status: 403}, halving}, "blocked by a proxy": {simulator.Fault{Status: 403, Body: "<html>blocked"}, halving},
		"away": {simulator.Fault{Status: 503}, aheadTries}, "hung up on": {simulator.Fault{Reset: "before"}, aheadTries},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				tt.fault.Endpoint, tt.fault.Contains = "stacks_notify", place
				w.sim.AddFault(tt.fault)
				w.runs = slowly(0, 0, time.Hour)
				r := w.start("  max-in-flight: 1\n")
				w.build(60)
				time.Sleep(3 * time.Minute)
				calls := w.noticesSent()
				if dropped := r.metric("onejob_notifications_dropped_total")["default"]; calls == 0 || calls > tt.most || dropped > 0 {
					t.Errorf("%d calls, want %d; %v texts count as dropped", calls, tt.most, dropped)
				}
				r.end(w)
			})
		})
	}
}

// After a while one text is tried again, and if that is taken, all are.
func TestPlacesAreTriedAgain(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_notify", Contains: "slots in use", Status: 422, Until: aheadRest + time.Minute})
		w.runs = slowly(0, 0, 70*time.Second) // so that places change
		r := w.start("  max-in-flight: 1\n")
		time.Sleep(time.Second)
		jobs := w.build(30)
		last := jobs[29].ID
		time.Sleep(aheadRest)
		before := w.noticesSent()
		time.Sleep(time.Minute)
		if n := w.noticesSent() - before; before > 30 || n > 10 {
			t.Errorf("%d calls, and %d for one more try", before, n)
		}
		w.await("told", aheadRest+2*time.Minute, func() bool { return len(w.places(last)) > 0 })
		r.end(w)
	})
}

// One text that Buildkite can't take holds up no other: it is dropped alone, and counted.
func TestPlaceThatCantBeTaken(t *testing.T) {
	for name, fault := range map[string]simulator.Fault{
		"refused": {Status: 422}, "not found": {Status: 404}, "a NUL, as it were": {Status: 500}, "forbidden": {Status: 403}, "blocked by a proxy": {Status: 403, Body: "<html>blocked"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = slowly(0, 0, time.Hour)
				r := w.start("  max-in-flight: 1\n")
				time.Sleep(time.Second)
				jobs := w.build(40)
				bad := jobs[20:24]
				for _, j := range bad {
					one := fault
					one.Endpoint, one.Contains = "stacks_notify", j.ID
					w.sim.AddFault(one)
				}
				told := func() (n int) {
					for _, j := range jobs {
						if len(w.places(j.ID)) > 0 {
							n++
						}
					}
					return n
				}
				w.await("the others are told", 3*time.Minute, func() bool { return told() >= len(jobs)-1-len(bad) })
				w.await("those are counted", time.Minute, func() bool { return r.metric("onejob_notifications_dropped_total")["default"] == float64(len(bad)) })
				if n, calls := told(), w.noticesSent(); n != len(jobs)-1-len(bad) || calls > 30 {
					t.Errorf("%d are told in %d calls", n, calls)
				}
				r.end(w)
			})
		})
	}
}

// Buildkite may take no text for a job that nobody has reserved, and then names each by its
// index in a call that went well. A few are tried, and explain says it all the same.
func TestPlacesOfUnreservedJobs(t *testing.T) {
	for _, side := range []assumptions.NotifyUnreserved{assumptions.NotifyUnreservedTaken, assumptions.NotifyUnreservedRefused} {
		for _, n := range []int{3, 8} {
			t.Run(fmt.Sprint(side, ", ", n), func(t *testing.T) {
				inWorld(t, simulator.Config{Profile: assumptions.Profile{NotifyUnreserved: side}}, func(w *world) {
					w.runs = slowly(0, 0, 2*time.Minute)
					r := w.start("  max-in-flight: 2\n")
					jobs := w.build(n)
					last := jobs[n-1].ID
					time.Sleep(90 * time.Second)
					if s := w.explainLine(last); !strings.HasPrefix(s, "waiting to be started: ") {
						t.Errorf("explain says %q", s)
					}
					w.await("finished", 2*time.Hour, w.finished(n))
					taken := side == assumptions.NotifyUnreservedTaken
					if got := w.places(last); (len(got) > 0) != taken {
						t.Errorf("the last one's page says %q", got)
					}
					if calls := w.noticesSent(); !taken && calls > aheadTries || taken && calls == 0 {
						t.Errorf("%d calls", calls)
					}
					if dropped := r.metric("onejob_notifications_dropped_total")["default"]; dropped > 0 {
						t.Errorf("%v texts count as dropped", dropped)
					}
					r.end(w)
				})
			})
		}
	}
}

// A job whose tags no queue has: where its page takes no text the Event has it, and nobody
// tries for ever.
func TestUnmatchedWhereNoTextIsTaken(t *testing.T) {
	for _, side := range []assumptions.NotifyUnreserved{assumptions.NotifyUnreservedTaken, assumptions.NotifyUnreservedRefused} {
		t.Run(string(side), func(t *testing.T) {
			inWorld(t, simulator.Config{Profile: assumptions.Profile{NotifyUnreserved: side}}, func(w *world) {
				r := w.start("  tags: [os=linux, resource_class=small]\n")
				ids := w.buildOf(tagsNobodyHas)
				w.await("Events", 5*time.Minute, func() bool { return w.eventsSaying(events.Unmatched, noQueueTakes) == len(ids) })
				time.Sleep(20 * time.Minute)
				if got := w.page(ids[0]); (len(got) == 1) != (side == assumptions.NotifyUnreservedTaken) || len(got) > 1 {
					t.Errorf("the page says %q", got)
				}
				if calls := w.noticesSent(); calls > 2*len(ids) {
					t.Errorf("%d calls for %d texts", calls, len(ids))
				}
				if s := w.explain(ids[0], false); !strings.Contains(s.Now, "lacks the tag resource_class=large") {
					t.Errorf("explain says %q", s.Now)
				}
				r.end(w)
			})
		})
	}
}

// One job's page may be full. That says nothing of the others, which are told on.
func TestPlaceThatIsRefusedAlone(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = slowly(0, 0, time.Hour)
		r := w.start("  max-in-flight: 1\n")
		time.Sleep(5 * time.Second) // the stack is registered
		jobs := w.build(20)
		full := make([]stacks.Notification, 100)
		for i := range full {
			full[i] = stacks.Notification{JobID: contract.JobID(jobs[19].ID), Detail: "there is no room for more"}
		}
		if _, err := w.client().Notify(w.ctx, full); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		for i, j := range jobs[2:19] {
			if got := w.places(j.ID); len(got) != 2 { // the first place, and the one when it has changed
				t.Errorf("the page of job %d says %q, want two texts", i+2, got)
			}
		}
		r.end(w)
	})
}

// explainLine is what explain says of a job that waits.
func (w *world) explainLine(id string) string {
	w.Helper()
	s := w.explain(id, true)
	s.AskLine(w.ctx, w.kube, w.client(), configuredQueue(w.T, "  max-in-flight: 2\n"))
	return s.Now
}
