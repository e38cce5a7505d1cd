package scheduler

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/stacks"
)

// refusedEvery is how often a stopped queue is looked at again.
const refusedEvery = 30 * time.Second

// errNoCreate stops a queue for its namespace's or its template's sake: Buildkite has
// refused nothing, and what there is of the queue is looked after.
var errNoCreate = errors.New("creating kjobs")

// stop makes the queue not ready, and says so once for each reason.
func (q *queue) stop(err error) {
	q.mu.Lock()
	news := q.refused == nil || q.refused.Error() != err.Error()
	q.refused = err
	q.stops++
	q.mu.Unlock()
	q.s.metrics.ready.WithLabelValues(q.name).Set(0)
	if news {
		q.log.Error("queue stopped", "err", err, "retry_in", refusedEvery.String(),
			"hint", "check the queue's token, name, template and namespace, and the RoleBinding there; a new token file or template is tried at once")
		where := []string{q.store.Namespace}
		if l := q.s.lease; errors.Is(err, errNoCreate) && l != nil && l.Namespace != q.store.Namespace {
			where = append(where, l.Namespace) // the queue's may take no Events either
		}
		for _, namespace := range where {
			q.s.events.Event(namespace, "onejob-queue-"+q.label, "", true, "QueueStopped", "queue "+q.name+": "+err.Error(), decide.Decision{})
		}
	}
}

// recovered serves a stopped queue again, unless it was stopped since there had
// been so many stops, or its namespace takes no kjobs: a poll that goes well says
// nothing about creates, as long as it finds a job to try one with. Without any
// the queue would be stopped until a new one came: it is served, and that job is
// its probe.
func (q *queue) recovered(stops int, found bool) {
	q.mu.Lock()
	probed := found || len(q.claims) > 0 || time.Since(q.noCreate) < refusedEvery
	if q.stops != stops || !q.noCreate.IsZero() && probed {
		q.mu.Unlock()
		return
	}
	was := q.refused
	q.refused = nil
	q.mu.Unlock()
	q.s.metrics.ready.WithLabelValues(q.name).Set(1)
	if was != nil {
		q.log.Info("queue served again")
	}
}

// letIn records that the namespace takes kjobs, and serves a queue again that
// was stopped because it did not.
func (q *queue) letIn() {
	q.mu.Lock()
	was := !q.noCreate.IsZero()
	q.noCreate = time.Time{}
	q.mu.Unlock()
	if was {
		q.recovered(q.stopCount(), true)
	}
}

func (q *queue) stopCount() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stops
}

func (q *queue) stopped() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.refused
}

// untilRetry waits until a stopped queue is worth another look: the time has
// come, or its token or its template is another one.
func (q *queue) untilRetry(ctx context.Context) bool {
	old, _ := q.client.Token()
	template := q.set.Load().template
	deadline := time.Now().Add(refusedEvery)
	for time.Now().Before(deadline) {
		if !jitter.Sleep(ctx, time.Second) {
			return false
		}
		q.alive()
		if now, err := q.client.Token(); q.stopped() == nil || err == nil && now != old || !reflect.DeepEqual(q.set.Load().template.Job, template.Job) {
			break
		}
	}
	return true
}

// refusal reports whether an error of Buildkite's is a refusal, and not known to be
// of that one call: see checkToken.
func (q *queue) refusal(ctx context.Context, err error) bool {
	return errors.Is(err, stacks.ErrRefused) && q.checkToken(ctx) != nil
}

// checkToken stops the queue if its token isn't accepted, and returns why it isn't, or
// why that isn't known. One job's refusal, or one text's, says nothing of the others.
func (q *queue) checkToken(ctx context.Context) error {
	err := q.client.CheckToken(ctx)
	if errors.Is(err, stacks.ErrRefused) {
		q.stop(err)
	}
	return err
}
