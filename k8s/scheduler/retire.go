package scheduler

import (
	"context"

	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// retire tidies up where the queue isn't served any more: it was taken out of the
// configuration, or moved to another namespace, and nobody looks after its kjobs
// there. What has a node runs, and ends, by itself. What hasn't might wait for
// ever, and a moved queue would make a second kjob beside it.
func (q *queue) retire(ctx context.Context) {
	for again := false; q.s.queueOf(q.store.Namespace, q.label) == nil; again = true {
		creates := q.claims.dropUnsent()
		left, err := q.vacate(ctx)
		// A second look at least: a create may have gone out as its claim went.
		if again && creates == 0 && err == nil && !q.store.Stale() {
			q.log.Info("the queue has left the namespace", "namespace", q.store.Namespace, "kjobs_left_to_run", left)
			return
		}
		if !jitter.Sleep(ctx, createTimeout) {
			return
		}
	}
}

// vacate deletes the kjobs whose pod has no node and the placeholders, and counts
// the other kjobs.
func (q *queue) vacate(ctx context.Context) (left int, err error) {
	for _, k := range q.store.KjobsIn(q.label) {
		switch {
		case k.Placeholder():
			q.deletePlaceholder(ctx, k)
		case k.ID == "" || k.Finished || k.Terminating:
		default:
			d := decide.Retired(q.store.PodsOfKjob(k))
			if d.Action != decide.Delete {
				left++
			} else if e := q.removeKjob(ctx, k.ID, k, d); e != nil {
				q.log.Warn("deleting a kjob of a queue that has left", "job_id", k.ID, "kjob", k.Name, "err", e)
				err = e
			}
		}
	}
	return left, err
}
