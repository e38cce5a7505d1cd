package scheduler

import (
	"iter"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/stacks"
)

// memoLife is how long an unused job state is kept.
const memoLife = time.Hour

// jobState is what is remembered of a job that has, or had, a kjob. Its guard is that
// of the claims.
type jobState struct {
	decide.Timeline
	gone          *cache.Job // of Timeline.Gone: what the next attempt is made of
	missing       time.Time  // since when the last attempt's kjob is not there, and not known to be gone
	ask           bool
	reservedUntil time.Time

	verdict      *decide.Decision // for a job that has no kjob and can't have one
	verdictUntil time.Time        // when that is too old to be carried out
	finishFailed *failedFinish    // the last finish, if Buildkite didn't take it
	pipeline     string           // of such a job
	touched      time.Time
}

// state makes what is remembered of a job, if nothing is. Callers hold the guard.
func (cs *claims) state(id contract.JobID) *jobState { return cs.stateAt(id, time.Now()) }

func (cs *claims) stateAt(id contract.JobID, now time.Time) *jobState {
	m := cs.jobs[id]
	if m == nil {
		m = &jobState{}
		cs.jobs[id] = m
	}
	m.touched = now
	return m
}

// made: a kjob of this attempt exists. A finish that Buildkite refused was about the
// time before.
func (m *jobState) made(attempt int) {
	if attempt > m.Attempts() {
		m.finishFailed = nil
	}
	m.Made(attempt)
}

// isOf records the pipeline of a job that gets no kjob.
func (cs *claims) isOf(j stacks.Job) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.state(j.ID).pipeline = j.Pipeline
}

// kjobGone remembers the last attempt's kjob, which was deleted.
func (m *jobState) kjobGone(k *cache.Job) {
	if m.KJobGone(attemptKJob(k)) {
		m.gone = k
	}
}

// sweep drops the states of jobs that have left no trace for memoLife.
func (cs *claims) sweep() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for id, m := range cs.jobs {
		forgotten := time.Since(m.touched) > memoLife && cs.open[id] == nil
		if forgotten && len(cs.store.KjobsOf(id)) == 0 {
			delete(cs.jobs, id)
			delete(cs.retries, id)
		}
	}
}

// known are the jobs with a state.
func (cs *claims) known() []contract.JobID {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return slices.Collect(maps.Keys(cs.jobs))
}

// remembered is the number of jobs with a state.
func (cs *claims) remembered() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.jobs)
}

// hearAdmission notes what Kueue says of a kjob now.
func (cs *claims) hearAdmission(id contract.JobID, subject string, says string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.state(id).Hear(subject, decide.Heard{Admission: says, EventsAt: time.Now()})
}

// unknown are those of the jobs without a state.
func (cs *claims) unknown(ids []contract.JobID) (unknown []contract.JobID) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, id := range ids {
		if cs.jobs[id] == nil {
			unknown = append(unknown, id)
		}
	}
	return unknown
}

// facts shows a job's timeline what there is of the job now.
func (cs *claims) facts(id contract.JobID, seen decide.Seen) decide.Facts {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if k := cs.lastThere(id); k != nil {
		seen.KJob, seen.HoldsSlot = attemptKJob(k), cs.holdsSlot(k)
	}
	return cs.state(id).See(seen)
}

// lastThere is the last of a job's kjobs that the cache shows, nil if there is none.
func (cs *claims) lastThere(id contract.JobID) *cache.Job {
	ks := cs.store.KjobsOf(id)
	if len(ks) == 0 {
		return nil
	}
	return ks[len(ks)-1]
}

// last is the kjob that decisions about a job rest on, nil if there is none.
func (cs *claims) last(id contract.JobID) *cache.Job {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	k, _ := cs.lastOf(id)
	return k
}

// lastOf is that, and whether it is gone, see Timeline.Last. Callers hold the guard.
func (cs *claims) lastOf(id contract.JobID) (k *cache.Job, gone bool) {
	m, there := cs.state(id), decide.AttemptKJob{}
	if k = cs.lastThere(id); k != nil {
		there = attemptKJob(k)
	}
	if _, gone = m.Last(there, k != nil && cs.holdsSlot(k)); gone {
		return m.gone, true
	}
	if m.Gone() == 0 {
		m.gone = nil
	}
	return k, false
}

// subject is the attempt that a text is about: the last known one.
func (cs *claims) subject(id contract.JobID) int {
	pods := cs.store.PodsOf(id)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if k, _ := cs.lastOf(id); k != nil {
		return k.Attempt
	}
	attempt := max(cs.state(id).Attempts(), 1)
	for _, p := range pods {
		attempt = max(attempt, p.Attempt)
	}
	return attempt
}

func (cs *claims) removed(id contract.JobID, kjob types.UID, why decide.Reason) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.state(id).Removed(kjob, why)
}

// ask has a job's state asked for at the next look.
func (cs *claims) ask(id contract.JobID) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.state(id).ask = true
}

// toAsk are the jobs whose state is to be asked for: every so often while a pod is still
// to come.
func (cs *claims) toAsk(pending time.Duration) []contract.JobID {
	now := time.Now()
	ids := map[contract.JobID]bool{}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for id, m := range cs.jobs {
		if m.ask {
			ids[id] = true
		}
	}
	for k, m := range cs.having() {
		every := pending
		if m.State().Held() && m.PodStarted() {
			every = heldEvery
		}
		if !k.Finished && now.Sub(m.StateAt()) >= every {
			ids[k.ID] = true
		}
	}
	return slices.Collect(maps.Keys(ids))
}

// having goes through the kjobs of jobs. Callers hold the guard.
func (cs *claims) having() iter.Seq2[*cache.Job, *jobState] {
	return func(yield func(*cache.Job, *jobState) bool) {
		now := time.Now()
		for _, k := range cs.store.KjobsIn(cs.label) {
			if k.ID != "" && !yield(k, cs.stateAt(k.ID, now)) {
				return
			}
		}
	}
}

// learn records the answer to a question about states that was sent at the given time.
// It returns the jobs to look at, and whether an agent that is most likely a pod of
// ours has newly got one of them.
func (cs *claims) learn(ids []contract.JobID, states map[contract.JobID]stacks.State, sent time.Time) (changed []contract.JobID, through bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, id := range ids {
		m, state := cs.state(id), states[id]
		was, first := m.State(), m.ToldAt().IsZero()
		if !m.Learn(state, sent, time.Now()) {
			continue // something newer has been learned meanwhile
		}
		if state.Held() && !was.Held() {
			through = through || cs.gotThrough(id)
		}
		if state == stacks.StateScheduled && cs.open[id] == nil {
			m.reservedUntil = time.Time{} // it has lapsed, whatever was thought of it
		}
		if state != was || first || m.ask { // the first answer may be that it isn't known
			changed = append(changed, id)
		}
		m.ask = false
	}
	return changed, through
}

// listed records that a job is listed, which doesn't prove that nobody holds it. ask:
// this contradicts what is known, so Buildkite must be asked now.
func (m *jobState) listed(at time.Time) (ask bool) {
	news, ask := m.Listed(at, time.Now())
	if news {
		m.reservedUntil = time.Time{}
	}
	ask = ask && !m.ask
	m.ask = m.ask || ask
	return ask
}

// know records a state that was learned otherwise.
func (cs *claims) know(id contract.JobID, state stacks.State, at time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.state(id).Learn(state, at, time.Now())
}

// eventsAt is when a job's Events were last read.
func (cs *claims) eventsAt(id contract.JobID) time.Time {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.state(id).EventsAt()
}

// hear records the result of reading the Events of an attempt.
func (cs *claims) hear(id contract.JobID, subject string, read eventsRead) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	m := cs.state(id)
	switch {
	case read.err == nil:
		m.Hear(subject, events.Heard(read.events, read.at))
	case read.forbidden():
		m.HearNothing(subject, read.at)
	default:
		m.HearNot(subject, read.at)
	}
}
