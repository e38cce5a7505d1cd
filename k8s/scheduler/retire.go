package scheduler

import (
	"context"

	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// retire cleans up after a queue that was removed from the configuration or moved to
// another namespace, where nobody looks after its kjobs any more. Pods with a node run
// to their end. A pod without one might wait for ever, and a moved queue would make a
// second kjob for its job.
func (q *queue) retire(ctx context.Context) {
	for again := false; q.s.queueOf(q.store.Namespace, q.label) == nil; again = true {
		creates := q.claims.dropUnsent()
		left, err := q.vacate(ctx)
		// It looks twice at least, because a create may have been sent while its claim
		// was dropped.
		if again && creates == 0 && err == nil && !q.store.Stale() {
			q.log.Info("queue retired in the namespace", "namespace", q.store.Namespace, "kubernetes_jobs_left_to_run", left)
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
				q.log.Warn("could not delete a Kubernetes Job of a retired queue", "job_id", k.ID, "kubernetes_job", k.Name, "err", e)
				err = e
			}
		}
	}
	return left, err
}
