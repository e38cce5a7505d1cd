package scheduler

import (
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/stacks"
)

// candidate is an attempt that could be made now.
type candidate struct {
	job     stacks.Job
	attempt int
	since   time.Time // when a job could run that was seen to come, and has had no attempt
}

// announced reports whether another attempt at a job is due or possible, because the
// end of the last one isn't told or decided yet. The job stays ours when the queue's
// tags change, and its page must not depend on whether the poll or a worker is faster.
func (q *queue) announced(id contract.JobID) bool {
	switch a := q.claims.attempts(id); {
	case a.due, !a.tried:
		return a.due
	case !a.gone:
		return len(q.store.KjobsOf(id)) == 0 // the informer is about to tell of its deletion
	}
	d, _ := q.decide(id)
	return d.Action == decide.Attempt || d.Action == decide.Ask
}

// offer says which attempt could be made now at a job that Buildkite lists as
// scheduled, 0 for none.
func (q *queue) offer(j stacks.Job, at time.Time) int {
	o := q.claims.offered(j.ID, at)
	if o.ask {
		signal(q.look)
	}
	switch {
	case o.claimed, time.Now().Before(o.due):
		return 0
	case o.known:
		return q.offerKnown(j.ID)
	case q.orphaned(j.ID):
		return 0
	}
	story, _ := q.pages.story(j.ID)
	if d := decide.NextAttempt(o.attempts, story, q.set.Load().policy()); d.Action != decide.Attempt {
		q.giveUp(j.ID, d)
		return 0
	}
	return o.attempts + 1
}

// offerKnown is offer for a job about which there is a decision.
func (q *queue) offerKnown(id contract.JobID) int {
	d, f := q.decide(id)
	if d.Action == decide.Attempt && !time.Now().Before(d.NotBefore) {
		q.announce(id, d, f)
		return f.Attempt + 1
	}
	q.work.Add(id)
	if d.Action == decide.None && f.KJob.Live() {
		signal(q.lapsed)
	}
	return 0
}

// orphaned reports whether a pod may be running of a kjob that is gone, and that
// nobody remembers. It may yet acquire the job; there is never a second beside it.
func (q *queue) orphaned(id contract.JobID) bool {
	seen := q.seen(id)
	if len(seen.Pods) == 0 {
		return false // and nothing is to be remembered of it
	}
	d, orphaned := q.claims.orphaned(id, seen)
	if d.Waiting {
		q.tellWaiting(id, d)
	}
	return orphaned
}
