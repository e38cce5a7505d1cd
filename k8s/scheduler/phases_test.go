package scheduler

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// Each phase of an attempt is observed once, however often its end is looked at,
// and by no leader after that of its time.
func TestPhasesAreObservedOnce(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.build(20)
		for _, want := range []uint64{20, 0} {
			r := w.start("")
			w.await("finished", time.Minute, w.finished(20))
			time.Sleep(time.Minute)
			for _, phase := range []string{phaseReserved, phaseCreated, phaseScheduled, phaseStarted} {
				var m dto.Metric
				if err := r.metrics.phase.WithLabelValues("default", phase).(prometheus.Metric).Write(&m); err != nil {
					t.Fatal(err)
				}
				if n := m.GetHistogram().GetSampleCount(); n != want {
					t.Errorf("%s: %d observations, want %d", phase, n, want)
				}
			}
			r.end(w)
		}
	})
}

// The phases of a job that runs for long are observed when they happen, not when it ends
// or its page is forgotten meanwhile, and by no leader after that of their time.
func TestPhasesAreObservedInTime(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			p.start()
			a, err := w.acquire(p.id)
			if err != nil {
				t.Error(err)
				return
			}
			if w.sleep(4*time.Hour, p.kill) {
				a.finish(0)
				p.end(0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: new(int)})
			}
		}
		w.build(3)
		r := w.start("")
		want := func(when string, want uint64) {
			t.Helper()
			for _, phase := range []string{phaseScheduled, phaseStarted} {
				var m dto.Metric
				if err := r.metrics.phase.WithLabelValues("default", phase).(prometheus.Metric).Write(&m); err != nil {
					t.Fatal(err)
				}
				if n := m.GetHistogram().GetSampleCount(); n != want {
					t.Errorf("%s, %s: %d observations, want %d", when, phase, n, want)
				}
			}
		}
		time.Sleep(time.Minute)
		want("after a minute", 3)
		time.Sleep(2 * time.Hour)
		want("after two hours", 3)
		r.end(w)
		r = w.start("")
		time.Sleep(time.Minute)
		want("the next leader", 0)
		w.await("finished", 3*time.Hour, w.finished(3))
		time.Sleep(time.Minute)
		want("the next leader, at the end", 0)
		r.end(w)
	})
}
