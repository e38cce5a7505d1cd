package cache

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/onejob-dev/onejob/k8s/kube"
)

// A watch that broke and was made again leaves nothing behind for the next job,
// which may come hours later.
func TestBrakeIsReleasedByAWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b kube.Breaker
		l := NewConnection(slog.New(slog.DiscardHandler), &b)
		failed := time.Now()
		l.Note("jobs", failed, away())
		l.Note("pods", failed, away())
		if b.Wait() == 0 {
			t.Error("not braked by a watch that broke")
		}
		time.Sleep(time.Second)
		l.Note("jobs", failed, nil)
		if b.Wait() != 0 || b.Wait() == 0 {
			t.Error("let go by what was sent before the failure")
		}
		l.Note("pods", time.Now(), nil)
		for range 100 {
			if b.Wait() != 0 {
				t.Fatal("still braked after a watch was answered")
			}
		}
	})
}

// A watch that breaks off and can't be made again is the first that hears of an
// outage: the creates that come in it begin with a try, not all at once. Whether
// those are answered, though the watch is not, is their affair.
func TestBrakeHearsOfWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b kube.Breaker
		l := NewConnection(slog.New(slog.DiscardHandler), &b)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go untilAnswered(ctx, l, "jobs", func() (int, error) { return 0, away() }) //nolint:errcheck // there is no answer
		synctest.Wait()
		if b.Wait() == 0 {
			t.Error("not braked")
		}
		time.Sleep(kube.BreakerFirst)
		sent := time.Now()
		if b.Wait() != 0 {
			t.Error("no try")
		}
		time.Sleep(time.Millisecond)
		b.Answered(sent)
		for range 60 {
			time.Sleep(time.Second)
			if b.Wait() != 0 {
				t.Fatal("braked again")
			}
		}
	})
}

// An outage of a minute: the call comes back within seconds of its end, wasn't
// repeated too often, and the caches count as out of date meanwhile.
func TestLinkInsists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewConnection(slog.New(slog.DiscardHandler), &kube.Breaker{})
		const lasts = time.Minute
		began, calls := time.Now(), 0
		list := func() (int, error) {
			if calls++; time.Since(began) < lasts {
				return 0, away()
			}
			return 42, nil
		}
		go func() {
			time.Sleep(lasts / 2)
			if !l.stale() {
				t.Error("not stale in the middle of the outage")
			}
		}()
		v, err := untilAnswered(t.Context(), l, "jobs", list)
		if late := time.Since(began) - lasts; v != 42 || err != nil || late > 5*time.Second {
			t.Errorf("%s after the outage: %d, %v", late, v, err)
		}
		if calls > 30 {
			t.Errorf("%d calls in a minute", calls)
		}
		if !l.stale() {
			t.Error("not stale in the moment in which the answer came")
		}
		time.Sleep(Settle)
		if l.stale() {
			t.Errorf("stale %s after the answer", Settle)
		}

		// A refusal is an answer, and the informer's affair.
		calls = 0
		if _, err := untilAnswered(t.Context(), l, "jobs", func() (int, error) {
			calls++
			return 0, apierrors.NewForbidden(schema.GroupResource{Resource: "jobs"}, "", nil)
		}); !apierrors.IsForbidden(err) || calls != 1 || l.stale() {
			t.Errorf("a refusal: %v after %d calls, stale %t", err, calls, l.stale())
		}
		// So is that it knows of no such revision: the informer lists anew.
		calls = 0
		if _, err := untilAnswered(t.Context(), l, "jobs", func() (int, error) {
			calls++
			tooLarge := apierrors.NewTimeoutError("Too large resource version: 7, current: 3", 1)
			tooLarge.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}
			return 0, tooLarge
		}); err == nil || calls != 1 || l.stale() {
			t.Errorf("a revision from before a restore: %v after %d calls, stale %t", err, calls, l.stale())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := untilAnswered(ctx, l, "jobs", func() (int, error) { return 0, io.ErrUnexpectedEOF }); err == nil {
			t.Error("no error though the context has ended")
		}
	})
}

func away() error { return apierrors.NewServiceUnavailable("down") }
