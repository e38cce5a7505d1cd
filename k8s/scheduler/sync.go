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

// facts shows the job's timeline what there is of it now.
func (q *queue) facts(id contract.JobID) decide.Facts {
	seen := q.seen(id)
	q.mu.Lock()
	if k := q.lastThere(id); k != nil {
		seen.KJob, seen.HoldsSlot = attemptKJob(k), q.holdsSlot(k)
	}
	f := q.state(id).See(seen)
	q.mu.Unlock()
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
	return decide.AttemptPod{Pod: p.Pod, KJob: p.KjobUID, Attempt: p.Attempt}
}

// lastThere is the last of a job's kjobs that the cache shows, nil if there is none.
func (q *queue) lastThere(id contract.JobID) *cache.Job {
	ks := q.store.KjobsOf(id)
	if len(ks) == 0 {
		return nil
	}
	return ks[len(ks)-1]
}

// last is the kjob that decisions about a job rest on, see Timeline.Last. Callers
// hold q.mu.
func (q *queue) last(id contract.JobID) (k *cache.Job, gone bool) {
	m, there := q.state(id), decide.AttemptKJob{}
	if k = q.lastThere(id); k != nil {
		there = attemptKJob(k)
	}
	if _, gone = m.Last(there, k != nil && q.holdsSlot(k)); gone {
		return m.gone, true
	}
	if m.Gone() == 0 {
		m.gone = nil
	}
	return k, false
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
	if !q.noteRetry(id, d, f) {
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

// noteRetry notes the next attempt, for the poll loop to make when it is due. It
// reports false if that was made while Buildkite was asked: what became of it is news
// that f doesn't have. It may even be gone, and its name free.
func (q *queue) noteRetry(id contract.JobID, d decide.Decision, f decide.Facts) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.claims[id] != nil || q.state(id).Attempts() > f.Attempt {
		return false
	}
	job := stacks.Job{ID: id}
	if k, _ := q.last(id); k != nil {
		job = k.Job
	}
	q.retries[id] = retry{job: job, attempt: f.Attempt + 1, due: d.NotBefore}
	return true
}

// announce says, once, that a new attempt will be made and why.
func (q *queue) announce(id contract.JobID, d decide.Decision, f decide.Facts) {
	q.mu.Lock()
	m := q.state(id)
	news := m.announced != f.KJob.UID
	m.announced, m.story, m.faults = f.KJob.UID, f.Story.With(decide.Past{Reason: d.Reason, Attempt: f.Attempt, At: f.EndedAt, Text: d.Text}), f.NodeFaults()
	q.mu.Unlock()
	if !news {
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
	q.tell(id, lineOf(q.subject(id), d), d.Text, maxNoted, func() { q.event(id, true, reason, d) })
}

// event records an Event on the job's last kjob, by its name if nothing is known
// of it: it may have gone unseen, or never have been let in.
func (q *queue) event(id contract.JobID, warning bool, reason string, d decide.Decision) {
	q.mu.Lock()
	k, _ := q.last(id)
	q.mu.Unlock()
	if k != nil {
		q.s.events.Event(k.Namespace, k.Name, k.UID, warning, reason, d.Text, d)
		return
	}
	q.s.events.Event(q.store.Namespace, q.kjobOf(id), "", warning, reason, d.Text, d)
}

// kjobOf names the kjob of a job's last attempt, which may never have been made.
func (q *queue) kjobOf(id contract.JobID) string { return contract.KjobName(id, q.subject(id)) }

// subject is the attempt that is talked of: the last one that is known.
func (q *queue) subject(id contract.JobID) int {
	pods := q.store.PodsOf(id)
	q.mu.Lock()
	defer q.mu.Unlock()
	if k, _ := q.last(id); k != nil {
		return k.Attempt
	}
	attempt := max(q.state(id).Attempts(), 1)
	for _, p := range pods {
		attempt = max(attempt, p.Attempt)
	}
	return attempt
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
