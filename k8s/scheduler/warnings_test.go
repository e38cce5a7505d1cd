package scheduler

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/simulator"
)

// The Events of a kjob without a pod are read now and then, and once more before
// its job is finished for that: their words are all that its reader gets.
func TestLastWordsAreNew(t *testing.T) {
	const id = contract.SampleJobID
	for _, tt := range []struct {
		action decide.Action
		read   time.Duration // ago
		want   bool
	}{
		{decide.None, decide.WarningsEvery / 2, false},
		{decide.None, 2 * decide.WarningsEvery, true},
		{decide.Finish, decide.WarningsEvery / 2, true},
		{decide.Finish, decide.StateFresh / 2, false},
	} {
		q := newQueue(New(Options{}), &settings{Queue: config.Queue{Name: "default"}}, &cache.Store{Connection: cache.NewConnection(slog.New(slog.DiscardHandler), &kube.Breaker{})}, nil, nil)
		now := time.Now()
		f := decide.Facts{Now: now, KJob: decide.KJob{Exists: true, CreatedAt: now.Add(-time.Hour)}, Heard: decide.Heard{EventsAt: now.Add(-tt.read)}}
		q.claims.state(id).Hear("", f.Heard)
		if got := q.wantsWarnings(id, decide.Decision{Action: tt.action, Reason: decide.ReasonNoPod}, f); got != tt.want {
			t.Errorf("%s, read %s ago: reads again: %t, want %t", tt.action, tt.read, got, tt.want)
		}
		q.work.ShutDown()
	}
}

// Reading once more what was read before leaves room for what never was.
func TestFirstReadsComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEventReads()
		again, first := 0, 0
		for range 600 {
			for range 10 {
				if r.may(false, true) {
					again++
				}
			}
			if time.Sleep(100 * time.Millisecond); r.may(false, false) {
				first++
			}
		}
		if first < 60*warningsPerSecond/2 || again+first > 60*warningsPerSecond+warningsPerSecond {
			t.Errorf("in a minute %d were read again, and %d for the first time", again, first)
		}
	})
}

// stoppedInAMinute is a pod whose runner Kubernetes tells to stop while its job runs, and that
// ends in good order, after then.
func stoppedInAMinute(w *world, p *pod, then func()) {
	p.start()
	a, err := w.acquire(p.id)
	if err != nil {
		w.Error(err)
		return
	}
	w.sleep(time.Minute, p.kill)
	a.finish(-1)
	then()
	status := -1
	p.end(0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &status, SignalReason: "agent_stop", Received: "SIGTERM"})
}

// A kubelet that is busy tells of an eviction after the pod has ended in good order, which
// then doesn't say why itself.
func TestEventOfAnEvictionIsLate(t *testing.T) {
	for _, tt := range []struct {
		late time.Duration
		want bool
	}{{0, true}, {12 * time.Second, true}, {45 * time.Second, true}, {2 * time.Hour, false}} {
		inWorld(t, simulator.Config{}, func(w *world) {
			w.runs = func(w *world, p *pod) {
				stoppedInAMinute(w, p, func() {})
				if w.sleep(tt.late, p.kill); tt.want {
					w.said(time.Now(), "Pod", p.kjob+"-x", "kubelet", "Warning", "Evicted", "Usage of EmptyDir volume exceeds the limit")
				}
			}
			id := w.build(1)[0].ID
			r := w.start("")
			w.await("finished", 3*time.Minute, w.finished(1))
			before := w.eventReads()
			time.Sleep(10 * time.Minute)
			if page := strings.Join(w.page(id), "\n"); strings.Contains(page, "Evicted, Usage of EmptyDir") != tt.want {
				t.Errorf("%s late: the page says:\n%s", tt.late, page)
			}
			if n := w.eventReads() - before; n > 8 {
				t.Errorf("%s late: Events were read %d times", tt.late, n)
			}
			r.end(w)
		})
	}
}

func (w *world) eventReads() (n int) {
	for _, a := range w.kube.Actions() {
		if a.Matches("list", "events") {
			n++
		}
	}
	return n
}
