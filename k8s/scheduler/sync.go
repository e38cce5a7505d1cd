package scheduler

import (
	"context"
	"errors"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/stacks"
)

// worker decides on jobs and carries the decisions out. After the end of
// serving it leaves what waits: the next leader decides from the same facts.
func (q *queue) worker(serving, ctx context.Context) {
	for {
		id, shutdown := q.work.Get()
		if shutdown {
			return
		}
		if serving.Err() != nil {
			q.work.Done(id)
			continue
		}
		if err := q.sync(ctx, id); err != nil && ctx.Err() == nil {
			q.log.Debug("decision not carried out", "job_id", id, "err", err)
			q.work.AddRateLimited(id)
		} else {
			q.work.Forget(id)
		}
		q.work.Done(id)
	}
}

func (q *queue) sync(ctx context.Context, id contract.JobID) error {
	q.tellLostFinish(id)
	v := q.claims.verdictOn(id)
	switch {
	case v.claimed:
		return nil // its kjob isn't there yet
	case v.lapsed:
		return nil // if it is offered again, it is reserved and looked at again
	case v.decision != nil:
		return q.finish(ctx, id, *v.decision, nil)
	}
	cleared := q.clear(ctx, id)
	d, f := q.decide(id)
	if q.wantsWarnings(id, d, f) {
		q.fetchWarnings(ctx, id, f)
		d, f = q.decide(id)
	}
	q.tellSlowStart(ctx, id, f, q.measure(id, f))
	q.trace(id, d, f)
	q.watchRivals(id, f)
	return errors.Join(cleared, q.act(ctx, id, d, f), q.noteUsed(ctx, id, f))
}

// decide gathers the facts about a job and decides.
func (q *queue) decide(id contract.JobID) (decide.Decision, decide.Facts) {
	f := q.facts(id)
	return decide.On(f), f
}

// facts shows the job's timeline what there is of it now.
func (q *queue) facts(id contract.JobID) decide.Facts {
	f := q.claims.facts(id, q.seen(id))
	if f.OrphanUnsure {
		q.lookWhenSettled(id)
	}
	return f
}

// seen is what the cache shows of a job now, but for its kjobs.
func (q *queue) seen(id contract.JobID) decide.Seen {
	s := decide.Seen{Policy: q.set.Load().policy()}
	for _, p := range q.store.PodsOf(id) {
		s.Pods = append(s.Pods, attemptPod(p))
	}
	s.Now, s.MendedAt, s.Stale = time.Now(), q.store.AnsweredAgainAt(), q.store.Stale()
	return s
}

func attemptKJob(k *cache.Job) decide.AttemptKJob {
	return decide.AttemptKJob{Number: k.Attempt, KJob: k.KJob, Story: k.Story, Faults: k.Faults, Found: k.Found}
}

func attemptPod(p *cache.Pod) decide.AttemptPod {
	return decide.AttemptPod{Pod: &p.Pod, KJob: p.KjobUID, Attempt: p.Attempt}
}

// act carries a decision out.
func (q *queue) act(ctx context.Context, id contract.JobID, d decide.Decision, f decide.Facts) error {
	if !d.Again.IsZero() {
		q.work.AddAfter(id, time.Until(d.Again)+time.Millisecond)
	}
	switch d.Action {
	case decide.Ask:
		q.ask(id)
		return nil
	case decide.Attempt:
		return q.retry(ctx, id, d, f)
	case decide.Finish:
		return q.finish(ctx, id, d, &f)
	case decide.Delete:
		return q.remove(ctx, id, d)
	default:
		if f.Attempt > 0 { // else it may be a reservation whose reply was lost
			q.claims.noRetry(id)
		}
		q.count(id, d, f)
		if d.Waiting {
			q.tellWaiting(id, d)
		} else {
			q.note(id, d)
		}
		return nil
	}
}

// cacheMayBeStale reports whether the caches may show what was true before an outage of
// the API server: what can't be taken back isn't done on that, but looked at
// again later.
func (q *queue) cacheMayBeStale(id contract.JobID) bool {
	if !q.store.Stale() {
		return false
	}
	q.lookWhenSettled(id)
	return true
}

func (q *queue) lookWhenSettled(id contract.JobID) {
	q.work.AddAfter(id, cache.Settle/2+jitter.UpTo(cache.Settle/2))
}

// retry hands a new attempt to the poll loop, which has the slots.
func (q *queue) retry(ctx context.Context, id contract.JobID, d decide.Decision, f decide.Facts) error {
	if d.Reason == decide.ReasonRefused {
		// The pod's token was refused. Is ours?
		switch err := q.checkToken(ctx); {
		case errors.Is(err, stacks.ErrRefused):
			q.work.AddAfter(id, refusedEvery)
			return nil
		case err != nil:
			return err
		}
	}
	if !q.claims.retry(id, d, f) {
		return nil
	}
	q.announce(id, d, f)
	if wait := time.Until(d.NotBefore); wait > 0 {
		q.work.AddAfter(id, wait)
		return nil
	}
	signal(q.wakeup)
	return nil
}

// announce says, once, that a new attempt will be made and why.
func (q *queue) announce(id contract.JobID, d decide.Decision, f decide.Facts) {
	if !q.pages.announce(id, d, f) {
		return
	}
	q.count(id, d, f)
	q.log.Info("a new attempt will be made", "job_id", id, "attempt", f.Attempt+1, "reason", d.Reason, "retry_in", max(0, time.Until(d.NotBefore)).Round(time.Millisecond).String())
	q.tell(id, lineOf(f.Attempt, d), d.Text, maxTold, nil)
	q.event(id, false, "NewAttempt", d)
}

// note says what onejob can do nothing about, once for each topic: on the job's
// page, and then in an Event, for those who look at the cluster and for the
// leaders after us.
func (q *queue) note(id contract.JobID, d decide.Decision) {
	reason := events.Notice
	switch d.Reason {
	case decide.ReasonLost, decide.ReasonLostAfter, decide.ReasonNotRun:
		reason = events.Lost
	}
	q.tell(id, lineOf(q.claims.subject(id), d), d.Text, maxNoted, func() { q.event(id, true, reason, d) })
}

// event records an Event on the job's last kjob, by its name if nothing is known
// of it: it may have gone unseen, or never have been let in.
func (q *queue) event(id contract.JobID, warning bool, reason string, d decide.Decision) {
	if k := q.claims.last(id); k != nil {
		q.s.events.Event(k.Namespace, k.Name, k.UID, warning, reason, d.Text, d)
		return
	}
	q.s.events.Event(q.store.Namespace, q.kjobOf(id), "", warning, reason, d.Text, d)
}

// kjobOf names the kjob of a job's last attempt, which may never have been made.
func (q *queue) kjobOf(id contract.JobID) string {
	return contract.KjobName(id, q.claims.subject(id))
}

// count puts what is done about the end of an attempt into the metrics, once. As
// long as the kjob isn't over, that nothing is done means nothing.
func (q *queue) count(id contract.JobID, d decide.Decision, f decide.Facts) {
	nothing, over := d.Action == decide.None, f.KJob.Finished || f.KJob.Gone
	switch {
	case d.Reason == "", f.EndedAt.IsZero(), nothing && !over:
		return
	}
	changed, news := q.pages.count(id, f.KJob.UID, d)
	if changed && q.standing.tokenAsked(d, f.Pod.Message) {
		q.sayProbes()
	}
	old := nothing && d.Reason != decide.ReasonOfferAgain && q.countedByPreviousLeader(f)
	if news && !old {
		q.s.losses.add(q, id, d, f)
		q.decided(id, d.Action, d.Reason)
	}
}

// countedByPreviousLeader reports whether the attempt ended before nobody led: a leader before us
// has put it into its metrics.
func (q *queue) countedByPreviousLeader(f decide.Facts) bool {
	return f.KJob.Finished && f.KJob.FinishedAt.Before(q.since.Add(-leaseDuration-leaseRetry))
}
