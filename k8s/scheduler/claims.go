package scheduler

import (
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/stacks"
)

// claims are the jobs that belong to a queue: jobs that are reserved and whose kjob
// isn't in the cache yet, jobs whose next attempt is due at a known time, and what is
// known of each job that has or had a kjob. All of it is a cache: a claim ends with its
// reservation, and the rest is derived again from what exists.
//
// One guard covers the three, because a job moves between them: a claim becomes a kjob
// in the cache, or a verdict; the end of an attempt becomes a retry, and that a claim.
// Without it, a reader in between could find the job in two of them, or in none, and
// make an attempt twice, or never. No method calls another part of the queue; only the
// previous queue's claims are read with the guard held.
type claims struct {
	store *cache.Store
	label string // the queue's, see cache.Store

	mu      sync.Mutex
	open    map[contract.JobID]*claim
	retries map[contract.JobID]retry
	jobs    map[contract.JobID]*jobState
	starved bool // the last tick left jobs for want of slots
	// before are the claims of the queue that served until its identity changed; its
	// last creates may still be under way.
	before *claims
}

// claim is a job that is reserved and whose kjob isn't in the cache yet.
type claim struct {
	job     stacks.Job
	attempt int
	env     map[string]string
	named   *corev1.PodSpec // of the PodTemplate that its step names
	at      time.Time       // when it was reserved
	since   time.Time       // see candidate
	sent    bool            // a create was sent; it may have been applied
	created bool            // a create succeeded
	// forbidden is when a create was first refused for now, zero if never.
	forbidden time.Time
	// unanswered is when Buildkite first failed to give its environment, zero if never.
	unanswered time.Time
	// unread is when its PodTemplate could first not be read, zero if never.
	unread time.Time
}

func newClaims(store *cache.Store, label string, before *claims) *claims {
	return &claims{
		store: store, label: label, before: before,
		open: map[contract.JobID]*claim{}, retries: map[contract.JobID]retry{}, jobs: map[contract.JobID]*jobState{},
	}
}

// handOver are the claims of a stopped queue, so that the next queue counts its creates
// that may still be under way; nil if there are none. It drops the claims before them.
func (cs *claims) handOver() *claims {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.open) == 0 {
		return nil
	}
	cs.before = nil // no chain: they lapse in seconds, and this is rare
	return cs
}

// count is how many there are.
func (cs *claims) count() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.open)
}

func (cs *claims) has(id contract.JobID) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.open[id] != nil
}

// room is how many of the candidates can be claimed, given the free slots. It also
// records whether candidates are left over.
func (cs *claims) room(candidates, free int) int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	room := min(free, maxAhead-len(cs.open))
	cs.starved = candidates > room
	return max(0, min(candidates, room))
}

// hungry: the last tick had more jobs than slots.
func (cs *claims) hungry() bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.starved
}

// full: the last look had more jobs than room, and as many as possible are about to be
// created. Reading a page of a thousand jobs is most of a look's work and would change
// nothing now; onKjob wakes the loop when half of them are created.
func (cs *claims) full() bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.starved && len(cs.open) > maxAhead/2
}

// take makes claims of the candidates that Buildkite reserved, and returns them. If
// Buildkite's reply was unclear, the others are due again at once: they may be reserved
// nevertheless, and would then not be listed again. What another stack holds is left to
// it for a while.
func (cs *claims) take(candidates []candidate, held map[contract.JobID]bool, asked time.Time, unclear bool) (claimed []candidate) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, c := range candidates {
		id := c.job.ID
		m := cs.jobs[id]
		elsewhere := m != nil && m.State() == stacks.StateReserved
		switch {
		case !held[id] && unclear:
			cs.retries[id] = retry{job: c.job, attempt: c.attempt, due: asked}
		case !held[id] && elsewhere:
			m.ask = true
			cs.retries[id] = retry{job: c.job, attempt: c.attempt, due: asked.Add(otherAgain), left: true}
		case !held[id]:
			if m != nil {
				m.ask = true
			}
			delete(cs.retries, id)
		case cs.open[id] == nil:
			cs.open[id] = &claim{job: c.job, attempt: c.attempt, at: time.Now(), since: c.since}
			delete(cs.retries, id)
			claimed = append(claimed, c)
		}
	}
	return claimed
}

func (cs *claims) setEnv(id contract.JobID, env map[string]string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.open[id]; c != nil {
		c.env = env
	}
}

// claimNow is a claim as it is now.
type claimNow struct {
	claim
	lapsed bool // its reservation has
	made   bool // a kjob of its attempt, or of a later one, is gone
}

// now returns a claim, and false if there is none.
func (cs *claims) now(id contract.JobID) (claimNow, bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.open[id]
	if c == nil {
		return claimNow{}, false
	}
	m := cs.state(id)
	return claimNow{claim: *c, lapsed: m.reservedUntil.Before(time.Now()), made: m.Gone() >= c.attempt}, true
}

// sent notes that a create is about to be sent.
func (cs *claims) sent(id contract.JobID) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.open[id]; c != nil {
		c.sent = true
	}
}

// created notes that a create has succeeded. The kjob may have come into the cache
// before the reply: the claim is over then, and onKjob has not seen it as created.
func (cs *claims) created(id contract.JobID) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.open[id]
	if c == nil {
		return
	}
	c.created, c.sent = true, true
	m := cs.state(id)
	m.made(c.attempt)
	m.Own(c.attempt)
	if cs.store.Kjob(contract.KjobName(id, c.attempt)) != nil {
		delete(cs.open, id)
	}
}

// forbiddenSince is when a claim's create was first refused for now, which it is.
func (cs *claims) forbiddenSince(id contract.JobID) time.Time {
	return cs.since(id, func(c *claim) *time.Time { return &c.forbidden })
}

// unansweredSince is when Buildkite first failed to give a claim's environment, which it
// does.
func (cs *claims) unansweredSince(id contract.JobID) time.Time {
	return cs.since(id, func(c *claim) *time.Time { return &c.unanswered })
}

// since is when something was first noted of a claim: now, if it wasn't before.
func (cs *claims) since(id contract.JobID, when func(*claim) *time.Time) time.Time {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	now := time.Now()
	c := cs.open[id]
	if c == nil {
		return now
	}
	if at := when(c); at.IsZero() {
		*at = now
	}
	return *when(c)
}

// sees records what the informer shows of a kjob; ended: this is news of its end. It
// reports whether the poll loop waits for the room that this makes. The claim is
// dropped in the same step in which its attempt is recorded as made; otherwise the
// attempt would be made again.
func (cs *claims) sees(k *cache.Job, ended, deleted bool) (makesRoom bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	m := cs.state(k.ID)
	m.made(k.Attempt)
	if c := cs.open[k.ID]; c != nil && c.sent && c.attempt == k.Attempt {
		m.Own(k.Attempt)
	}
	makesRoom = deleted || ended
	if deleted {
		m.kjobGone(k)
	} else if c := cs.open[k.ID]; c != nil && k.Attempt >= c.attempt {
		delete(cs.open, k.ID)
		makesRoom = makesRoom || len(cs.open) == maxAhead/2
	}
	return makesRoom && cs.starved && len(cs.open) <= maxAhead/2 // see full
}

// superseded: the job has a claim to another attempt by now, so a late answer about
// this attempt doesn't matter.
func (cs *claims) superseded(id contract.JobID, attempt int) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.open[id]
	return c != nil && c.attempt != attempt
}

func (cs *claims) drop(id contract.JobID) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.open, id)
}

// postpone turns a claim into a retry of the same attempt.
func (cs *claims) postpone(id contract.JobID, c claim, due time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.open, id)
	cs.retries[id] = retry{job: c.job, attempt: c.attempt, due: due}
}

// dropUnsent drops the claims without a create that was sent, and counts the others.
func (cs *claims) dropUnsent() (left int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	maps.DeleteFunc(cs.open, func(_ contract.JobID, c *claim) bool { return !c.sent })
	return len(cs.open)
}

// giveUp turns a claim into a verdict in one step: a worker that found neither would
// decide about the job.
func (cs *claims) giveUp(id contract.JobID, d decide.Decision) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	m := cs.state(id)
	if c := cs.open[id]; c != nil {
		m.pipeline = c.job.Pipeline
	}
	delete(cs.open, id)
	m.verdict, m.verdictUntil = &d, decide.Later(m.reservedUntil, time.Now().Add(decide.StateFresh))
}
