package stacks

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/retryafter"
)

// The backoff of an endpoint that fails: half a second, doubled up to the cap,
// a third of it in jitter on top. The first step keeps an outage under two
// requests a second, the cap keeps the end of one from going unnoticed for
// more than four.
const (
	backoffFirst = 600 * time.Millisecond
	backoffCap   = 3 * time.Second
)

// gate lets the requests of one endpoint through. All callers share it, so
// that in an outage there is one probe at a time for the endpoint, however
// many want to call.
type gate struct {
	mu        sync.Mutex
	lim       *rate.Limiter
	limit     int // requests a second as documented, or as the server last said
	remaining int // as the server last said, -1 if it never did
	failures  int // in a row
	failedAt  time.Time
	notBefore time.Time
	// lone: each request is about one job, with a text of its own, or is halved until it is.
	// A 500, or an answer of something in between, may then be about that job alone, which
	// comes again at another gate or not at all. It says nothing about the endpoint.
	lone bool

	probe chan struct{} // held by the one request that is on its way while failures > 0
}

func newGate(perSecond int) *gate {
	g := &gate{remaining: -1, probe: make(chan struct{}, 1), lim: rate.NewLimiter(1, 1)}
	g.setLimit(perSecond)
	return g
}

// setLimit keeps every window of one second under the limit: a burst plus the rate of
// one second together are the limit.
func (g *gate) setLimit(perSecond int) {
	if perSecond <= 0 || perSecond == g.limit {
		return
	}
	g.limit = perSecond
	burst := max(1, perSecond*4/10)
	g.lim.SetLimit(rate.Limit(max(float64(perSecond-burst), 0.9)))
	g.lim.SetBurst(burst)
}

// pass waits until a request may be sent. The function it returns must be
// called once the reply has been recorded.
func (g *gate) pass(ctx context.Context) (release func(), err error) {
	release = func() {}
	held := false
	defer func() {
		if err != nil && held {
			<-g.probe
		}
	}()
	for {
		g.mu.Lock()
		wait, failing := time.Until(g.notBefore), g.failures > 0
		g.mu.Unlock()
		switch {
		case wait > 0:
			if !jitter.Sleep(ctx, wait) {
				return nil, context.Cause(ctx)
			}
		case failing && !held:
			select {
			case g.probe <- struct{}{}:
				held = true
				release = func() { <-g.probe }
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		default:
			if held && !failing { // the probe before us succeeded: all may go
				<-g.probe
				held, release = false, func() {}
			}
			if err := g.lim.Wait(ctx); err != nil {
				return nil, err
			}
			// The first failure may have come while we waited for the limiter.
			g.mu.Lock()
			again := time.Until(g.notBefore) > 0 || g.failures > 0 && !held
			g.mu.Unlock()
			if !again {
				return release, nil
			}
		}
	}
}

// try is pass for callers that must not wait: instead of a release it returns when to
// come again. It holds the lock throughout, so that the probe before us has been
// recorded if we got its place.
func (g *gate) try() (release func(), again time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if wait := time.Until(g.notBefore); wait > 0 {
		return nil, wait
	}
	release = func() {}
	if g.failures > 0 {
		select {
		case g.probe <- struct{}{}:
			release = func() { <-g.probe }
		default:
			return nil, backoffFirst
		}
	}
	if !g.lim.Allow() {
		release()
		return nil, backoffFirst
	}
	return release, 0
}

// maxRetryAfter bounds how long a server can make us wait. A longer Retry-After is more
// likely a mistake than meant.
const maxRetryAfter = 10 * time.Minute

// record learns from a reply (nil when there was none) to a request that was
// sent at the given time, and returns how long the server asked us to wait.
func (g *gate) record(sent time.Time, status int, h http.Header) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	after, _ := retryafter.Parse(h, now)
	after = max(min(after, maxRetryAfter), 0)
	var reset time.Duration
	if n, err := strconv.Atoi(h.Get("RateLimit-Reset")); err == nil && n > 0 {
		reset = time.Duration(min(n, 60)) * time.Second
	}
	if n, err := strconv.Atoi(h.Get("RateLimit-Limit")); err == nil && n > 0 {
		g.setLimit(n)
	}
	if n, err := strconv.Atoi(h.Get("RateLimit-Remaining")); err == nil && n >= 0 {
		g.remaining = n
	}
	limited := status == http.StatusTooManyRequests
	if g.lone && status == http.StatusInternalServerError {
		return after
	}
	if !limited && !unavailable(status) {
		g.failures = 0
		if h.Get("RateLimit-Remaining") == "0" && reset > 0 {
			g.hold(now, reset)
		}
		if after > 0 { // on a good reply it asks for a pause all the same
			g.hold(now, after)
		}
		return after
	}
	if limited && after == 0 {
		after = reset
	}
	// Requests that were already sent when the first of them failed say nothing new:
	// they count once, unless one succeeded in between.
	if g.failures == 0 || sent.After(g.failedAt) {
		g.failures++
		g.failedAt = now
	}
	g.hold(now, jitter.AtLeast(max(jitter.Doubled(backoffFirst, backoffCap, g.failures-1), after)))
	return after
}

func (g *gate) hold(now time.Time, d time.Duration) {
	if t := now.Add(d); t.After(g.notBefore) {
		g.notBefore = t
	}
}
