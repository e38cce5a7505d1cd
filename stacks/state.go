package stacks

// State is a job's state at Buildkite, in Buildkite's words.
type State string

// The states that onejob tells apart.
const (
	StateUnknown   State = "" // not asked, or Buildkite doesn't know the job
	StateWaiting   State = "waiting"
	StateScheduled State = "scheduled"
	StateReserved  State = "reserved"
	StateAssigned  State = "assigned"
	StateAccepted  State = "accepted"
	StateRunning   State = "running"
	StateCanceling State = "canceling"
	StateCanceled  State = "canceled"
	StateTimingOut State = "timing_out"
	StateTimedOut  State = "timed_out"
	StateFinished  State = "finished"
	StateSkipped   State = "skipped"
	StateBroken    State = "broken"
	StateExpired   State = "expired"
)

// Offered reports whether a runner could still acquire the job.
func (s State) Offered() bool { return s == StateScheduled || s == StateReserved }

// Held reports whether an agent has the job now.
func (s State) Held() bool {
	switch s {
	case StateAssigned, StateAccepted, StateRunning, StateCanceling, StateTimingOut:
		return true
	}
	return false
}

// Over reports whether nothing can happen to the job any more.
func (s State) Over() bool {
	switch s {
	case StateCanceled, StateTimedOut, StateFinished, StateSkipped, StateBroken, StateExpired:
		return true
	}
	return false
}
