package scheduler

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/stacks"
)

// claim is a job that is reserved and whose kjob isn't in the cache yet.
type claim struct {
	job     stacks.Job
	attempt int
	env     map[string]string
	at      time.Time // when it was reserved
	sent    bool      // a create was sent; it may have been applied
	created bool      // a create succeeded
	// forbidden is when a create was first refused for now, zero if none was.
	forbidden time.Time
}

// retry is a job whose next attempt is due at a time.
type retry struct {
	job     stacks.Job
	attempt int
	due     time.Time
}

// failedFinish is a finish that Buildkite didn't take.
type failedFinish struct {
	decide.Decision
	refused bool         // with a refusal; else it may have taken effect
	state   stacks.State // of the job, as far as was known
	times   int          // in a row
	first   time.Time    // the first of them was tried
	at      time.Time    // the last of them failed; the state is to be told after that
	again   time.Time    // when it may be tried again
}

// jobState is what is remembered of a job that has, or had, a kjob.
type jobState struct {
	decide.Timeline
	gone          *cache.Job // of Timeline.Gone: what the next attempt is made of
	ask           bool
	reservedUntil time.Time

	verdict      *decide.Decision // for a job that has no kjob and can't have one
	verdictUntil time.Time        // when that is too old to be carried out
	finishFailed *failedFinish    // the last finish, if Buildkite didn't take it
	lines        map[string]bool  // what is on the job's page of us; see lineOf
	waits        map[decide.Reason]wait
	waited       int       // notifications about what the job waits for
	waitAt       time.Time // when the last one of them was sent
	counted      types.UID // the kjob whose end is in the metrics
	countedAs    decide.Action
	countedAgain bool           // with ReasonOfferAgain
	measured     types.UID      // the kjob whose phases are in the metrics
	announced    types.UID      // the kjob after which another attempt was announced
	story        decide.History // that the next attempt's kjob takes along, as it does the faults
	faults       decide.NodeFaults
	touched      time.Time
}

func (q *queue) state(id contract.JobID) *jobState {
	m := q.states[id]
	if m == nil {
		m = &jobState{}
		q.states[id] = m
	}
	m.touched = time.Now()
	return m
}

// made: there is a kjob of an attempt. A finish that Buildkite didn't take was of what
// was before it.
func (m *jobState) made(attempt int) {
	if attempt > m.Attempts() {
		m.finishFailed = nil
	}
	m.Made(attempt)
}

// kjobGone remembers the last attempt's kjob, which was deleted.
func (m *jobState) kjobGone(k *cache.Job) {
	if m.KJobGone(attemptKJob(k)) {
		m.gone = k
	}
}
