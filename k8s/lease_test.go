package k8s

import (
	"errors"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8stesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/simulator"
)

// A process whose Lease can't be renewed stops to serve before anybody else can
// lead, and leads again when it can: in the same process, with caches that live.
func TestLeaseLostAndWonAgain(t *testing.T) {
	const before, after = 20, 20
	inWorld(t, simulator.Config{}, func(w *world) {
		down, late := false, false
		w.kube.PrependReactor("*", "leases", func(k8stesting.Action) (bool, runtime.Object, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if down {
				return true, nil, errors.New("connection refused")
			}
			return false, nil, nil
		})
		set := func(what *bool, to bool) { w.mu.Lock(); defer w.mu.Unlock(); *what = to }
		made := func() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.made) }
		w.build(before)
		r := w.start("  max-in-flight: 6\n", func(o *Options) {
			o.Lease = &LeaseOptions{Namespace: namespace, Name: "onejob", Identity: "a"}
			o.Load = func() (*Config, error) {
				text := "endpoint: http://buildkite.test/v3\nqueues:\n- {name: default, max-in-flight: 6}\n"
				w.mu.Lock()
				defer w.mu.Unlock()
				if late {
					text += "- {name: late, namespace: later}\n"
				}
				return ParseConfig([]byte(text), namespace)
			}
		})
		w.await("all finished", 2*time.Minute, w.finished(before))
		set(&late, true)
		served := func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.queues) == 2 }
		w.await("the late queue is served", 20*time.Second, served)

		set(&down, true)
		w.await("it leads no more", renewDeadline+leaseRetry+time.Second, func() bool { return !r.leading.Load() })
		n := made()
		w.build(after)
		time.Sleep(time.Minute)
		if made() != n {
			t.Errorf("%d kjobs were made without the Lease", made()-n)
		}
		set(&down, false)
		w.await("it leads again", leaseDuration+2*leaseRetry+time.Second, r.leading.Load)
		w.await("all finished", 2*time.Minute, w.finished(before+after))
		if w.most > 6 {
			t.Errorf("there were up to %d unfinished kjobs, want 6", w.most)
		}
		w.await("the late queue is served", 20*time.Second, served)
		k := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "news", Namespace: "later", Labels: map[string]string{"onejob.dev/queue": "late"}}}
		if err := w.kube.Tracker().Create(jobsGVR, k, "later"); err != nil {
			t.Fatal(err)
		}
		w.await("the cache of a namespace that came while it led shows what is new", time.Second, func() bool { return r.stores["later"].kjob("news") != nil })
		select {
		case err := <-r.done:
			t.Fatalf("the process has ended: %v", err)
		default:
		}
		r.end(w)
	})
}
