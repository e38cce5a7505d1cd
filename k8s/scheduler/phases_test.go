package scheduler

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

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
