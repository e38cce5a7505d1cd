package scheduler

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// namedOf reads the PodTemplate that a claim's step names, once a claim. One that isn't
// there is the step's fault. A refusal keeps the pod from being made, for as long as a pod
// may be pending; an API server that doesn't answer, for as long as it doesn't.
func (q *queue) namedOf(ctx context.Context, id contract.JobID, name string) (again time.Duration, err error) {
	if wait := q.s.breaker.Wait(); wait > 0 {
		return wait, nil
	}
	cctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	sent := time.Now()
	pod, err := kjob.ReadPodTemplate(cctx, q.s.kube, q.store.Namespace, name)
	switch {
	case err != nil && ctx.Err() != nil:
		return 0, nil //nolint:nilerr // our own end
	case kube.Answered(err):
		q.s.breaker.Answered(sent)
	default:
		q.s.breaker.Unanswered(sent)
	}
	switch {
	case err == nil:
		q.claims.setNamed(id, pod)
		return q.carryOut(ctx, id) // the answer took its time: all is checked again
	case apierrors.IsNotFound(err):
		q.giveUp(id, decide.NotMade(fmt.Errorf("there is no PodTemplate %s in the namespace %s, and the step names it (kubernetes.podTemplate). Correct the name, or have it made", contract.Line(name, 60), q.store.Namespace)))
		return 0, nil
	case !kube.Answered(err):
		return 0, err
	case time.Since(q.claims.unreadSince(id)) > q.set.Load().policy().PendingTimeout:
		q.giveUp(id, decide.NotMade(err))
		return 0, nil
	}
	q.tellWaiting(id, decide.NotCreated(err.Error()))
	return 0, err
}

func (cs *claims) setNamed(id contract.JobID, pod *corev1.PodSpec) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.open[id]; c != nil {
		c.named = pod
	}
}

// unreadSince is when a claim's PodTemplate was first refused, which it is now.
func (cs *claims) unreadSince(id contract.JobID) time.Time {
	return cs.since(id, func(c *claim) *time.Time { return &c.unread })
}
