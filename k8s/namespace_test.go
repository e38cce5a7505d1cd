package k8s

import (
	"errors"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/onejob-dev/onejob/simulator"
)

// A namespace where we may create nothing gets one probe at a time, and the
// queue stays stopped until one of them is let in.
func TestNamespaceThatTakesNoKjobs(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		refuses := true
		w.onCreate = func(k *batchv1.Job) (error, error) {
			if !refuses {
				return nil, nil
			}
			return apierrors.NewForbidden(batchv1.Resource("jobs"), k.Name, errors.New(`User "x" cannot create resource "jobs" in API group "batch"`)), nil
		}
		w.build(500)
		r := w.start("  max-in-flight: 0\n")
		time.Sleep(10 * time.Second)
		w.mu.Lock()
		first := w.creates
		w.mu.Unlock()
		ready := 0
		for range 290 {
			time.Sleep(time.Second)
			if len(r.unready()) == 0 {
				ready++
			}
		}
		w.mu.Lock()
		creates := w.creates
		refuses = false
		w.mu.Unlock()
		if first > 50 || creates-first > 11 || creates == first {
			t.Errorf("%d creates at once and %d in the 290 seconds after, want a few for the workers and one in 30 s", first, creates-first)
		}
		if ready > 0 {
			t.Errorf("ready for %d of 290 seconds", ready)
		}
		if n := len(w.eventsOf("default")); n > 3 {
			t.Errorf("%d Events that the queue is stopped", n)
		}
		w.await("finished", 2*time.Minute, w.finished(500))
		if f := r.unready(); len(f) > 0 {
			t.Errorf("not ready: %v", f)
		}
		r.end(w)
	})
}
