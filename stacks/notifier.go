package stacks

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
)

// maxQueued bounds the waiting notifications. They are a courtesy, and the oldest are
// dropped first when Buildkite doesn't accept them.
const maxQueued = 10_000

// Notifier collects notifications and sends them in batches. It is safe for
// concurrent use; Add never waits.
//
// A call fails because Buildkite is away, or because it can't accept one of the texts;
// the answer doesn't say which. The fate of the other texts tells. So a batch that
// fails is halved: at once if Buildkite has answered, after a few tries if nobody has.
// The halves take turns with new texts, down to a single text. A single text is dropped
// when it has failed loneTries times and another text was accepted before each of them.
// While nothing is accepted at all, as in an outage, nothing is dropped, with two
// exceptions: a single text to which Buildkite has answered with an error for loneFor,
// or nobody has answered for loneLast. The Event of a text waits for loneFor at most.
type Notifier struct {
	client *Client
	log    *slog.Logger
	// Dropped, unless it is nil, is told how many notifications were given up. It is
	// set before Run and Add are called.
	Dropped func(int)

	mu       sync.Mutex
	queued   []Notification
	suspects []*batch
	taken    int  // calls that went well
	turn     bool // it is the suspects' turn
	wake     chan struct{}
}

// batch are notifications of a call that failed.
type batch struct {
	ns    []Notification
	tries int // with nobody's answer, of it or of the whole that it is half of
	// waited: it, or the batch that it is half of, was not found, and has waited for
	// the stack.
	waited bool
	// For a single text: when it first failed; how often it failed after others were
	// accepted; and Notifier.taken when it last failed.
	since  time.Time
	failed int
	taken  int
}

const (
	// notifyEvery is how long a notification may wait for others.
	notifyEvery = 500 * time.Millisecond
	// refusedEvery is how often a batch is repeated that Buildkite refuses because of
	// the token, and how long a missing stack has to be registered again.
	refusedEvery = 30 * time.Second
	// unansweredTries is how often a batch is sent unchanged when nobody answers.
	unansweredTries = 3
	loneTries       = 3
	loneFor         = 2 * time.Minute
	// loneLast is how long a single text is repeated that nobody answers: longer than
	// most outages last.
	loneLast = 2 * time.Hour
)

// NewNotifier returns a Notifier; Run makes it send.
func NewNotifier(c *Client, log *slog.Logger) *Notifier {
	return &Notifier{client: c, log: log, wake: make(chan struct{}, 1)}
}

// Add queues a notification. then, if it isn't nil, is called once: when Buildkite has
// accepted the text, or refused it, or done neither for long.
func (n *Notifier) Add(id contract.JobID, detail string, then func()) {
	now := time.Now().UTC()
	n.mu.Lock()
	n.queued = append(n.queued, Notification{JobID: id, Detail: contract.Line(detail, MaxNotification), Time: &now, then: then})
	over := n.overflow()
	n.mu.Unlock()
	n.giveUp(over, errors.New("too many wait"))
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// overflow removes the oldest notifications above the limit. Callers hold n.mu.
func (n *Notifier) overflow() (out []Notification) {
	waiting := len(n.queued)
	for _, b := range n.suspects {
		waiting += len(b.ns)
	}
	for ; waiting > maxQueued && len(n.suspects) > 0; n.suspects = n.suspects[1:] {
		out = append(out, n.suspects[0].ns...)
		waiting -= len(n.suspects[0].ns)
	}
	if over := waiting - maxQueued; over > 0 {
		out = append(out, n.queued[:over]...)
		n.queued = append(n.queued[:0], n.queued[over:]...)
	}
	return out
}

// Run sends what is queued until the context ends, and then what is left, for
// at most two seconds.
func (n *Notifier) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			n.flush(last)
			return
		case <-n.wake:
		}
		if !jitter.Sleep(ctx, notifyEvery) {
			continue
		}
		n.flush(ctx)
	}
}

// flush sends until nothing is queued, or the context ends.
func (n *Notifier) flush(ctx context.Context) {
	for ctx.Err() == nil {
		b := n.next()
		if b == nil {
			return
		}
		if wait := n.send(ctx, b); wait > 0 {
			jitter.Sleep(ctx, wait)
		}
	}
}

// next is the next batch, nil if there is none. New and failed ones take turns, so that
// neither waits for more than one call of the other kind.
func (n *Notifier) next() *batch {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.turn = !n.turn
	switch {
	case len(n.suspects) > 0 && (!n.turn || len(n.queued) == 0):
		b := n.suspects[0]
		n.suspects = n.suspects[1:]
		return b
	case len(n.queued) > 0:
		b := &batch{ns: n.queued[:min(len(n.queued), MaxBatch)]}
		if n.queued = n.queued[len(b.ns):]; len(n.queued) == 0 {
			n.queued = nil
		}
		return b
	}
	return nil
}

// send sends one batch and returns how long to wait before the next, in addition to the
// wait of the endpoint's gate after a failure.
func (n *Notifier) send(ctx context.Context, b *batch) time.Duration {
	refused, err := n.client.Notify(ctx, b.ns)
	unwelcome := errors.Is(err, ErrRefused) && n.client.CheckToken(ctx) != nil
	switch {
	case err == nil:
		n.mu.Lock()
		n.taken++
		n.mu.Unlock()
		n.answered(b.ns, refused)
	case ctx.Err() != nil: // what our own end cut off is sent with the last
		n.again(b)
	case unwelcome:
		n.again(b)
		return refusedEvery
	case errors.Is(err, ErrNotFound) && !b.waited: // the stack, which is registered anew, or one of the jobs
		b.waited = true
		n.again(b)
		return refusedEvery
	case len(b.ns) > 1 && unanswered(err) && b.tries+1 < unansweredTries:
		b.tries++
		n.again(b)
	case len(b.ns) > 1:
		half := len(b.ns) / 2
		n.again(&batch{ns: b.ns[:half:half], tries: b.tries, waited: b.waited}, &batch{ns: b.ns[half:], tries: b.tries, waited: b.waited})
	default:
		n.alone(b, err)
		return notifyEvery
	}
	return 0
}

// again puts batches in front of those that have failed.
func (n *Notifier) again(bs ...*batch) {
	n.mu.Lock()
	n.suspects = slices.Insert(n.suspects, 0, bs...)
	n.mu.Unlock()
}

// alone is for a single text that Buildkite didn't accept: it is repeated after all
// others, or dropped. Its callback is called after a while in any case.
func (n *Notifier) alone(b *batch, err error) {
	var then func()
	n.mu.Lock()
	if b.since.IsZero() {
		b.since = time.Now()
	} else if n.taken > b.taken {
		b.failed++
	}
	b.taken = n.taken
	age := time.Since(b.since)
	lost := b.failed >= loneTries || !unanswered(err) && age >= loneFor || age >= loneLast
	if !lost {
		if age >= loneFor {
			then, b.ns[0].then = b.ns[0].then, nil
		}
		n.suspects = append(n.suspects, b)
	}
	n.mu.Unlock()
	switch {
	case lost:
		n.giveUp(b.ns, err)
	case then != nil:
		then()
	}
}

// giveUp drops notifications and calls their callbacks.
func (n *Notifier) giveUp(ns []Notification, err error) {
	if len(ns) == 0 {
		return
	}
	n.log.Warn("dropping notifications", "count", len(ns), "job_id", ns[0].JobID, "err", err)
	n.dropped(len(ns))
	for _, one := range ns {
		if one.then != nil {
			one.then()
		}
	}
}

func (n *Notifier) dropped(count int) {
	if n.Dropped != nil {
		n.Dropped(count)
	}
}

// answered queues notifications that were refused with a time once more without it:
// clocks may differ by more than Buildkite allows, and the text matters more than its
// time.
func (n *Notifier) answered(ns []Notification, refused map[int]bool) {
	var again []Notification
	dropped := 0
	for i, one := range ns {
		switch {
		case refused[i] && one.Time != nil:
			one.Time = nil
			again = append(again, one)
			continue
		case refused[i]:
			dropped++
		}
		if one.then != nil {
			one.then()
		}
	}
	if dropped > 0 {
		n.log.Warn("Buildkite did not accept some notifications", "count", dropped)
		n.dropped(dropped)
	}
	n.mu.Lock()
	n.queued = append(n.queued, again...)
	n.mu.Unlock()
}
