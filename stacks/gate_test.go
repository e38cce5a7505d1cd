package stacks

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

const jobA = contract.SampleJobID

// An outage of 30 s with a hundred callers that never give up: under two
// requests a second, and all are through a few seconds after its end.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var during, perSecond atomic.Int64
		seconds := map[int64]int64{}
		var mu sync.Mutex
		c := client(t, func(*http.Request, []byte) (int, map[string]string, any) {
			time.Sleep(10 * time.Millisecond)
			at := time.Since(start)
			if at > 30*time.Second {
				return 200, nil, map[string]any{"states": map[string]string{}}
			}
			during.Add(1)
			mu.Lock()
			seconds[int64(at/time.Second)]++
			perSecond.Store(max(perSecond.Load(), seconds[int64(at/time.Second)]))
			mu.Unlock()
			return 503, nil, map[string]string{"message": "down"}
		})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				for {
					_, err := c.States(t.Context(), []contract.JobID{jobA})
					if err == nil {
						return
					}
					if !errors.Is(err, ErrUnavailable) {
						t.Errorf("States: %v, want ErrUnavailable", err)
						return
					}
				}
			})
		}
		wg.Wait()
		// The first second sees what the limiter's burst lets through before
		// the first failure is known; after it there is one probe at a time.
		delete(seconds, 0)
		for s, n := range seconds {
			if n > 2 {
				t.Errorf("second %d of the outage saw %d requests, want at most 2", s, n)
			}
		}
		if n := during.Load(); n > 2*30 {
			t.Errorf("the outage saw %d requests, want under 60", n)
		}
		if d := time.Since(start) - 30*time.Second; d > 12*time.Second {
			t.Errorf("the last caller was through %s after the outage, want within 12s", d)
		}
	})
}

func TestRetryAfterIsAFloorForTheEndpointOnly(t *testing.T) {
	for name, header := range map[string]func() map[string]string{
		"seconds": func() map[string]string { return map[string]string{"Retry-After": "7"} },
		"http-date": func() map[string]string {
			return map[string]string{"Retry-After": time.Now().Add(8 * time.Second).UTC().Format(http.TimeFormat)}
		},
		"reset": func() map[string]string { return map[string]string{"RateLimit-Reset": "7"} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limited := true
				c := client(t, func(r *http.Request, _ []byte) (int, map[string]string, any) {
					if limited && r.Method == http.MethodPost {
						limited = false
						return 429, header(), map[string]string{"message": "slow down"}
					}
					return 200, nil, map[string]any{}
				})
				start := time.Now()
				_, err := c.States(t.Context(), []contract.JobID{jobA})
				if !errors.Is(err, ErrRateLimited) || !Temporary(err) {
					t.Fatalf("States: %v, want ErrRateLimited", err)
				}
				if _, err := c.ScheduledJobs(t.Context(), "", 10); err != nil || time.Since(start) > time.Second {
					t.Errorf("ScheduledJobs after %s: %v; another endpoint must not wait", time.Since(start), err)
				}
				if _, err := c.States(t.Context(), []contract.JobID{jobA}); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(start); d < 7*time.Second || d > 11*time.Second {
					t.Errorf("the next call came after %s, want 7 s and some jitter", d)
				}
			})
		})
	}
}

func TestGateLearnsTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times []time.Time
		c := client(t, func(*http.Request, []byte) (int, map[string]string, any) {
			times = append(times, time.Now())
			return 200, map[string]string{"RateLimit-Limit": "5", "RateLimit-Remaining": "3"}, map[string]any{}
		})
		for range 40 {
			if _, err := c.ScheduledJobs(t.Context(), "", 1); err != nil {
				t.Fatal(err)
			}
		}
		worst := 0
		for i := range times {
			n := 0
			for _, u := range times[i:] {
				if u.Sub(times[i]) < time.Second {
					n++
				}
			}
			if i > 0 { // the first reply teaches
				worst = max(worst, n)
			}
		}
		if worst > 5 {
			t.Errorf("a window of one second saw %d requests, the server's limit is 5", worst)
		}
	})
}

func TestNothingRemains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, func(*http.Request, []byte) (int, map[string]string, any) {
			return 200, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "3"}, map[string]any{}
		})
		start := time.Now()
		for range 2 {
			if _, err := c.ScheduledJobs(t.Context(), "", 1); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d < 3*time.Second {
			t.Errorf("two calls took %s, want the second to wait for the reset", d)
		}
	})
}

// A good reply may ask for a pause, too.
func TestRetryAfterOnAGoodReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, func(*http.Request, []byte) (int, map[string]string, any) {
			return 200, map[string]string{"Retry-After": "5"}, map[string]any{}
		})
		start := time.Now()
		for range 2 {
			if _, err := c.ScheduledJobs(t.Context(), "", 1); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d < 5*time.Second || d > 9*time.Second {
			t.Errorf("two calls took %s, want the second to wait for 5 s", d)
		}
	})
}

func TestCancelledWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, func(*http.Request, []byte) (int, map[string]string, any) {
			return 503, map[string]string{"Retry-After": "60"}, ""
		})
		if _, err := c.Identity(t.Context()); err == nil {
			t.Fatal("no error")
		}
		stop := errors.New("SIGTERM")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(stop) })
		start := time.Now()
		_, err := c.Identity(ctx)
		if !errors.Is(err, stop) || time.Since(start) != time.Second {
			t.Errorf("Identity: %v after %s, want SIGTERM after 1s", err, time.Since(start))
		}
	})
}

// What a server may ask for is bounded, whatever it sends.
func FuzzGateHeaders(f *testing.F) {
	f.Add("3", "1")
	f.Add("Fri, 02 Jan 2026 03:04:05 GMT", "99999999999")
	f.Add("-1", "-1")
	f.Fuzz(func(t *testing.T, after, reset string) {
		for _, status := range []int{200, 429, 503} {
			g := newGate(10)
			h := http.Header{"Retry-After": {after}, "Ratelimit-Reset": {reset}, "Ratelimit-Remaining": {"0"}}
			if d := g.record(time.Now(), status, h); d < 0 || d > maxRetryAfter {
				t.Errorf("after %d, Retry-After %q and RateLimit-Reset %q the wait is %s", status, after, reset, d)
			}
		}
	})
}

// A failure that was on its way while a success came in counts as the first of
// its kind.
func TestGateFailureAfterASuccess(t *testing.T) {
	g := newGate(10)
	sent := time.Now()
	for range 3 {
		g.record(sent, 503, http.Header{})
		g.record(sent, 200, http.Header{})
		g.record(sent, 503, http.Header{})
	}
	if g.failures != 1 {
		t.Errorf("%d failures are counted, want 1", g.failures)
	}
}
