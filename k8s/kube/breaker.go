package kube

import (
	"sync"
	"time"

	"github.com/onejob-dev/onejob/jitter"
)

// Breaker keeps an API server that doesn't answer from being asked by a hundred
// workers: after a failure, be it a watch's, one try at a time is let through,
// at growing intervals, and its success, or that of a watch, lets all go.
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

// Wait is 0 when a request may be sent, else how long to stay away. Whoever
// gets 0 while the breaker is open is the one that tries.
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

// Away is for how long the API server hasn't answered, 0 if it does.
func (b *Breaker) Away() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures == 0 {
		return 0
	}
	return time.Since(b.opened)
}

// Unanswered records that a request that was sent at the time had no answer. It
// opens the breaker; once it is open only a try counts, and not the rest of what
// was on its way, nor what hung since before it was let go. A zero time is now.
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

// Answered records the answer to a request that was sent at the time. What was
// sent before the last failure says nothing: a server that is going down still
// answers what it has begun.
func (b *Breaker) Answered(sent time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures > 0 && sent.After(b.failed) {
		b.failures, b.released = 0, time.Now()
	}
}
