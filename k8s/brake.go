package k8s

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/onejob-dev/onejob/jitter"
)

// itemBackoff is the wait of one item after its own failures.
func itemBackoff[T comparable]() workqueue.TypedRateLimiter[T] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[T](100*time.Millisecond, 5*time.Second)
}

// brake keeps an API server that doesn't answer from being asked by a hundred
// workers: after a failure one try at a time is let through, at growing
// intervals, and the first success lets all go.
type brake struct {
	mu       sync.Mutex
	failures int
	next     time.Time
}

const (
	brakeFirst = 500 * time.Millisecond
	brakeMax   = 3 * time.Second
)

// wait is 0 when a request may be sent, else how long to stay away. Whoever
// gets 0 while the brake is on is the one that tries.
func (b *brake) wait() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures == 0 {
		return 0
	}
	now := time.Now()
	if d := b.next.Sub(now); d > 0 {
		return d + jitter.UpTo(brakeFirst)
	}
	b.next = now.Add(brakeMax) // the others wait for this one's luck
	return 0
}

// failed records a request that had no answer.
func (b *brake) failed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); b.failures == 0 || !now.Before(b.next.Add(-brakeMax)) {
		b.failures++
		d := brakeMax
		if b.failures < 4 {
			d = min(brakeFirst<<(b.failures-1), brakeMax)
		}
		b.next = now.Add(d)
	}
}

func (b *brake) ok() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
}
