package k8s

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/onejob-dev/onejob/contract"
)

// An outage of a minute: the call comes back within seconds of its end, wasn't
// repeated too often, and the caches count as out of date meanwhile.
func TestLinkInsists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &link{log: slog.New(slog.DiscardHandler), failing: map[string]bool{}}
		const lasts = time.Minute
		began, calls := time.Now(), 0
		list := func() (int, error) {
			if calls++; time.Since(began) < lasts {
				return 0, unavailable()
			}
			return 42, nil
		}
		go func() {
			time.Sleep(lasts / 2)
			if !l.stale() {
				t.Error("not stale in the middle of the outage")
			}
		}()
		v, err := insist(t.Context(), l, "jobs", list)
		if late := time.Since(began) - lasts; v != 42 || err != nil || late > 5*time.Second {
			t.Errorf("%s after the outage: %d, %v", late, v, err)
		}
		if calls > 30 {
			t.Errorf("%d calls in a minute", calls)
		}
		if !l.stale() {
			t.Error("not stale in the moment in which the answer came")
		}
		time.Sleep(settle)
		if l.stale() {
			t.Errorf("stale %s after the answer", settle)
		}

		// A refusal is an answer, and the informer's affair.
		calls = 0
		if _, err := insist(t.Context(), l, "jobs", func() (int, error) {
			calls++
			return 0, apierrors.NewForbidden(schema.GroupResource{Resource: "jobs"}, "", nil)
		}); !apierrors.IsForbidden(err) || calls != 1 || l.stale() {
			t.Errorf("a refusal: %v after %d calls, stale %t", err, calls, l.stale())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := insist(ctx, l, "jobs", func() (int, error) { return 0, errTorn }); err == nil {
			t.Error("no error though the context has ended")
		}
	})
}

// On caches that are out of date nothing is deleted or finished.
func TestStaleCachesTakeNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &link{log: slog.New(slog.DiscardHandler), failing: map[string]bool{"pods": true}}
		q := newQueue(New(Options{}), &settings{Queue: Queue{Name: "default"}}, &store{link: l}, nil, nil)
		defer q.work.ShutDown()
		const id = contract.JobID("01a20178-40c6-7700-b66b-9921d0c7c6a5")
		// Carried out, either would ask a client that isn't there.
		if err := q.removeKjob(t.Context(), id, &seenKjob{}, Decision{Action: Delete}); err != nil {
			t.Errorf("delete: %v", err)
		}
		if err := q.finish(t.Context(), id, Decision{Action: Finish}, nil); err != nil {
			t.Errorf("finish: %v", err)
		}
		time.Sleep(settle)
		synctest.Wait()
		if n := q.work.Len(); n != 1 {
			t.Errorf("%d jobs are to be looked at again, want 1", n)
		}
	})
}
