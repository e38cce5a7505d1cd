package acquire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/buildkite/agent/v3/api"
	"github.com/buildkite/roko"

	"github.com/onejob-dev/onejob/retryafter"
)

// Call is one kind of request and how it is repeated.
type Call struct {
	// Name is the call's name in logs and errors: "register".
	Name string
	// Backoff is when to try again.
	Backoff Backoff
	// Rand is the source of jitter.
	Rand *Rand
	// Log gets a line for each attempt that failed.
	Log *slog.Logger
	// Wire is how long Do waits for a request that was already sent when ctx ends; 0
	// cancels it at once.
	Wire time.Duration
	// Hurry, if it is set, ends with a Due as its cause when less time is left than
	// Backoff's deadline. Waits, also the current one, are then cut short so that
	// several more requests fit. A Retry-After is still honoured.
	Hurry context.Context
	// Missing is how long a 404 is retried, from the first one on: in a partition
	// Buildkite has answered 404 to sessions that it knew (docs/protocol.md#transport).
	// 0 takes the first 404 as an answer.
	Missing time.Duration
	// Confirm, if it is set, is asked about a 2xx without a body, which the API may send
	// (docs/protocol.md#transport) and a portal, too: whether the call was taken. If that
	// isn't known, the reply counts as lost.
	Confirm func(ctx context.Context) bool
	// Count is called as each request is sent, if it is set.
	Count func(call string)
}

// Do sends a request until it succeeds, is answered for good, or the attempts,
// the time or ctx are over. send gets the attempt's number, from 0, and a
// context that ends with the request's timeout.
//
// When ctx ends between two requests, Do returns at once. When it ends during one, Do
// waits up to Wire for the answer, and a success still counts: Do then returns nil, and
// the caller must check ctx. It returns nil or a *RetryError.
func (c Call) Do(ctx context.Context, send func(ctx context.Context, attempt int) (*api.Response, error)) error {
	a := &attempts{Call: c, end: time.Now().Add(c.Backoff.Deadline), state: &RetryError{}}
	opts := []roko.RetrierOpt{
		roko.WithMaxAttempts(c.Backoff.Attempts),
		roko.WithStrategy(c.Backoff.strategy(c.Rand)),
	}
	if c.Hurry != nil {
		opts = append(opts, roko.WithSleepFunc(func(d time.Duration) { c.sleep(ctx, d, a.floor, a.hasty) }))
	}
	err := roko.NewRetrier(opts...).DoWithContext(ctx, func(r *roko.Retrier) error {
		if ctx.Err() != nil { // roko asks only between attempts
			r.Break()
			return ctx.Err()
		}
		v, header, err := a.send(ctx, r.AttemptCount(), send)
		if err == nil {
			return nil
		}
		source := a.next(r, v, header)
		c.log(ctx, a.state, source, r)
		return err
	})
	if err == nil {
		return nil
	}
	state := a.state
	// A plain answer stays one, even if it came while we were stopping.
	if ctx.Err() != nil && !errors.Is(state.Kind, ErrRejected) && !errors.Is(state.Kind, ErrRefused) {
		state.Kind, state.Cause, state.Why = ErrStopped, context.Cause(ctx), ""
		if state.Lost {
			state.Why = "a request that got no answer may have been granted"
		}
	}
	return state
}

// attempts is a Call that is being made.
type attempts struct {
	Call
	end     time.Time // of all attempts
	state   *RetryError
	floor   time.Duration // of the next wait
	hasty   bool          // the next wait is one of a hurry already
	missing time.Time     // the first answer of 404
}

// send sends one request, and notes in state what became of it if that is no success.
func (a *attempts) send(ctx context.Context, n int, send func(ctx context.Context, attempt int) (*api.Response, error)) (verdict, http.Header, error) {
	state := a.state
	state.Attempts++
	if a.Count != nil {
		a.Count(a.Name)
	}
	limit := time.Until(a.end)
	reqCtx, cancel := a.request(ctx, a.end)
	wrote := new(atomic.Bool)
	sent := time.Now()
	resp, err := send(traceWrites(reqCtx, wrote), n)
	if err == nil && a.Confirm != nil && bare(resp) && !a.Confirm(reqCtx) {
		err = errUnconfirmed
	}
	timedOut := errors.Is(context.Cause(reqCtx), context.DeadlineExceeded)
	cancel()
	if err == nil {
		return verdict{}, nil, nil
	}
	v := a.doubt(classify(resp, wrote.Load(), err))
	if v.untrusted {
		err = distrust(err)
	}
	if v.status == 0 && timedOut {
		err = fmt.Errorf("no reply within %s: %w", a.Backoff.limit(limit), err)
	}
	state.Last, state.Status, state.Kind = err, v.status, kindOf(v)
	if v.lost && !state.Lost {
		state.Lost, state.LostAt = true, sent
	}
	state.NotBefore = time.Time{}
	return v, header(resp), err
}

// doubt turns a 404 into an answer that is retried, for as long as Missing says.
func (a *attempts) doubt(v verdict) verdict {
	if v.status != http.StatusNotFound || v.retry {
		a.missing = time.Time{}
		return v
	}
	if a.missing.IsZero() {
		a.missing = time.Now()
	}
	v.retry = time.Since(a.missing) < a.Missing
	return v
}

// next decides whether there is another attempt after v, and when. It returns what
// the wait comes from.
func (a *attempts) next(r *roko.Retrier, v verdict, header http.Header) (source string) {
	now, state, asked := time.Now(), a.state, false
	a.floor = 0
	if v.retry && v.status != 0 {
		a.floor, asked = retryafter.Parse(header, now)
	}
	left := a.end.Sub(now) - a.Backoff.room(a.Backoff.Deadline)
	var by time.Time
	if by, a.hasty = a.due(); a.hasty {
		r.SetNextInterval(min(r.NextInterval(), hurried(by.Sub(now))))
		if asked { // a wish of the server's is waited for as long as there is time at all
			d, _ := a.whole()
			left = min(left, d.Last.Sub(now)-a.Backoff.room(d.Last.Sub(now)))
		}
	}
	source = "backoff"
	if asked {
		source = "Retry-After"
		state.NotBefore = now.Add(a.floor)
		r.SetNextInterval(a.Backoff.AfterRetryAfter(a.floor, a.Rand))
	}
	switch {
	case !v.retry:
		r.Break()
	case r.AttemptCount()+1 >= a.Backoff.Attempts:
		state.Why = fmt.Sprintf("that was attempt %d of %d", state.Attempts, a.Backoff.Attempts)
	case asked && a.floor >= left:
		state.Why = fmt.Sprintf("the server asked to wait %v, but only %v of the deadline of %v is left",
			a.floor, max(left, 0).Round(time.Second), a.Backoff.Deadline)
		r.Break()
	case asked && r.NextInterval() >= left:
		// The floor fits, its jitter doesn't: use what time there is.
		r.SetNextInterval(a.Rand.Between(a.floor, left))
	case r.NextInterval() >= left:
		state.Why = fmt.Sprintf("the next attempt would be due in %v, but only %v of the deadline of %v is left",
			r.NextInterval().Round(time.Millisecond), max(left, 0).Round(time.Second), a.Backoff.Deadline)
		r.Break()
	}
	return source
}

// request returns the context of one request: it ends with the timeout or the
// deadline, and, when ctx ends, only after Wire.
func (c Call) request(ctx context.Context, end time.Time) (context.Context, context.CancelFunc) {
	limit := time.Now().Add(c.Backoff.Timeout)
	if end.Before(limit) {
		limit = end
	}
	parent := ctx
	if c.Wire > 0 {
		parent = context.WithoutCancel(ctx)
	}
	reqCtx, cancel := context.WithDeadline(parent, limit)
	within := func(d time.Duration) {
		t := time.AfterFunc(d, cancel)
		context.AfterFunc(reqCtx, func() { t.Stop() })
	}
	stop := func() bool { return true }
	if c.Wire > 0 {
		stop = context.AfterFunc(ctx, func() { within(c.Wire) })
	}
	calm := func() bool { return true }
	if c.Hurry != nil {
		// One request that hangs must leave time for another.
		calm = context.AfterFunc(c.Hurry, func() {
			if by, ok := c.due(); ok {
				within(max(time.Until(by)/2, 100*time.Millisecond))
			}
		})
	}
	return reqCtx, func() { stop(); calm(); cancel() }
}

func (c Call) log(ctx context.Context, e *RetryError, source string, r *roko.Retrier) {
	if c.Log == nil {
		return
	}
	attrs := []any{
		"call", c.Name, "attempt", e.Attempts, "of", c.Backoff.Attempts,
		"status", e.Status, "err", e.Last,
	}
	switch {
	case r.AttemptCount()+1 >= c.Backoff.Attempts || r.ShouldGiveUp():
		c.Log.WarnContext(ctx, "request failed, giving up", append(attrs, "why", e.Why)...)
	case ctx.Err() != nil:
		c.Log.WarnContext(ctx, "request failed while stopping", attrs...)
	default:
		c.Log.WarnContext(ctx, "request failed, will retry", append(attrs, "retry_in", r.NextInterval(), "source", source)...)
	}
}

// kindOf is the sentinel for a call that ends with v. Register, Connect and Acquire
// each read a plain 4xx in their own way.
func kindOf(v verdict) error {
	switch {
	case v.status == http.StatusLocked:
		return ErrLocked
	case v.untrusted:
		return ErrUntrusted
	case v.retry:
		return ErrExhausted
	case v.status == 0:
		return ErrRefused
	default:
		return ErrRejected
	}
}

// traceWrites sets wrote once any part of the request is on a connection.
func traceWrites(ctx context.Context, wrote *atomic.Bool) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { wrote.Store(true) },
		WroteRequest: func(httptrace.WroteRequestInfo) { wrote.Store(true) },
	})
}

func header(resp *api.Response) http.Header {
	if resp == nil || resp.Response == nil {
		return nil
	}
	return resp.Header
}
