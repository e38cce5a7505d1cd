package scheduler

import (
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/stacks"
)

// retry is a job whose next attempt is due at a time.
type retry struct {
	job     stacks.Job
	attempt int
	due     time.Time
	left    bool // to another stack, which holds the job
}

// retry records the next attempt, which the poll loop makes when it is due. It reports
// false if that attempt was made while Buildkite was asked: then f is out of date. Its
// kjob may even be gone, and its name free; so nobody may make it between the look and
// the record. And false if the attempt is left to another stack, as long as that holds
// the job.
func (cs *claims) retry(id contract.JobID, d decide.Decision, f decide.Facts) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.open[id] != nil || cs.state(id).Attempts() > f.Attempt {
		return false
	}
	if r := cs.retries[id]; r.left && r.attempt == f.Attempt+1 && cs.state(id).State() == stacks.StateReserved {
		return false
	}
	job := stacks.Job{ID: id}
	if k, _ := cs.lastOf(id); k != nil {
		job = k.Job
	}
	cs.retries[id] = retry{job: job, attempt: f.Attempt + 1, due: d.NotBefore}
	return true
}

// noRetry drops the next attempt, because its decision no longer holds.
func (cs *claims) noRetry(id contract.JobID) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.retries, id)
}

// due are the next attempts that are due and whose jobs aren't listed, as reserved jobs
// aren't; and how many wait in all.
func (cs *claims) due(listed map[contract.JobID]bool) (due []candidate, waiting int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	now := time.Now()
	for id, r := range cs.retries {
		elsewhere := listed[id] || cs.open[id] != nil
		if !elsewhere && !now.Before(r.due) {
			due = append(due, candidate{job: r.job, attempt: r.attempt})
		}
	}
	return due, len(cs.retries)
}

// attempts of a job: whether another one is due, whether there was one, and whether
// its kjob is gone.
type attempts struct{ due, tried, gone bool }

func (cs *claims) attempts(id contract.JobID) (a attempts) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	_, a.due = cs.retries[id]
	if m := cs.jobs[id]; m != nil {
		a.tried = m.Attempts() > 0
		a.gone = a.tried && m.Gone() > 0
	}
	return a
}

// offer is what there is of a job that Buildkite lists as scheduled.
type offer struct {
	claimed  bool
	known    bool // a kjob of it is there or was, or there is a verdict: it is decided on
	ask      bool // Buildkite is to be asked for its state now
	attempts int
	due      time.Time // of the next attempt
}

// deletionTold is how long a kjob may be out of the cache before the informer has told
// that it was deleted. What its end says of the job is known only then, and until then it
// would look as if there had been no attempt that counts.
const deletionTold = 2 * time.Second

// offered records that a job was listed at the given time. It looks at the cache with
// the guard held: a claim is dropped when its kjob is in the cache, so that one of the
// two is always seen.
func (cs *claims) offered(id contract.JobID, at time.Time) offer {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	there := len(cs.store.KjobsOf(id)) > 0
	o := offer{claimed: cs.open[id] != nil, known: there, due: cs.retries[id].due}
	m := cs.jobs[id]
	if m == nil {
		return o
	}
	if !o.claimed {
		o.ask = m.listed(at)
	}
	o.known = there || m.Gone() > 0 || m.verdict != nil
	o.attempts = m.Attempts()
	switch {
	case o.known || o.attempts == 0:
		m.missing = time.Time{}
	case m.missing.IsZero():
		m.missing = time.Now()
		fallthrough
	default:
		o.due = decide.Later(o.due, m.missing.Add(deletionTold))
	}
	if failed := m.finishFailed; failed != nil && !o.known {
		o.due = decide.Later(o.due, failed.again) // another create would only lead there again
	}
	return o
}

// orphaned reports whether a pod may be running of a kjob that is gone, and that
// nobody remembers, and what is to be said of that.
func (cs *claims) orphaned(id contract.JobID, seen decide.Seen) (decide.Decision, bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.state(id).Orphaned(seen)
}

// podGone notes the last state of a pod that was deleted.
func (cs *claims) podGone(p *cache.Pod) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.state(p.ID).PodGone(attemptPod(p))
}
