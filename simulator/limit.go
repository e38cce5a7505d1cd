package simulator

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
)

// window is a sliding window of a time, of a second if span is zero: a ring of the times of
// the calls that count.
type window struct {
	span  time.Duration
	times []time.Time
	head  int
	n     int
}

// take counts a call if the limit allows it; with all it counts refused calls, too. reset is
// the time until the oldest call leaves the window.
func (w *window) take(now time.Time, limit int, all bool) (current int, allowed bool, reset time.Duration) {
	if len(w.times) != limit {
		w.times, w.head, w.n = make([]time.Time, limit), 0, 0
	}
	span := cmp.Or(w.span, time.Second)
	for w.n > 0 && now.Sub(w.times[w.head]) >= span {
		w.head = (w.head + 1) % limit
		w.n--
	}
	if w.n >= limit {
		if all {
			w.times[w.head] = now // replaces the oldest
			w.head = (w.head + 1) % limit
		}
		return w.n + 1, false, span - now.Sub(w.times[w.head])
	}
	w.times[(w.head+w.n)%limit] = now
	w.n++
	return w.n, true, span - now.Sub(w.times[w.head])
}

// tooManyCalls is the message of a 429 to a call that is allowed after some seconds.
func tooManyCalls(seconds int) string {
	return fmt.Sprintf("You have exceeded your API rate limit. Please wait %d seconds before making more requests.", seconds)
}

// limited applies a Stacks endpoint's rate limit to a call, and adds the RateLimit headers to
// every reply (docs/protocol.md#rate-limits).
func (s *Simulator) limited(c *call, st *stack, scope string, limit int, serve func() reply) reply {
	if s.conf.RateLimits.Disabled || limit < 0 {
		return serve()
	}
	w := st.windows[scope]
	if w == nil {
		w = &window{}
		st.windows[scope] = w
	}
	current, allowed, left := w.take(c.now, limit, s.conf.Profile.RefusedCalls == assumptions.RefusedCallsCounted)
	reset := int(math.Ceil(left.Seconds()))
	var rep reply
	if allowed {
		rep = serve()
	} else {
		rep = reply{status: http.StatusTooManyRequests, body: map[string]any{
			"message": tooManyCalls(reset),
			"scope":   scope, "limit": limit, "current": current, "reset": reset,
		}}
		if s.conf.Profile.LimitRetryAfter == assumptions.LimitRetryAfterSent {
			rep = rep.with("Retry-After", strconv.Itoa(reset))
		}
	}
	return rep.with("RateLimit-Scope", scope).
		with("RateLimit-Limit", strconv.Itoa(limit)).
		with("RateLimit-Remaining", strconv.Itoa(max(limit-current, 0))).
		with("RateLimit-Reset", strconv.Itoa(reset))
}
