package stacks

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// Notification is a line on a job's page.
type Notification struct {
	JobID  contract.JobID `json:"job_uuid"`
	Detail string         `json:"detail"` // cut to MaxNotification
	Time   *time.Time     `json:"timestamp,omitempty"`

	then func() // see Notifier.Add
}

// Notify sends up to MaxBatch notifications in one call and returns which of them
// Buildkite didn't take: a job has room for 100, and a time must lie between
// the job's creation and now, by Buildkite's clock.
func (c *Client) Notify(ctx context.Context, ns []Notification) (refused map[int]bool, err error) {
	var out struct {
		Errors []struct {
			Error   string `json:"error"`
			Indexes []int  `json:"indexes"`
		} `json:"errors"`
	}
	in := struct {
		Notifications []Notification `json:"notifications"`
	}{ns}
	if err := c.do(ctx, EndpointNotify, http.MethodPost, c.stackPath("/notifications"), in, &out); err != nil {
		return nil, err
	}
	refused = map[int]bool{}
	for _, e := range out.Errors {
		for _, i := range e.Indexes {
			refused[i] = true
		}
	}
	return refused, nil
}

// maxQueued bounds the notifications that wait: they are courtesy, and the
// oldest go first when Buildkite doesn't take them.
const maxQueued = 10_000

// Notifier collects notifications and sends them in batches. It is safe for
// concurrent use; Add never waits.
type Notifier struct {
	client *Client
	log    *slog.Logger

	mu     sync.Mutex
	queued []Notification
	wake   chan struct{}
}

const (
	// notifyEvery is how long a notification may wait for others.
	notifyEvery = 500 * time.Millisecond
	// refusedEvery is how often what Buildkite refuses for the token's or the
	// stack's sake is sent again: a token is rotated, a stack registered again.
	refusedEvery = 30 * time.Second
)

// NewNotifier returns a Notifier; Run makes it send.
func NewNotifier(c *Client, log *slog.Logger) *Notifier {
	return &Notifier{client: c, log: log, wake: make(chan struct{}, 1)}
}

// Add queues a notification. Unless it is nil, then is called when Buildkite has
// taken it, or won't.
func (n *Notifier) Add(id contract.JobID, detail string, then func()) {
	now := time.Now().UTC()
	n.mu.Lock()
	n.queued = append(n.queued, Notification{JobID: id, Detail: Cut(detail, MaxNotification), Time: &now, then: then})
	if over := len(n.queued) - maxQueued; over > 0 {
		n.queued = append(n.queued[:0], n.queued[over:]...)
	}
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
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
		if sleep(ctx, notifyEvery) != nil {
			continue
		}
		n.flush(ctx)
	}
}

// flush sends until nothing is queued, or the context ends.
func (n *Notifier) flush(ctx context.Context) {
	for ctx.Err() == nil {
		switch more, unwelcome := n.send(ctx); {
		case !more:
			return
		case unwelcome:
			_ = sleep(ctx, refusedEvery)
		}
	}
}

// send sends one batch and reports whether there is more to send, and whether
// the token or the stack was refused.
func (n *Notifier) send(ctx context.Context) (more, unwelcome bool) {
	n.mu.Lock()
	batch := n.queued[:min(len(n.queued), MaxBatch)]
	n.queued = n.queued[len(batch):]
	if len(n.queued) == 0 {
		n.queued = nil
	}
	n.mu.Unlock()
	if len(batch) == 0 {
		return false, false
	}
	refused, err := n.client.Notify(ctx, batch)
	unwelcome = errors.Is(err, ErrRefused) || errors.Is(err, ErrNotFound)
	switch {
	case err == nil:
		n.answered(batch, refused)
	case Temporary(err), unwelcome, ctx.Err() != nil:
		// Back in front; the endpoint's gate makes the next try wait, or flush.
		// What our own end cut off is sent with the last.
		n.mu.Lock()
		n.queued = append(batch[:len(batch):len(batch)], n.queued...)
		n.mu.Unlock()
	default:
		n.log.Warn("dropping notifications", "count", len(batch), "err", err)
		n.answered(batch, nil)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.queued) > 0, unwelcome
}

// answered queues what was refused with a time once more without: clocks may
// differ by more than Buildkite allows, and what a job's reader is told matters
// more than when it was.
func (n *Notifier) answered(batch []Notification, refused map[int]bool) {
	var again []Notification
	dropped := 0
	for i, one := range batch {
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
		n.log.Warn("buildkite did not take some notifications", "count", dropped)
	}
	n.mu.Lock()
	n.queued = append(n.queued, again...)
	n.mu.Unlock()
}
