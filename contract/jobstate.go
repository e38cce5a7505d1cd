package contract

// JobState is a job's state at Buildkite, in Buildkite's words. What each means to
// onejob is said once, here (docs/protocol.md#job-states).
type JobState string

// The states of a command job.
const (
	JobPending          JobState = "pending"
	JobWaiting          JobState = "waiting"
	JobWaitingFailed    JobState = "waiting_failed"
	JobBlocked          JobState = "blocked"
	JobLimiting         JobState = "limiting"
	JobLimited          JobState = "limited"
	JobPlatformLimiting JobState = "platform_limiting"
	JobPlatformLimited  JobState = "platform_limited"
	JobScheduled        JobState = "scheduled"
	JobReserved         JobState = "reserved"
	JobAssigned         JobState = "assigned"
	JobAccepted         JobState = "accepted"
	JobRunning          JobState = "running"
	JobCanceling        JobState = "canceling"
	JobTimingOut        JobState = "timing_out"
	JobFinished         JobState = "finished"
	JobCanceled         JobState = "canceled"
	JobTimedOut         JobState = "timed_out"
	JobSkipped          JobState = "skipped"
	JobBroken           JobState = "broken"
	JobExpired          JobState = "expired"
)

// stage is what a state means.
type stage int

const (
	notYet  stage = iota // it waits for something else than an agent
	offered              // an agent that names the job may acquire it
	granted              // an agent has it, and may not have started it
	running              // an agent has it and has started it
	over                 // it never changes again, unless a person retries what it needed
)

var stages = map[JobState]stage{
	JobPending: notYet, JobWaiting: notYet, JobBlocked: notYet, JobLimiting: notYet, JobLimited: notYet,
	JobPlatformLimiting: notYet, JobPlatformLimited: notYet,
	JobScheduled: offered, JobReserved: offered,
	JobAssigned: granted, JobAccepted: granted, JobCanceling: granted, JobTimingOut: granted,
	JobRunning:  running,
	JobFinished: over, JobCanceled: over, JobTimedOut: over, JobSkipped: over, JobBroken: over, JobExpired: over, JobWaitingFailed: over,
}

// Waiting reports whether the job waits for something else than an agent, so that it
// may be offered later. A state that onejob doesn't know counts as waiting, so that
// nothing irreversible is done because of it.
func (s JobState) Waiting() bool { return s != "" && stages[s] == notYet }

// Offered reports whether a runner could still acquire the job.
func (s JobState) Offered() bool { return stages[s] == offered }

// Held reports whether an agent has the job now.
func (s JobState) Held() bool { return stages[s] == granted || stages[s] == running }

// Unstarted reports whether an agent has been given the job and hasn't started it.
// Buildkite gives the job to another agent when that takes too long
// (docs/protocol.md#start).
func (s JobState) Unstarted() bool { return s == JobAssigned || s == JobAccepted }

// MayBeUnstarted reports whether a session that never sent a start may hold a job in
// this state. It may if the state is unknown; every other state shows that it doesn't.
func (s JobState) MayBeUnstarted() bool { return s == "" || stages[s] == granted }

// Over reports whether nothing can happen to the job any more.
func (s JobState) Over() bool { return stages[s] == over }
