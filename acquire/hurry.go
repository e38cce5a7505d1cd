package acquire

import (
	"context"
	"errors"
	"time"
)

// Due is the cause of a Call's Hurry: the moment by which the call must succeed. If
// Last is set, it is a second such moment, for when the first one has passed.
type Due struct{ By, Last time.Time }

func (d Due) Error() string { return "due by " + d.By.Format(time.RFC3339) }

// hurried is the longest wait when only left is left: a quarter of it, so that
// the requests get denser towards the end, but no hot loop.
func hurried(left time.Duration) time.Duration {
	return max(left/4, 200*time.Millisecond)
}

// due returns the moment by which the call must have got through, once it is in
// a hurry.
func (c Call) due() (time.Time, bool) {
	d, ok := c.whole()
	if time.Now().After(d.By) {
		return d.Last, ok
	}
	return d.By, ok
}

// whole is due with Last set.
func (c Call) whole() (d Due, ok bool) {
	if c.Hurry == nil || c.Hurry.Err() == nil {
		return d, false
	}
	ok = errors.As(context.Cause(c.Hurry), &d)
	if d.Last.IsZero() {
		d.Last = d.By
	}
	return d, ok
}

// sleep waits for d, or until ctx ends. If the call is in a hurry already or gets into
// one meanwhile, the wait is cut short, but not below floor.
func (c Call) sleep(ctx context.Context, d, floor time.Duration, known bool) {
	began := time.Now()
	timer := time.NewTimer(d)
	defer timer.Stop()
	var hurry <-chan struct{}
	if !known {
		hurry = c.Hurry.Done()
	}
	for {
		select {
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		case <-hurry:
			hurry = nil
			by, ok := c.due()
			if !ok {
				continue
			}
			gone := time.Since(began)
			timer.Reset(max(0, min(d, max(floor, gone+hurried(time.Until(by))))-gone))
		}
	}
}
