package scheduler

import (
	"fmt"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// A job taken from us is nothing new, or a person's doing; a few of them in a short time
// mean another installation with our stack's key.
const (
	rivalJobs   = 3
	rivalWithin = 10 * time.Minute
)

// rivals notices that another installation uses the stack's key. Buildkite takes its
// reservation of a job for an extension of ours, shows neither whose it is, and tells
// nobody who else registers: both make a pod, and one of the two is refused the job. So
// the sign is that agents which aren't in our pods have jobs that we had reserved.
type rivals struct {
	mu   sync.Mutex
	took map[contract.JobID]time.Time
	told bool
}

// have notes that another agent has a job, and returns how many there are of them if
// that is to be told.
func (r *rivals) have(id contract.JobID, now time.Time) (told int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.took == nil {
		r.took = map[contract.JobID]time.Time{}
	}
	if _, known := r.took[id]; !known {
		r.took[id] = now
	}
	if r.told || r.recent(now) < rivalJobs {
		return 0
	}
	r.told = true
	return len(r.took)
}

// there reports whether there are any, as of now.
func (r *rivals) there(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recent(now) == 0 {
		r.told = false
	}
	return r.told
}

// recent counts the jobs, and forgets old ones. Callers hold the guard.
func (r *rivals) recent(now time.Time) int {
	for id, at := range r.took {
		if now.Sub(at) > rivalWithin {
			delete(r.took, id)
		}
	}
	return len(r.took)
}

// watchRivals looks whether a job that we hold is another agent's.
func (q *queue) watchRivals(id contract.JobID, f decide.Facts) {
	refused, unplaced := f.RefusedFirst(), f.TakenUnplaced()
	known := f.EndedAt
	if unplaced {
		known = f.HeldAt
	}
	switch {
	case !refused && !unplaced, !q.claims.reservedAt(id, known):
		return
	case refused && !f.Fresh():
		q.ask(id)
		return
	case !f.State.Held():
		return
	}
	if q.cacheMayBeStale(id) {
		return // the pod may have got a node and the job meanwhile
	}
	n := q.rivals.have(id, f.Now)
	if n == 0 {
		return
	}
	stack := q.set.Load().Stack
	text := fmt.Sprintf("queue %s: %d jobs that its stack %s had reserved were taken by agents that are not in its pods: another installation seems to use the same stack key, and each such job costs a pod. Give one of the two another key (`stack` in its configuration, or none for a key of its own)", q.name, n, stack)
	q.log.Error("another installation seems to use the stack's key", "stack", stack, "jobs", n, "hint", "give one of the two another key: stack in its configuration, or none for a key of its own")
	q.s.events.Event(q.store.Namespace, "onejob-queue-"+q.label, "", true, "StackShared", text, decide.Decision{})
}

// reservedAt reports whether a job's reservation, as Buildkite confirmed it, stood at a
// time.
func (cs *claims) reservedAt(id contract.JobID, at time.Time) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	m := cs.jobs[id]
	return m != nil && m.reservedUntil.After(at)
}
