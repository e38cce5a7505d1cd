package scheduler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

const (
	createTimeout = 15 * time.Second
	// confirmAfter is how long a created kjob may take to appear in the cache
	// before a live GET asks for it.
	confirmAfter = 5 * time.Second
	// A kjob that a quota refuses may wait for hours. A few retry every forbiddenAgain.
	// If there are many, forbiddenRate of them retry in a second, each at least once in
	// forbiddenMost.
	forbiddenAgain = 5 * time.Second
	forbiddenRate  = 4
	forbiddenMost  = time.Minute
)

// ErrForeign: the kjob's name is taken by an object that isn't ours.
var ErrForeign = errors.New("the name is taken by a Job that onejob did not make")

// creator carries out claims until the line is shut down.
func (s *Scheduler) creator(hard context.Context) {
	for {
		it, shutdown := s.creates.Get()
		if shutdown {
			return
		}
		again, err := it.q.carryOut(hard, it.id)
		switch {
		case err != nil:
			s.creates.AddRateLimited(it)
		default:
			s.creates.Forget(it)
			if again > 0 {
				s.creates.AddAfter(it, again)
			}
		}
		s.creates.Done(it)
	}
}

// carryOut does what a claim still needs, and returns when to look at it again.
// What if we die right here? Then the reservation lapses, or the kjob exists.
func (q *queue) carryOut(ctx context.Context, id contract.JobID) (again time.Duration, err error) {
	c, there := q.claims.now(id)
	if !there {
		return 0, nil // seen in the cache
	}
	if c.created {
		return q.confirm(ctx, id, c.claim)
	}
	now := q.standing.now()
	if c.lapsed || now.paused {
		return q.letGo(ctx, id, c.claim, "the reservation expired, or the queue was paused, before the create")
	}
	if ctx.Err() != nil {
		return 0, nil //nolint:nilerr // whoever leads next decides anew
	}
	if !c.sent {
		switch {
		case now.refusedSince(c.at):
			q.drop(id, "the namespace refuses Kubernetes Jobs")
			return 0, nil
		case c.made, q.claims.live(id):
			// Somebody else made it (reacquire, another scheduler), and its number
			// counts.
			q.drop(id, "the job has a live Kubernetes Job, or had one since")
			q.work.Add(id)
			return 0, nil
		}
	}
	return q.make(ctx, id, c.claim)
}

// letGo drops a claim if no create of it was sent; otherwise the kjob may exist, and it
// confirms that.
func (q *queue) letGo(ctx context.Context, id contract.JobID, c claim, why string) (time.Duration, error) {
	if c.sent {
		return q.confirm(ctx, id, c)
	}
	q.drop(id, why)
	return 0, nil
}

// make builds a claim's kjob and creates it. It asks for the environment, and for the
// PodTemplate, once a claim: each answer is kept there, and carryOut begins anew with it.
func (q *queue) make(ctx context.Context, id contract.JobID, c claim) (again time.Duration, err error) {
	set := q.set.Load()
	if set.template.WantsEnv() && c.env == nil {
		if there, again, err := q.envOf(ctx, id); !there {
			return again, err
		}
		return q.carryOut(ctx, id) // the answer took its time: all is checked again
	}
	k, err := q.newKjob(c, set.template)
	var needs *kjob.NeedsPodTemplate
	if errors.As(err, &needs) && c.named == nil {
		return q.namedOf(ctx, id, needs.Name)
	}
	if err != nil {
		q.giveUp(id, decide.NotMade(err))
		return 0, nil
	}
	if q.markedMeanwhile(id, c.attempt) {
		// The next decision, which waits for the claim to go, honours the mark.
		defer q.work.Add(id)
		return q.letGo(ctx, id, c, "the attempt before it was cancelled in Kubernetes")
	}
	// This is the last check: a caller that the breaker lets through must send its
	// request.
	if wait := q.s.breaker.Wait(); wait > 0 {
		return wait, nil
	}
	q.claims.sent(id)
	if c.attempt > 1 {
		story, faults := q.pages.story(id)
		kjob.HandOn(k, story.Annotation(), faults.Annotation(), faults.Nodes())
	}
	cctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	sent := time.Now()
	kjob.SetMadeAt(k, sent)
	if !c.since.IsZero() {
		kjob.SetWaited(k, sent.Sub(c.since))
	}
	_, err = q.s.lean.BatchV1().Jobs(k.Namespace).Create(cctx, k, metav1.CreateOptions{})
	return q.created(ctx, id, c, sent, err)
}

// markedMeanwhile reports whether the kjob of the attempt before was marked as
// cancelled after this attempt had been decided on.
func (q *queue) markedMeanwhile(id contract.JobID, attempt int) bool {
	k := q.claims.last(id)
	return k != nil && k.Cancelled != "" && k.Attempt < attempt
}

// created acts on the reply to a create.
func (q *queue) created(ctx context.Context, id contract.JobID, c claim, sent time.Time, err error) (time.Duration, error) {
	if err != nil && ctx.Err() != nil {
		return 0, nil //nolint:nilerr // our own end; the kjob may exist, and that is fine
	}
	r := responseToCreate(err)
	q.s.metrics.creates.WithLabelValues(q.name, string(r)).Inc()
	log := q.log.With("job_id", id, "attempt", c.attempt, "kubernetes_job", contract.KjobName(id, c.attempt))
	if r == responseFailed {
		q.s.breaker.Unanswered(sent)
		log.Debug("Kubernetes Job not created", "err", err)
		return 0, err
	}
	q.s.breaker.Answered(sent)
	if r != responseNoNamespace {
		q.letIn()
	}
	if q.claims.superseded(id, c.attempt) {
		return 0, nil
	}
	switch r {
	case responseMade:
		q.took(id, phaseCreated, c.at, time.Now())
		q.onWay(id, c.attempt, func(w *way) { w.created = time.Now() })
		log.Info("Kubernetes Job created")
		q.sayServed(q.standing.made())
		q.claims.created(id)
		return confirmAfter, nil
	case responseExists:
		return q.confirm(ctx, id, c)
	case responseNoNamespace:
		q.standing.keptOut()
		q.tellWaiting(id, decide.NotCreated(err.Error()))
		q.drop(id, "")
		// The error must not name this kjob: each refusal would look like news.
		q.stop(fmt.Errorf("%w: %s", errNoCreate, strings.ReplaceAll(err.Error(), ` "`+contract.KjobName(id, c.attempt)+`"`, "")))
		return 0, nil
	case responseRefused:
		log.Error("Kubernetes Job refused", "err", err)
		if all := q.tryTemplate(ctx, true); all != nil {
			q.tellWaiting(id, decide.NotCreated(err.Error()))
			q.drop(id, "")
			q.stop(all)
			return 0, nil
		}
		q.giveUp(id, decide.CreateRefused(err))
		return 0, nil
	default: // responseForbidden: with the reservation renewed, as long as a pod might have been pending
		waited := time.Since(q.claims.forbiddenSince(id))
		turn := time.Duration(q.claims.count()) * time.Second / forbiddenRate
		again := min(max(time.Second, waited/4), max(forbiddenAgain, turn), forbiddenMost)
		log.Warn("Kubernetes Job not created", "err", err, "retry_in", again.String())
		if d := decide.NotLetIn(waited, q.set.Load().policy(), err); d.Action == decide.Finish {
			q.giveUp(id, d)
			return 0, nil
		}
		q.tellWaiting(id, decide.NotCreated(err.Error()))
		return again, nil
	}
}

// confirm reads the kjob from the API server: a create whose reply was lost may have
// been applied, and a created kjob may be gone before the cache saw it.
func (q *queue) confirm(ctx context.Context, id contract.JobID, c claim) (time.Duration, error) {
	name := contract.KjobName(id, c.attempt)
	if q.store.Kjob(name) != nil {
		q.drop(id, "")
		q.work.Add(id)
		return 0, nil
	}
	if wait := q.s.breaker.Wait(); wait > 0 {
		return wait, nil
	}
	cctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	sent := time.Now()
	k, err := q.s.lean.BatchV1().Jobs(q.store.Namespace).Get(cctx, name, metav1.GetOptions{})
	r := responseToGet(k, err, id, q.label, q.s.installation)
	switch {
	case r != responseFailed:
		q.s.breaker.Answered(sent)
	case ctx.Err() == nil:
		q.s.breaker.Unanswered(sent)
	}
	if q.claims.superseded(id, c.attempt) {
		return 0, nil
	}
	switch r {
	case responseFailed:
		return 0, err
	case responseGone:
		q.drop(id, "the Kubernetes Job does not exist")
		return 0, nil
	case responseForeign:
		q.log.Error("the name of the Kubernetes Job is taken", "job_id", id, "kubernetes_job", name, "err", ErrForeign)
		q.giveUp(id, decide.NameTaken(name, q.store.Namespace, ErrForeign))
		return 0, nil
	case responseOther:
		q.leaveToOther(id, c, name, k.Labels[contract.LabelInstallation])
		return 0, nil
	}
	// The kjob is ours. If it is live, that is success. If it is finished or being
	// deleted, somebody else was here first, and the decision waits for the cache to
	// show it.
	q.claims.created(id)
	if r == responseOver {
		q.work.AddAfter(id, time.Second)
	}
	return confirmAfter, nil
}

// drop drops a claim. Its reservation, if it has one, expires.
func (q *queue) drop(id contract.JobID, why string) {
	q.claims.drop(id)
	if why != "" {
		q.log.Info("claim dropped", "job_id", id, "reason", why)
	}
	signal(q.wakeup)
}

// giveUp turns a claim into a verdict that the sync workers carry out while the job is
// reserved for us: later another agent may have it.
func (q *queue) giveUp(id contract.JobID, d decide.Decision) {
	q.claims.giveUp(id, d)
	q.work.Add(id)
}
