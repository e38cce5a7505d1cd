package scheduler

import (
	"errors"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8stesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/k8s/events"
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

// A namespace that is being deleted takes no Events either: that its queue is
// stopped is said where the scheduler is.
func TestNamespaceThatTakesNothing(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		going := func(kind, name string) error {
			err := apierrors.NewForbidden(schema.GroupResource{Resource: kind}, name, errors.New("unable to create new content in namespace builds because it is being terminated"))
			err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
			return err
		}
		w.onCreate = func(k *batchv1.Job) (error, error) { return going("jobs", k.Name), nil }
		w.kube.PrependReactor("create", "events", func(a k8stesting.Action) (bool, runtime.Object, error) {
			return a.GetNamespace() == namespace, nil, going("events", "")
		})
		w.build(1)
		r := w.start("", func(o *Options) { o.Lease = &LeaseOptions{Namespace: "home", Name: "onejob", Identity: "a"} })
		time.Sleep(20 * time.Second)
		events, err := events.On(w.ctx, w.kube, "home", "Job", "onejob-queue-default")
		if err != nil || len(events) != 1 || events[0].Reason != "QueueStopped" || !strings.Contains(events[0].Message, "namespace builds because it is being terminated") {
			t.Errorf("the Events %+v, %v; want one that names the namespace", events, err)
		}
		r.end(w)
	})
}

// One refused create, and the job that it was for is cancelled: the queue's
// other kjobs are looked after as before, and it doesn't stay stopped for want of
// a job to try again with. The next job is the probe, alone.
func TestNamespaceThatTookNoKjobOnce(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		refuses := false
		w.onCreate = func(k *batchv1.Job) (error, error) {
			if !refuses {
				return nil, nil
			}
			return apierrors.NewForbidden(batchv1.Resource("jobs"), k.Name, errors.New(`User "x" cannot create resource "jobs" in API group "batch"`)), nil
		}
		refuse := func(r bool) { w.mu.Lock(); refuses = r; w.mu.Unlock() }
		cancel := func(id string) {
			if err := w.sim.CancelJob(id); err != nil {
				t.Fatal(err)
			}
		}
		waits := w.build(1)[0]
		w.runs = func(w *world, p *pod) {
			if p.id.String() != waits.ID || w.sleep(time.Hour, p.kill) {
				ran(w, p)
			}
		}
		r := w.start("  max-in-flight: 0\n")
		w.await("a kjob", 5*time.Second, func() bool { return w.kjobs(waits.ID) == 1 })
		refuse(true)
		probe := w.build(1)[0]
		w.await("stopped", 5*time.Second, func() bool { return len(r.unready()) > 0 })
		cancel(probe.ID)
		time.Sleep(5 * time.Second)
		refuse(false)
		cancel(waits.ID)
		w.await("deleted", 6*time.Second, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.deleted) == 1 })
		if f := r.unready(); len(f) == 0 {
			t.Error("ready, and nothing shows that kjobs can be made")
		}
		w.await("ready", time.Minute, func() bool { return len(r.unready()) == 0 })

		// It is refused again, and once only, however many jobs come.
		refuse(true)
		w.mu.Lock()
		before := w.creates
		w.mu.Unlock()
		jobs := w.build(50)
		w.await("stopped", 5*time.Second, func() bool { return len(r.unready()) > 0 })
		time.Sleep(5 * time.Second)
		w.mu.Lock()
		if n := w.creates - before; n != 1 {
			t.Errorf("%d creates, want one probe", n)
		}
		w.mu.Unlock()
		refuse(false)
		w.await("finished", 2*time.Minute, w.finished(len(jobs)))
		if f := r.unready(); len(f) > 0 {
			t.Errorf("not ready: %v", f)
		}
		r.end(w)
	})
}
