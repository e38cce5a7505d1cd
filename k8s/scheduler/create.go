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
	"github.com/onejob-dev/onejob/stacks"
)

const (
	createTimeout = 15 * time.Second
	// confirmAfter is how long a created kjob may take to appear in the cache
	// before a live GET asks for it.
	confirmAfter = 5 * time.Second
	// A kjob that a quota keeps out may wait for hours. A few ask every forbiddenAgain;
	// of many, forbiddenRate a second do, each at least once in forbiddenMost.
	forbiddenAgain = 5 * time.Second
	forbiddenRate  = 4
	forbiddenMost  = time.Minute
	// envAgain is how often at least a claim that waits for its environment is
	// looked at, so that one that has lapsed is dropped.
	envAgain = 5 * time.Second
)

// ErrForeign is a kjob's name that is taken by an object that isn't ours.
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
		return q.letGo(ctx, id, c.claim, "reservation lapsed, or queue paused, before the create")
	}
	if ctx.Err() != nil {
		return 0, nil //nolint:nilerr // whoever leads next decides anew
	}
	if !c.sent {
		switch {
		case now.refusedSince(c.at):
			q.drop(id, "the namespace takes no kjobs")
			return 0, nil
		case c.made, q.claims.live(id):
			// Somebody else's (reacquire, another scheduler), who counted anew.
			q.drop(id, "it has a live kjob, or had one since")
			q.work.Add(id)
			return 0, nil
		}
	}
	return q.make(ctx, id, c.claim)
}

// letGo gives a claim up, if no create of it was sent: else the kjob may be there.
func (q *queue) letGo(ctx context.Context, id contract.JobID, c claim, why string) (time.Duration, error) {
	if c.sent {
		return q.confirm(ctx, id, c)
	}
	q.drop(id, why)
	return 0, nil
}

// make makes a claim's kjob, and has it created.
func (q *queue) make(ctx context.Context, id contract.JobID, c claim) (again time.Duration, err error) {
	set := q.set.Load()
	if set.template.WantsEnv() && c.env == nil {
		if c.env, again, err = q.envOf(ctx, id); err != nil || again > 0 {
			return again, err
		}
	}
	k, err := kjob.New(c.job, c.attempt, set.template, c.env)
	if err != nil {
		q.giveUp(id, decide.NotMade(err))
		return 0, nil
	}
	if q.markedMeanwhile(id, c.attempt) {
		// The decision that follows, which a claim keeps waiting, honours it.
		defer q.work.Add(id)
		return q.letGo(ctx, id, c, "the kjob before it is marked to go")
	}
	// Last of all: whoever is let through must also ask.
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
	_, err = q.s.lean.BatchV1().Jobs(k.Namespace).Create(cctx, k, metav1.CreateOptions{})
	return q.created(ctx, id, c, sent, err)
}

// envOf asks for a job's environment, which the template needs. The creators are all
// queues': they don't wait here for this one's endpoint. The client's own timeout
// bounds the request, so that one that hangs counts as a failure, and the next goes
// alone.
func (q *queue) envOf(ctx context.Context, id contract.JobID) (env map[string]string, again time.Duration, err error) {
	env, again, err = q.client.TryEnv(ctx, id)
	switch {
	case err == nil && again == 0:
		q.claims.setEnv(id, env)
	case err != nil && !stacks.Temporary(err) && q.standing.now().stopped == nil:
		q.tellWaiting(id, decide.NotCreated("Buildkite doesn't give the job's environment, which says what its pod is: "+err.Error()))
	}
	return env, min(again, envAgain), err
}

// markedMeanwhile reports whether the kjob before an attempt's was marked to go
// when the attempt had been decided on.
func (q *queue) markedMeanwhile(id contract.JobID, attempt int) bool {
	k := q.claims.last(id)
	return k != nil && k.Cancelled != "" && k.Attempt < attempt
}

// created carries out what a create's reply means.
func (q *queue) created(ctx context.Context, id contract.JobID, c claim, sent time.Time, err error) (time.Duration, error) {
	if err != nil && ctx.Err() != nil {
		return 0, nil //nolint:nilerr // our own end; the kjob may exist, and that is fine
	}
	r := responseToCreate(err)
	q.s.metrics.creates.WithLabelValues(q.name, string(r)).Inc()
	log := q.log.With("job_id", id, "attempt", c.attempt, "kjob", contract.KjobName(id, c.attempt))
	if r == responseFailed {
		q.s.breaker.Unanswered(sent)
		log.Debug("creating the kjob", "err", err)
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
		q.s.metrics.took(q.name, phaseCreated, c.at, time.Now())
		log.Info("kjob created")
		q.sayServed(q.standing.made())
		q.claims.created(id)
		return confirmAfter, nil
	case responseExists:
		return q.confirm(ctx, id, c)
	case responseNoNamespace:
		q.standing.keptOut()
		q.tellWaiting(id, decide.NotCreated(err.Error()))
		q.drop(id, "")
		// Not this kjob's name: each refusal would read as news.
		q.stop(fmt.Errorf("%w: %s", errNoCreate, strings.ReplaceAll(err.Error(), ` "`+contract.KjobName(id, c.attempt)+`"`, "")))
		return 0, nil
	case responseRefused:
		log.Error("the kjob was refused", "err", err)
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
		log.Warn("creating the kjob", "err", err, "retry_in", again.String())
		if d := decide.NotLetIn(waited, q.set.Load().policy(), err); d.Action == decide.Finish {
			q.giveUp(id, d)
			return 0, nil
		}
		q.tellWaiting(id, decide.NotCreated(err.Error()))
		return again, nil
	}
}

// confirm reads the kjob itself: a create may have been applied though its
// reply was lost, and one that succeeded may be gone before the cache saw it.
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
	r := responseToGet(k, err, id, q.label)
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
		q.drop(id, "the kjob is not there")
		return 0, nil
	case responseForeign:
		q.log.Error("a kjob's name is taken", "job_id", id, "kjob", name, "err", ErrForeign)
		q.giveUp(id, decide.NameTaken(name, q.store.Namespace, ErrForeign))
		return 0, nil
	}
	// Ours. Live is success; finished or on its way out means that somebody
	// else was here first, and the cache, once it shows it, is what decides.
	q.claims.created(id)
	if r == responseOver {
		q.work.AddAfter(id, time.Second)
	}
	return confirmAfter, nil
}

// drop gives a claim up. Its reservation, if it has one, lapses.
func (q *queue) drop(id contract.JobID, why string) {
	q.claims.drop(id)
	if why != "" {
		q.log.Info("claim dropped", "job_id", id, "reason", why)
	}
	signal(q.wakeup)
}

// giveUp turns a claim into a verdict for the sync workers to carry out, while the
// job is ours: later another may have it, or Kubernetes take it.
func (q *queue) giveUp(id contract.JobID, d decide.Decision) {
	q.claims.giveUp(id, d)
	q.work.Add(id)
}
