package scheduler

import (
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/stacks"
)

// failedFinish is a finish that Buildkite didn't take.
type failedFinish struct {
	decide.Decision
	refused bool         // with a refusal; else it may have taken effect
	invalid bool         // and it was the request that Buildkite didn't accept: perhaps its text
	state   stacks.State // of the job, as far as was known
	reserve bool         // it is sent once more, and the job reserved first: it may be refused without
	times   int          // in a row
	sent    int          // of them were sent, and not left because another stack has the job
	first   time.Time    // the first of them was tried
	at      time.Time    // the last of them failed; the state is to be told after that
	again   time.Time    // when it may be tried again
}

// lastFor reports whether a finish that was refused is tried no more, given the job's
// state.
func (r *failedFinish) lastFor(state stacks.State) bool {
	if state.Held() {
		return r.sent >= heldTries
	}
	return !state.Offered()
}

// plain reports whether the next try says nothing of the job's own.
func (r *failedFinish) plain() bool {
	return r.sent >= plainAfter && (r.invalid || time.Since(r.first) >= plainFor)
}

// verdict is what was decided about a job that has no kjob and can't have one.
type verdict struct {
	decision *decide.Decision // nil if there is none
	lapsed   bool             // it was too old, and is forgotten
	claimed  bool             // the job is claimed anew
}

func (cs *claims) verdictOn(id contract.JobID) verdict {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	m := cs.state(id)
	v := verdict{decision: m.verdict, claimed: cs.open[id] != nil}
	if v.decision != nil && time.Now().After(m.verdictUntil) {
		v.lapsed, m.verdict = true, nil
	}
	return v
}

// settled: nothing is left to be done of what was decided about a job without a kjob.
func (cs *claims) settled(id contract.JobID) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.state(id).verdict = nil
	delete(cs.retries, id)
}

// lastFinish is a job's last finish if Buildkite didn't take it, its state as it is
// known, and when that was told.
func (cs *claims) lastFinish(id contract.JobID) (failed *failedFinish, state stacks.State, told time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	m := cs.state(id)
	return m.finishFailed, m.State(), m.ToldAt()
}

func (cs *claims) finishTaken(id contract.JobID) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.state(id).finishFailed = nil
}

// finishFails notes that a finish has failed now, and returns the job's state as it is
// known.
func (cs *claims) finishFails(id contract.JobID, try failedFinish, refused bool, again time.Duration) stacks.State {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	m := cs.state(id)
	try.refused, try.state, try.at = refused, m.State(), time.Now()
	try.again = try.at.Add(again)
	m.finishFailed = &try
	return try.state
}

// lostFinish is a finish whose reply was lost, and whose job is over, nil if there is
// none. It is forgotten, and the verdict with it: two workers that found it would both
// tell of it.
func (cs *claims) lostFinish(id contract.JobID) *decide.Decision {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	m := cs.state(id)
	r := m.finishFailed
	if r == nil || r.refused {
		return nil
	}
	if !m.State().Over() || !m.ToldAt().After(r.at) {
		return nil
	}
	m.finishFailed, m.verdict = nil, nil
	return &r.Decision
}
