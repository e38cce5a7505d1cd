package stacks

import "github.com/onejob-dev/onejob/contract"

// State is a job's state at Buildkite.
type State = contract.JobState

// The states that onejob tells apart.
const (
	StateUnknown   State = "" // not asked, or Buildkite doesn't know the job
	StateWaiting         = contract.JobWaiting
	StateScheduled       = contract.JobScheduled
	StateReserved        = contract.JobReserved
	StateAssigned        = contract.JobAssigned
	StateAccepted        = contract.JobAccepted
	StateRunning         = contract.JobRunning
	StateCanceling       = contract.JobCanceling
	StateCanceled        = contract.JobCanceled
	StateTimingOut       = contract.JobTimingOut
	StateTimedOut        = contract.JobTimedOut
	StateFinished        = contract.JobFinished
	StateSkipped         = contract.JobSkipped
	StateBroken          = contract.JobBroken
	StateExpired         = contract.JobExpired
)
