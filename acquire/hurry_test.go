package acquire

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buildkite/agent/v3/api"
)

// TestHurry has a call fail until it is in a hurry, in the middle of a long
// wait: several more requests must fit before it is due, a Retry-After apart.
func TestHurry(t *testing.T) {
	for _, tt := range []struct {
		name       string
		retryAfter string
		want       int // requests after the hurry came up
	}{
		{"backoff", "", 5},
		{"Retry-After", "600", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const left = 8 * time.Second
				begin := time.Now()
				hurry, due := context.WithCancelCause(t.Context())
				late, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(100*time.Second, func() {
					due(Due{By: time.Now().Add(left)})
					time.AfterFunc(left, cancel)
				})
				after, last := 0, time.Duration(0)
				err := Call{
					Name: "finish", Rand: NewRand(1), Hurry: hurry,
					Backoff: Backoff{Attempts: 30, Base: time.Minute, Cap: time.Hour, Deadline: 2 * time.Hour, Timeout: time.Minute},
				}.Do(late, func(context.Context, int) (*api.Response, error) {
					if hurry.Err() != nil {
						after++
						last = time.Since(begin)
					}
					resp := &api.Response{Response: &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {tt.retryAfter}}}}
					return resp, errors.New("unavailable")
				})
				if err == nil {
					t.Fatal("it succeeded")
				}
				if after < tt.want || tt.want == 0 && after > 0 || after > 20 {
					t.Errorf("%d requests in the last %v, want at least %d and no hot loop", after, left, tt.want)
				}
				if last > 108*time.Second {
					t.Errorf("the last request came %v after the beginning, which is too late", last)
				}
			})
		})
	}
}

// TestHurryThatIsMissed: what didn't get through by the first moment is tried on
// until the last, no denser than it needs, and a Retry-After beyond the first is
// waited for.
func TestHurryThatIsMissed(t *testing.T) {
	for _, tt := range []struct {
		name, retryAfter string
		least, most      int // requests in all
	}{
		{"backoff", "", 10, 22},
		{"Retry-After", "20", 3, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				hurry, due := context.WithCancelCause(t.Context())
				due(Due{By: begin.Add(9 * time.Second), Last: begin.Add(59 * time.Second)})
				requests := 0
				err := Call{
					Name: "finish", Rand: NewRand(1), Hurry: hurry,
					Backoff: Backoff{Attempts: 24, Base: 2 * time.Second, Cap: time.Minute, JitterMin: -time.Second, JitterMax: 5 * time.Second, Deadline: 10 * time.Minute, Timeout: time.Minute},
				}.Do(t.Context(), func(context.Context, int) (*api.Response, error) {
					requests++
					if time.Since(begin) > 40*time.Second {
						return nil, nil
					}
					resp := &api.Response{Response: &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {tt.retryAfter}}}}
					return resp, errors.New("unavailable")
				})
				if took := time.Since(begin); err != nil || took > 58*time.Second || requests < tt.least || requests > tt.most {
					t.Errorf("%v after %d requests in %v, want success after %d to %d", err, requests, took, tt.least, tt.most)
				}
			})
		})
	}
}

// TestHurryTearsWhatHangs: a request that hangs leaves time for another.
func TestHurryTearsWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hurry, due := context.WithCancelCause(t.Context())
		time.AfterFunc(3*time.Second, func() { due(Due{By: time.Now().Add(4 * time.Second)}) })
		requests := 0
		begin := time.Now()
		err := Call{Name: "finish", Backoff: DefaultAcquire, Rand: NewRand(1), Wire: time.Second, Hurry: hurry}.Do(t.Context(),
			func(ctx context.Context, _ int) (*api.Response, error) {
				if requests++; requests > 1 {
					return nil, nil
				}
				<-ctx.Done()
				return nil, ctx.Err()
			})
		if took := time.Since(begin); err != nil || requests != 2 || took > 7*time.Second {
			t.Errorf("%v after %d requests in %v", err, requests, took)
		}
	})
}

// TestHurryLeavesRoom: a Retry-After that just fits leaves time for the answer.
func TestHurryLeavesRoom(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			hurry, due := context.WithCancelCause(t.Context())
			due(Due{By: time.Now().Add(8 * time.Second)})
			requests := 0
			err := Call{Name: "finish", Backoff: DefaultAcquire, Rand: NewRand(seed), Hurry: hurry}.Do(t.Context(),
				func(ctx context.Context, _ int) (*api.Response, error) {
					if requests++; requests == 1 {
						return &api.Response{Response: &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"7"}}}}, errors.New("unavailable")
					}
					select {
					case <-time.After(350 * time.Millisecond):
						return nil, nil
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				})
			if err != nil || requests != 2 {
				t.Errorf("seed %d: %v after %d requests, want the second to be answered", seed, err, requests)
			}
		})
	}
}

// TestHurryBeforeTheWait: a hurry that comes up between an answer and the wait
// after it cuts that wait too. The attempt's log line stands between the two.
func TestHurryBeforeTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hurry, due := context.WithCancelCause(t.Context())
		hand := handler(func() { due(Due{By: time.Now().Add(8 * time.Second)}) })
		requests := 0
		begin := time.Now()
		err := Call{
			Name: "finish", Rand: NewRand(1), Hurry: hurry, Log: slog.New(hand),
			Backoff: Backoff{Attempts: 3, Base: time.Minute, Cap: time.Hour, Deadline: 2 * time.Hour, Timeout: time.Minute},
		}.Do(t.Context(), func(context.Context, int) (*api.Response, error) {
			if requests++; requests > 1 {
				return nil, nil
			}
			return nil, errors.New("reset")
		})
		if took := time.Since(begin); err != nil || took > 2*time.Second {
			t.Errorf("%v after %d requests in %v, want the second after 2 s", err, requests, took)
		}
	})
}

// handler is a log handler that is called for each line.
type handler func()

func (handler) Enabled(context.Context, slog.Level) bool    { return true }
func (h handler) Handle(context.Context, slog.Record) error { h(); return nil }
func (h handler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h handler) WithGroup(string) slog.Handler             { return h }
