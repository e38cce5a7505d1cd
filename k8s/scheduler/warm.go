package scheduler

import (
	"context"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// Warm placeholders hold a node, with the image on it, for the job to come: a
// pod of the template's image and requests that does nothing and that a job's
// pod preempts. They have no job ID and hold no slot.
const (
	warmEvery = 5 * time.Second
)

// warmWanted is how many placeholders there should be beside n unfinished kjobs.
func warmWanted(q config.Queue, n int) int {
	return min(max(q.MinAgents-n, q.Buffer.Of(n), 0), kjob.MaxWarm)
}

// warm keeps the placeholders at their number until ctx ends.
func (q *queue) warm(ctx context.Context) {
	for jitter.Sleep(ctx, warmEvery) {
		set := q.set.Load()
		have := map[string]*cache.Job{}
		for _, k := range q.store.KjobsIn(q.label) {
			if k.Placeholder() {
				have[k.Name] = k
			}
		}
		want := 0
		if q.standing.now().stopped == nil {
			want = warmWanted(set.Queue, q.claims.liveKjobs())
		}
		q.measureWarm(want)
		for n := 1; n <= want; n++ {
			made := kjob.NewPlaceholder(set.template, n)
			k := have[made.Name]
			if k == nil && q.s.breaker.Wait() == 0 {
				q.warmed(ctx, "create", time.Now(), q.create(ctx, made))
			}
			if k != nil && !k.Finished && k.Warm == made.Annotations[kjob.AnnotationPlaceholder] {
				delete(have, made.Name)
			}
		}
		// What is left is surplus, of an earlier template, or a finished one in
		// the way of a new one.
		for _, k := range have {
			q.deletePlaceholder(ctx, k)
		}
	}
}

// measureWarm puts how many placeholders there should be, and how many run, into the
// metrics.
func (q *queue) measureWarm(want int) {
	q.s.metrics.placeholders.WithLabelValues(q.name, "wanted").Set(float64(want))
	q.s.metrics.placeholders.WithLabelValues(q.name, "running").Set(float64(q.warmRunning()))
}

func (q *queue) warmRunning() (n int) {
	for _, p := range q.store.PodsIn(q.label) {
		if p.ID == "" && p.Pod.Started && p.Lives() {
			n++
		}
	}
	return n
}

// deletePlaceholder deletes a placeholder.
func (q *queue) deletePlaceholder(ctx context.Context, k *cache.Job) {
	uid, background := k.UID, metav1.DeletePropagationBackground
	q.warmed(ctx, "delete", time.Now(), q.s.kube.BatchV1().Jobs(k.Namespace).Delete(ctx, k.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background,
	}))
}

func (q *queue) create(ctx context.Context, k *batchv1.Job) error {
	cctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	_, err := q.s.kube.BatchV1().Jobs(k.Namespace).Create(cctx, k, metav1.CreateOptions{})
	return err
}

func (q *queue) warmed(ctx context.Context, verb string, sent time.Time, err error) {
	switch {
	case ctx.Err() != nil:
		return
	case err == nil, apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err), apierrors.IsConflict(err), apierrors.IsForbidden(err),
		apierrors.IsInvalid(err), apierrors.IsBadRequest(err), byWebhook(err):
		q.s.breaker.Answered(sent)
	default:
		q.s.breaker.Unanswered(sent)
	}
	if err == nil || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return
	}
	q.s.metrics.apiErrors.WithLabelValues(q.name, verb, string(apierrors.ReasonForError(err))).Inc()
	q.log.Warn("warm placeholder", "verb", verb, "err", err)
}
