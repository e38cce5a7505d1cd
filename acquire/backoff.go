package acquire

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/buildkite/roko"

	"github.com/onejob-dev/onejob/jitter"
)

// Backoff is when to try again, and when to stop.
type Backoff struct {
	// Attempts is the most requests that are sent, at least 1.
	Attempts int
	// Base is the first delay; it doubles with each attempt, up to Cap.
	Base, Cap time.Duration
	// JitterMin and JitterMax bound the random time that is added to each
	// delay, [JitterMin, JitterMax). The sum is never negative.
	JitterMin, JitterMax time.Duration
	// Deadline bounds all attempts and waits together, from the first request
	// on. A wait that leaves no room for a request before it is not begun.
	Deadline time.Duration
	// Timeout bounds one request.
	Timeout time.Duration
}

// DefaultAcquire is the policy for acquiring a job, as the stock agent's
// (docs/protocol.md#stock-retries): 7 attempts, 2^k seconds between them.
//
// The deadline's arithmetic: six waits of 1, 2, 4, 8, 16 and 32 s are 63 s,
// with the most jitter (6 × 5 s) 93 s. That leaves 237 s of the 330 s for seven
// requests, 33 s each, or for two or three waits of a Retry-After of a minute.
// The longest Retry-After that is waited for is 325 s: see room.
// A request alone may take Timeout, so seven that all hang don't fit: the
// fifth is the last.
var DefaultAcquire = Backoff{
	Attempts:  7,
	Base:      time.Second,
	Cap:       time.Minute,
	JitterMin: -time.Second,
	JitterMax: 5 * time.Second,
	Deadline:  330 * time.Second,
	Timeout:   time.Minute,
}

// DefaultRegister is the policy for registering and connecting. The stock
// agent's are 30 × 10 s and 10 × 5 s without jitter; this has the same five
// minutes, but begins faster and spreads.
//
// The arithmetic: twelve waits, of 1, 2, 4, 8, 16 and then 30 s, are 241 s, with
// a mean jitter of 2 s each 265 s. The 13 requests have the rest of the 300 s.
var DefaultRegister = Backoff{
	Attempts:  13,
	Base:      time.Second,
	Cap:       30 * time.Second,
	JitterMin: -time.Second,
	JitterMax: 5 * time.Second,
	Deadline:  5 * time.Minute,
	Timeout:   time.Minute,
}

// longest bounds every time of a Backoff. No runner waits that long, and sums
// of several stay far from overflowing a Duration.
const longest = 24 * time.Hour

// Validate reports everything that is wrong with b, joined.
func (b Backoff) Validate() error {
	var errs []error
	check := func(ok bool, format string, a ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	check(b.Attempts >= 1, "attempts is %d: at least 1 is needed", b.Attempts)
	check(b.Base > 0, "the base delay is %v: it must be positive", b.Base)
	check(b.Cap >= b.Base, "the delay's cap (%v) is below its base (%v)", b.Cap, b.Base)
	check(b.JitterMax >= b.JitterMin, "the jitter's range [%v, %v) is empty: its end lies before its beginning", b.JitterMin, b.JitterMax)
	check(b.JitterMax >= 0, "the jitter's end is %v: it must not be negative, or nothing spreads the requests", b.JitterMax)
	check(b.Deadline > 0, "the deadline is %v: it must be positive", b.Deadline)
	check(b.Timeout > 0, "the timeout of one request is %v: it must be positive", b.Timeout)
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"base delay", b.Base}, {"delay's cap", b.Cap}, {"jitter's beginning", b.JitterMin}, {"jitter's end", b.JitterMax},
		{"deadline", b.Deadline}, {"time for one request", b.Timeout},
	} {
		check(-longest <= d.d && d.d <= longest, "the %s is %v: more than %v makes no sense", d.name, d.d, longest)
	}
	return errors.Join(errs...)
}

// Delay is the wait after failure number k, counted from 0: Base × 2^k, at most
// Cap, plus jitter, never negative.
func (b Backoff) Delay(k int, rnd *Rand) time.Duration {
	return max(0, jitter.Doubled(b.Base, b.Cap, k)+rnd.Between(b.JitterMin, b.JitterMax))
}

// AfterRetryAfter is the wait when the server asked for one of at least floor:
// floor plus a jitter in [0, max(JitterMax, floor)). It is always added, and
// grows with the wait: a thousand runners that are all told "30" come back
// spread over 30 s, not in the same second.
func (b Backoff) AfterRetryAfter(floor time.Duration, rnd *Rand) time.Duration {
	return floor + rnd.Between(0, max(b.JitterMax, floor))
}

// room is the time that a wait must leave for the request after it: a request that the
// deadline cuts off may have been granted at that moment. Five seconds are enough for
// an answer. Of a short time it is a tenth, because otherwise no time would be left to
// wait.
func (b Backoff) room(all time.Duration) time.Duration {
	return min(5*time.Second, b.Timeout, all/10)
}

// limit says, for an error, how much time an unanswered request had.
func (b Backoff) limit(left time.Duration) string {
	if left < b.Timeout {
		return fmt.Sprintf("the %v that were left of the deadline of %v", left.Round(time.Millisecond), b.Deadline)
	}
	return b.Timeout.String()
}

// strategy is b as a roko.Strategy. roko's own Exponential has no cap, goes
// negative at attempt 34, and draws its jitter from the global source.
func (b Backoff) strategy(rnd *Rand) (roko.Strategy, string) {
	return func(r *roko.Retrier) time.Duration {
		return b.Delay(r.AttemptCount(), rnd)
	}, "capped exponential"
}

// Rand is a source of jitter that several goroutines may share and a test can
// seed.
type Rand struct {
	mu sync.Mutex
	r  *rand.Rand
}

// NewRand returns a source that is seeded with seed.
func NewRand(seed uint64) *Rand {
	return &Rand{r: rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15))} //nolint:gosec // jitter, not a secret
}

// Between returns a duration in [from, to), or from if that range is empty.
func (r *Rand) Between(from, to time.Duration) time.Duration {
	if to <= from {
		return from
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return from + time.Duration(r.r.Int64N(int64(to-from)))
}
