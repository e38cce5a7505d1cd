package scheduler

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/stacks"
)

// stop makes the queue not ready, and says so once for each reason.
func (q *queue) stop(err error) {
	if !q.standing.stop(err) {
		return
	}
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

// recovered serves a stopped queue again, see standing.recover. The claims are counted
// first: only this loop makes any, so that there is none if there was none.
func (q *queue) recovered(stops int, found bool) {
	probe := found || q.claims.count() > 0
	q.sayServed(q.standing.recover(stops, probe))
}

// letIn serves a queue again that was stopped because its namespace took no kjobs.
func (q *queue) letIn() { q.sayServed(q.standing.letIn()) }

func (q *queue) sayServed(was error) {
	if was != nil {
		q.log.Info("queue served again")
	}
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
		q.standing.alive()
		if q.standing.now().stopped == nil || q.hasAnotherToken(old) || q.hasAnotherTemplate(template) {
			break
		}
	}
	return true
}

func (q *queue) hasAnotherToken(than string) bool {
	now, err := q.client.Token()
	return err == nil && now != than
}

func (q *queue) hasAnotherTemplate(than *kjob.Template) bool {
	return !reflect.DeepEqual(q.set.Load().template.Job, than.Job)
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
