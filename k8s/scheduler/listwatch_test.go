package scheduler

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	k8stesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/simulator"
)

// On caches that are out of date nothing is deleted or finished.
func TestStaleCachesTakeNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := cache.NewConnection(slog.New(slog.DiscardHandler), &kube.Breaker{})
		l.Note("pods", time.Now(), unavailable())
		q := newQueue(New(Options{}), &settings{Queue: config.Queue{Name: "default"}}, &cache.Store{Connection: l}, nil, nil)
		defer q.work.ShutDown()
		const id = contract.SampleJobID
		// Carried out, either would ask a client that isn't there.
		if err := q.removeKjob(t.Context(), id, &cache.Job{}, decide.Decision{Action: decide.Delete}); err != nil {
			t.Errorf("delete: %v", err)
		}
		if err := q.finish(t.Context(), id, decide.Decision{Action: decide.Finish}, nil); err != nil {
			t.Errorf("finish: %v", err)
		}
		time.Sleep(cache.Settle)
		synctest.Wait()
		if n := q.work.Len(); n != 1 {
			t.Errorf("%d jobs are to be looked at again, want 1", n)
		}
	})
}

// The watch expires (410), and until the next list is answered a kjob is deleted:
// the tombstone that the informer makes of it frees the slot, and the job gets
// its next attempt, not earlier.
func TestTombstoneAfterAnExpiredWatch(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			if p.attempt > 1 {
				ran(w, p)
				return
			}
			w.sleep(time.Hour, p.kill)
		}
		cut, down, watches := make(chan struct{}), atomic.Bool{}, atomic.Int32{}
		w.kube.PrependReactor("list", "jobs", func(k8stesting.Action) (bool, runtime.Object, error) { return down.Load(), nil, unavailable() })
		w.kube.PrependWatchReactor("jobs", func(k8stesting.Action) (bool, watch.Interface, error) {
			if down.Load() {
				return true, nil, unavailable()
			}
			from, err := w.kube.Tracker().Watch(jobsGVR, namespace)
			if err != nil {
				return true, nil, err
			}
			mine := cut
			if watches.Add(1) > 1 {
				mine = nil
			}
			to := make(chan watch.Event)
			proxy := watch.NewProxyWatcher(to)
			w.wg.Go(func() {
				defer close(to)
				defer from.Stop()
				for {
					var e watch.Event
					select {
					case e = <-from.ResultChan():
					case <-mine:
						expired := apierrors.NewResourceExpired("too old resource version").Status()
						e = watch.Event{Type: watch.Error, Object: &expired}
						mine = nil
					case <-proxy.StopChan():
						return
					}
					select {
					case to <- e:
					case <-proxy.StopChan():
						return
					}
				}
			})
			return true, proxy, nil
		})

		id := w.build(1)[0].ID
		r := w.start("  max-in-flight: 1")
		w.await("a kjob", 5*time.Second, func() bool { return w.kjobs(id) == 1 })
		time.Sleep(10 * time.Second)
		down.Store(true)
		close(cut)
		time.Sleep(time.Second)
		_ = w.kube.Tracker().Delete(jobsGVR, namespace, "onejob-"+id)
		time.Sleep(10 * time.Second)
		if held := r.queues["default"].claims.held(); w.kjobs(id) != 1 || held != 1 {
			t.Errorf("%d kjobs and %d slots held while nobody knows of the deletion, want 1 and 1", w.kjobs(id), held)
		}
		down.Store(false)
		_ = w.kube.Tracker().Delete(podsGVR, namespace, "onejob-"+id+"-x") // as the garbage collector does
		w.await("finished", 30*time.Second, w.finished(1))
		time.Sleep(10 * time.Second)
		if held := r.queues["default"].claims.held(); w.kjobs(id) != 2 || held != 0 {
			t.Errorf("%d kjobs were made, want 2; %d slots are held at the end", w.kjobs(id), held)
		}
		r.end(w)
	})
}

// As long as the API server doesn't answer nobody asks it for Events, and each
// job is looked at again.
func TestNoEventsFromAnAPIServerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := cache.NewConnection(slog.New(slog.DiscardHandler), &kube.Breaker{})
		q := newQueue(New(Options{}), &settings{Queue: config.Queue{Name: "default"}}, &cache.Store{Connection: l}, nil, nil)
		defer q.work.ShutDown()
		time.Sleep(time.Hour)
		const id = contract.SampleJobID
		now := time.Now()
		pending := decide.Facts{Now: now, KJob: decide.KJob{Exists: true, CreatedAt: now.Add(-time.Minute)}, Pod: decide.Pod{Phase: corev1.PodPending, Node: "a"}}
		if !q.wantsWarnings(id, decide.Decision{}, pending) {
			t.Error("a pod that pends for a minute isn't to be explained")
		}
		l.Note("pods", time.Now(), unavailable())
		if q.wantsWarnings(id, decide.Decision{}, pending) {
			t.Error("an API server that doesn't answer is asked for Events")
		}
		time.Sleep(2*decide.NoticeAfter + q.turn())
		synctest.Wait()
		if n := q.work.Len(); n != 1 {
			t.Errorf("%d jobs are to be looked at again, want 1", n)
		}
	})
}
