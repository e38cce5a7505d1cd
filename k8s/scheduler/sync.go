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
			q.log.Debug("carrying out a decision", "job_id", id, "err", err)
			q.work.AddRateLimited(id)
		} else {
			q.work.Forget(id)
		}
		q.work.Done(id)
	}
}

func (q *queue) sync(ctx context.Context, id contract.JobID) error {
	q.tellLostFinish(id)
	q.mu.Lock()
	m := q.state(id)
	verdict, claimed := m.verdict, q.claims[id] != nil
	lapsed := verdict != nil && time.Now().After(m.verdictUntil)
	if lapsed {
		m.verdict = nil
	}
	q.mu.Unlock()
	if claimed {
		return nil // its kjob isn't there yet
	}
	if verdict != nil {
		if lapsed {
			return nil // if it is offered again, it is reserved and looked at again
		}
		return q.finish(ctx, id, *verdict, nil)
	}
	cleared := q.clear(ctx, id)
	d, f := q.decide(id)
	if q.wantsWarnings(id, d, f) {
		q.fetchWarnings(ctx, id, f)
		d, f = q.decide(id)
	}
	q.measure(id, f)
	return errors.Join(cleared, q.act(ctx, id, d, f))
}

// decide gathers the facts about a job and decides.
func (q *queue) decide(id contract.JobID) (decide.Decision, decide.Facts) {
	f := q.facts(id)
	return decide.On(f), f
}

func (q *queue) facts(id contract.JobID) decide.Facts {
	pods := q.store.PodsOf(id)
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	m, mended := q.state(id), q.store.AnsweredAgainAt()
	f := decide.Facts{Now: now, State: m.state, StateAt: m.stateAt, ToldAt: m.toldAt, HeldAt: m.heldAt, MendedAt: mended, Policy: q.set.Load().policy()}
	k, gone := q.last(id)
	if k != nil {
		f.Attempt, f.KJob, f.Story, f.Faults, f.MendedAt = k.Attempt, k.KJob, k.Story, k.Faults, decide.Later(mended, k.Found)
		if gone {
			// What was finished when it went is decided on as if it were there.
			f.KJob.Exists, f.KJob.Gone, f.KJob.Terminating = k.Finished, !k.Finished, false
		}
		if m.removed == k.UID {
			f.Removed = m.removedAs
		}
	}
	for _, p := range pods {
		if p.KjobUID == f.KJob.UID {
			f.Pod, f.KJob.PodSeen = p.Pod, true
			// It is known also in the moment in which it has gone from the
			// cache and onPod hasn't been told.
			m.podOf, m.podNo, m.pod = p.KjobUID, p.Attempt, p.Pod
		}
		if p.KjobUID != f.KJob.UID || f.KJob.Gone {
			if p.Lives() && p.Node != "" {
				f.OtherPodLives, f.OtherNode = p.Name, p.Node
			}
		}
	}
	if f.Attempt == 0 {
		f.Orphan = m.pod
		f.Orphan.Deleted = m.pod.Phase != ""
		for _, p := range pods {
			f.Orphan = p.Pod
		}
		if f.Orphan.Started && q.cacheMayBeStale(id) {
			f.Orphan = decide.Pod{} // its kjob may only be news
		}
	}
	if f.Pod.Phase == "" && m.podOf == f.KJob.UID && m.pod.Phase != "" {
		f.Pod, f.KJob.PodSeen = m.pod, true
		f.Pod.Deleted = true
	}
	if m.heardOf == f.Subject() {
		f.Heard = m.heard
	}
	if (f.Pod.Over() || f.Pod.Deleted) && k != nil && !gone && !f.KJob.Terminating && m.over != f.KJob.UID {
		m.over, m.overAt = f.KJob.UID, now
	}
	if m.over == f.KJob.UID {
		f.OverAt = decide.Later(m.overAt, mended)
	}
	ended := f.KJob.Gone || f.KJob.Finished || f.Pod.Over() || f.Pod.Deleted
	if (ended || f.State.Over()) && f.Attempt > 0 && m.ended != f.KJob.UID {
		m.ended, m.endedAt = f.KJob.UID, now
	}
	if m.ended == f.KJob.UID {
		f.EndedAt = m.endedAt
		if f.Fresh() && !f.State.Over() {
			m.open = f.KJob.UID
		}
		f.Unreported = m.open == f.KJob.UID
	}
	if !gone && (ended && f.Pod.Lost() || f.Pod.Deleted || f.Pod.Lingers()) {
		m.lost = f.KJob.UID
	}
	if kind := f.FailureKind(); kind != m.failKind || m.failOf != f.KJob.UID {
		m.failKind, m.failOf, m.failAt = kind, f.KJob.UID, now
	}
	if f.FailingSince = m.failAt; f.Podless() {
		f.FailingSince = decide.Later(m.failAt, mended)
	}
	return f
}

// last is the kjob that decisions about a job rest on: that of its last attempt,
// also when it is gone and one of an attempt before isn't. Only one that is live
// goes before it; whoever made that didn't know of the other. Callers hold q.mu.
func (q *queue) last(id contract.JobID) (k *cache.Job, gone bool) {
	m := q.state(id)
	if ks := q.store.KjobsOf(id); len(ks) > 0 {
		k = ks[len(ks)-1]
	}
	switch g := m.gone; {
	case g == nil, k != nil && k.Attempt < g.Attempt && q.holdsSlot(k):
		return k, false
	case k != nil && k.Attempt >= g.Attempt:
		m.gone = nil
		return k, false
	default:
		return g, true
	}
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
			q.mu.Lock()
			delete(q.retries, id) // of a decision that holds no more
			q.mu.Unlock()
		}
		q.count(id, d, f)
		if d.Waiting {
			q.tellWaiting(id, d.Reason, d.Text)
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
	q.work.AddAfter(id, cache.Settle/2+jitter.UpTo(cache.Settle/2))
	return true
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
	q.mu.Lock()
	if q.claims[id] != nil {
		q.mu.Unlock()
		return nil
	}
	job := stacks.Job{ID: id}
	if k, _ := q.last(id); k != nil {
		job = k.Job
	}
	q.retries[id] = retry{job: job, attempt: f.Attempt + 1, due: d.NotBefore}
	q.mu.Unlock()
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
	q.mu.Lock()
	m := q.state(id)
	news := m.announced != f.KJob.UID
	m.announced, m.story, m.faults = f.KJob.UID, f.Story.With(d.Text), f.NodeFaults()
	q.mu.Unlock()
	if !news {
		return
	}
	q.count(id, d, f)
	q.log.Info("a new attempt will be made", "job_id", id, "attempt", f.Attempt+1, "reason", d.Reason, "retry_in", max(0, time.Until(d.NotBefore)).Round(time.Millisecond).String())
	q.tell(id, d.Text, maxTold, nil)
	q.event(id, false, "NewAttempt", d.Text)
}

// note says what onejob can do nothing about, once for each text: on the job's
// page, and then in an Event, for those who look at the cluster and for the
// leaders after us.
func (q *queue) note(id contract.JobID, d decide.Decision) {
	reason := events.Notice
	switch d.Reason {
	case decide.ReasonLost, decide.ReasonLostAfter, decide.ReasonNotRun:
		reason = events.Lost
	}
	q.tell(id, d.Text, maxNoted, func() { q.event(id, true, reason, d.Text) })
}

// event records an Event on the job's last kjob, by its name if nothing is known
// of it: it may have gone unseen, or never have been let in.
func (q *queue) event(id contract.JobID, warning bool, reason, text string) {
	q.mu.Lock()
	k, _ := q.last(id)
	q.mu.Unlock()
	if k != nil {
		q.s.events.Event(k.Namespace, k.Name, k.UID, warning, reason, text)
		return
	}
	q.s.events.Event(q.store.Namespace, q.kjobOf(id), "", warning, reason, text)
}

// kjobOf names the kjob of a job's last attempt, which may never have been made.
func (q *queue) kjobOf(id contract.JobID) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return contract.KjobName(id, max(q.state(id).attempts, 1))
}

// count puts what is done about the end of an attempt into the metrics, once. As
// long as the kjob isn't over, that nothing is done means nothing.
func (q *queue) count(id contract.JobID, d decide.Decision, f decide.Facts) {
	if d.Reason == "" || f.EndedAt.IsZero() || d.Action == decide.None && !f.KJob.Finished && !f.KJob.Gone {
		return
	}
	q.mu.Lock()
	m := q.state(id)
	first := m.counted != f.KJob.UID
	// Refused, and offered again later; finished, and offered again.
	again := d.Reason == decide.ReasonOfferAgain
	changed := first || m.countedAs != d.Action
	news := changed || again && !m.countedAgain
	m.counted, m.countedAs, m.countedAgain = f.KJob.UID, d.Action, again
	probes := changed && q.tokenAsked(d, f.Pod.Message)
	q.mu.Unlock()
	if probes {
		q.sayProbes()
	}
	if news && (d.Action != decide.None || again || !q.countedByPreviousLeader(f)) {
		q.s.metrics.decisions.WithLabelValues(q.name, string(d.Action), string(d.Reason)).Inc()
	}
}

// countedByPreviousLeader reports whether the attempt ended before nobody led: a leader before us
// has put it into its metrics.
func (q *queue) countedByPreviousLeader(f decide.Facts) bool {
	return f.KJob.Finished && f.KJob.FinishedAt.Before(q.since.Add(-leaseDuration-leaseRetry))
}
