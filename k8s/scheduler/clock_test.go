package scheduler

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/simulator"
)

// The API server's clock is set by a day while a pod waits, and with a new
// scheduler after that: the pod has its pending timeout, no less and no more.
func TestClockIsSetWhileAPodWaits(t *testing.T) {
	for _, tt := range []struct {
		name     string
		by       time.Duration
		restarts bool
		most     time.Duration // how much longer it may take
	}{
		{"forward", 24 * time.Hour, false, 5 * time.Second},
		{"back", -24 * time.Hour, false, 5 * time.Second},
		{"forward, and the scheduler restarts", 24 * time.Hour, true, 5 * time.Second},
		{"back, and the scheduler restarts", -24 * time.Hour, true, 2*time.Minute + 5*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = pending
				skew := time.Duration(0)
				knows := func(o *Options) { o.Skew = func() time.Duration { return skew } }
				j := w.build(1)[0]
				began := time.Now()
				const timeout = 5 * time.Minute
				r := w.start("  pending-timeout: 5m\n", knows)
				time.Sleep(2 * time.Minute)
				skew = tt.by
				w.podOf(j.ID).set(func(o *corev1.Pod) { o.Spec.NodeName = "node-1" })
				if tt.restarts {
					r.end(w)
					r = w.start("  pending-timeout: 5m\n", knows)
				}
				w.await("finished", timeout+tt.most, w.finished(1))
				if took := time.Since(began); took < timeout || took > timeout+tt.most {
					t.Errorf("finished after %s, want %s", took, timeout)
				}
				r.end(w)
			})
		})
	}
}

func (w *world) podOf(id string) *pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pods["onejob-"+id]
}
