package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// clear deletes kjobs of earlier attempts that never finish by themselves. No other
// decision looks at them.
func (q *queue) clear(ctx context.Context, id contract.JobID) (err error) {
	last := q.claims.last(id)
	for _, k := range q.store.KjobsOf(id) {
		if last == nil || k.Attempt >= last.Attempt || k.Finished || k.Terminating {
			continue
		}
		since := decide.Later(last.CreatedAt, q.store.AnsweredAgainAt())
		switch d := decide.Superseded(attemptKJob(k), q.store.PodsOfKjob(k), since, time.Now()); {
		case d.Action == decide.Delete:
			err = errors.Join(err, q.removeKjob(ctx, id, k, d))
		case !d.Again.IsZero():
			q.work.AddAfter(id, time.Until(d.Again))
		}
	}
	return err
}

// remove deletes the job's last kjob.
func (q *queue) remove(ctx context.Context, id contract.JobID, d decide.Decision) error {
	k := q.claims.lastThere(id)
	if k == nil {
		return nil
	}
	return q.removeKjob(ctx, id, k, d)
}

// removeKjob deletes this kjob, but no later one with its name.
func (q *queue) removeKjob(ctx context.Context, id contract.JobID, k *cache.Job, d decide.Decision) error {
	if q.cacheMayBeStale(id) {
		return nil
	}
	uid, background := k.UID, metav1.DeletePropagationBackground
	cctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	if d.Unplaced {
		if placed, err := q.placed(cctx, k, d.Reason == decide.ReasonUnended); err != nil {
			return err
		} else if placed {
			q.work.AddAfter(id, decide.StateFresh)
			return nil
		}
	}
	only := &metav1.Preconditions{UID: &uid}
	if d.Reason == decide.ReasonSuspended {
		// Its pod's news may be ahead of its own: that it was resumed (Kueue).
		version := k.ResourceVersion
		only.ResourceVersion = &version
	}
	err := q.s.kube.BatchV1().Jobs(k.Namespace).Delete(cctx, k.Name, metav1.DeleteOptions{Preconditions: only, PropagationPolicy: &background})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil // gone, another one, or changed by now: the cache will say
	case err != nil:
		q.s.metrics.apiErrors.WithLabelValues(q.name, "delete", string(apierrors.ReasonForError(err))).Inc()
		return err
	}
	q.claims.removed(id, k.UID, d.Reason)
	q.log.Info("Kubernetes Job deleted", "job_id", id, "kubernetes_job", k.Name, "reason", d.Reason)
	q.decided(id, decide.Delete, d.Reason)
	text := "deleted by onejob: " + string(d.Reason)
	if d.Why != "" {
		text += ": " + d.Why
	}
	q.s.events.Event(k.Namespace, k.Name, k.UID, false, "Deleted", text, d)
	if d.Text != "" {
		q.note(id, d)
	}
	return nil
}

// placed asks the API server itself whether a kjob's pod has a node: the cache
// may be late, and the agent that has the job may be that pod's own. Buildkite's
// state is older than the answer, so that a pod without a node is not the one;
// where all pods are taken to be gone, any counts.
func (q *queue) placed(ctx context.Context, k *cache.Job, anywhere bool) (bool, error) {
	pods, err := q.s.kube.CoreV1().Pods(k.Namespace).List(ctx, metav1.ListOptions{LabelSelector: contract.LabelJobID + "=" + k.ID.String()})
	if err != nil {
		return false, fmt.Errorf("looking for the pod of %s: %w", k.Name, err)
	}
	for _, p := range pods.Items {
		if kjob.OwnerUID(&p) == k.UID && (anywhere || p.Spec.NodeName != "") {
			return true, nil
		}
	}
	return false, nil
}
