package kube

import (
	"sync"
	"time"

	"github.com/onejob-dev/onejob/jitter"
)

// Breaker is a circuit breaker: it keeps a hundred workers from asking an API server
// that doesn't answer. After a failure of a request or a watch, it lets one try through
// at a time, at growing intervals. When a try or a watch succeeds, it lets all through.
type Breaker struct {
	mu       sync.Mutex
	failures int
	opened   time.Time // the first failure of those
	failed   time.Time // the last failure that counted
	released time.Time // when it was let go last
	next     time.Time
}

const (
	BreakerFirst = 500 * time.Millisecond
	BreakerMax   = 3 * time.Second
)

// Wait is 0 when a request may be sent, else how long to wait. While the breaker is
// open, the caller that gets 0 makes the try.
func (b *Breaker) Wait() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures == 0 {
		return 0
	}
	now := time.Now()
	if d := b.next.Sub(now); d > 0 {
		return d + jitter.UpTo(BreakerFirst)
	}
	b.next = now.Add(BreakerMax) // the others wait for this one's luck
	return 0
}

// Away is how long the API server hasn't answered, 0 if it does.
func (b *Breaker) Away() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures == 0 {
		return 0
	}
	return time.Since(b.opened)
}

// Unanswered records that a request, sent at the given time (zero is now), got no
// answer. This opens the breaker. Once it is open only the failure of a try counts, not
// that of requests that were sent before.
func (b *Breaker) Unanswered(sent time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures > 0 && !sent.After(b.failed) || !sent.IsZero() && sent.Before(b.released) {
		return
	}
	b.failures++
	b.failed = time.Now()
	if b.failures == 1 {
		b.opened = b.failed
	}
	b.next = b.failed.Add(min(BreakerFirst<<min(b.failures-1, 10), BreakerMax))
}

// Answered records the answer to a request that was sent at the given time. An answer
// to a request from before the last failure says nothing: a server that is going down
// still answers the requests that it has begun.
func (b *Breaker) Answered(sent time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures > 0 && sent.After(b.failed) {
		b.failures, b.released = 0, time.Now()
	}
}
