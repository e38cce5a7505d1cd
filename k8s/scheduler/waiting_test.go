package scheduler

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

// A step behind a long one was made with it, and waits only since it could run. A leader
// that finds it on the list knows only scheduled_at.
func TestWaitCountsFromWhenAJobCouldRun(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			if p.start(); w.sleep(40*time.Minute, p.kill) {
				ran(w, p)
			}
		}
		r := w.start("")
		if _, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: a, key: a}, {command: b, depends_on: a}]")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(39 * time.Minute)
		if err := w.sim.SetQueuePaused("default", true); err != nil {
			t.Fatal(err)
		}
		w.await("the second step is listed", 5*time.Minute, func() bool { return r.metric("onejob_queue_jobs")["default"] == 1 })
		time.Sleep(10 * time.Second)
		if s := r.metric("onejob_queue_oldest_wait_seconds")["default"]; s < 9 || s > 20 {
			t.Errorf("it waits for %v s, want 10", s)
		}
		r.end(w)

		r = w.start("")
		time.Sleep(5 * time.Second)
		if s := r.metric("onejob_queue_oldest_wait_seconds")["default"]; s < 40*60 {
			t.Errorf("as a new leader finds it, it waits for %v s, want those since scheduled_at", s)
		}
		if _, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: c, key: c}, {command: d, depends_on: c}]")}); err != nil {
			t.Fatal(err)
		}
		if err := w.sim.SetQueuePaused("default", false); err != nil {
			t.Fatal(err)
		}
		w.await("finished", 3*time.Hour, w.finished(4))
		var m dto.Metric
		if err := r.metrics.phase.WithLabelValues("default", phaseReserved).(prometheus.Metric).Write(&m); err != nil {
			t.Fatal(err)
		}
		if h := m.GetHistogram(); h.GetSampleCount() != 3 || h.GetSampleSum() > 40*60+60 {
			t.Errorf("%d jobs waited %v s for their reservation, want 3, and only the first one long", h.GetSampleCount(), h.GetSampleSum())
		}
		r.end(w)
	})
}

// What isn't listed between two looks at the whole list has waited no longer than that,
// whatever was in between; and a job that comes back waits since its first time.
func TestWaiting(t *testing.T) {
	at := func(s int) time.Time { return time.Date(2026, 1, 2, 3, 0, s, 0, time.UTC) }
	w := waiting{jobs: map[contract.JobID]*waitingJob{}}
	for _, s := range []struct {
		id              contract.JobID
		scheduled, seen int
		whole           bool // all of the list was read
		want            int
		why             string
	}{
		{"a", 1, 10, true, 1, "there at the first look"},
		{"b", 2, 12, true, 10, "came after the first look"},
		{"c", 13, 14, false, 13, "made after the last look"},
		{"d", 2, 50, true, 12, "came while the list couldn't be read"},
		{"b", 2, 52, true, 10, "came back"},
	} {
		if got, _ := w.listed(stacks.Job{ID: s.id, ScheduledAt: at(s.scheduled)}, at(s.seen)); !got.Equal(at(s.want)) {
			t.Errorf("%s: it waits since %s, want %s", s.why, got, at(s.want))
		}
		if s.whole {
			w.readToEnd(at(s.seen))
		}
	}
	w.forget(at(52).Add(2*waitingLife), map[contract.JobID]bool{"d": true})
	if len(w.jobs) != 1 || w.jobs["d"] == nil {
		t.Errorf("%d jobs are remembered, want the one that is on the list", len(w.jobs))
	}
}
