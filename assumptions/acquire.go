package assumptions

// UnstartedJob answers: What becomes of a job that its agent doesn't start in time?
type UnstartedJob string

// The sides of UnstartedJob.
const (
	UnstartedJobOfferedAgain UnstartedJob = "offered-again"
	UnstartedJobFinished     UnstartedJob = "finished"
	UnstartedJobKept         UnstartedJob = "kept"
)

// UnstartedJobToken answers: Does the token of a job that was taken back still work?
type UnstartedJobToken string

// The sides of UnstartedJobToken.
const (
	UnstartedJobTokenRefused    UnstartedJobToken = "refused"
	UnstartedJobTokenReadsState UnstartedJobToken = "reads-state"
)

// DisconnectAccepted answers: What does a disconnect do to a job that is acquired and not started?
type DisconnectAccepted string

// The sides of DisconnectAccepted.
const (
	DisconnectAcceptedEndsJob      DisconnectAccepted = "ends-job"
	DisconnectAcceptedLostLater    DisconnectAccepted = "lost-later"
	DisconnectAcceptedOfferedAgain DisconnectAccepted = "offered-again"
)

// DisconnectRunning answers: What does a disconnect do to a job that runs?
type DisconnectRunning string

// The sides of DisconnectRunning.
const (
	DisconnectRunningEndsJob   DisconnectRunning = "ends-job"
	DisconnectRunningLostLater DisconnectRunning = "lost-later"
)

// DisconnectReason answers: Which signal_reason has a job that a disconnect ended?
type DisconnectReason string

// The sides of DisconnectReason.
const (
	DisconnectReasonNone      DisconnectReason = "none"
	DisconnectReasonAgentStop DisconnectReason = "agent-stop"
)

// LockedStates answers: In which states is an acquire answered with 423?
type LockedStates string

// The sides of LockedStates.
const (
	LockedStatesAllWaiting   LockedStates = "all-waiting"
	LockedStatesDependencies LockedStates = "dependencies"
)

// LockedRetryAfter answers: Does a 423 come with Retry-After?
type LockedRetryAfter string

// The sides of LockedRetryAfter.
const (
	LockedRetryAfterNone LockedRetryAfter = "none"
	LockedRetryAfterSent LockedRetryAfter = "sent"
)

// AcquireAgain answers: What is the answer to a second acquire by the agent that holds the job?
type AcquireAgain string

// The sides of AcquireAgain.
const (
	AcquireAgainRefused AcquireAgain = "refused"
	AcquireAgainGranted AcquireAgain = "granted"
)

// AcquireUnconnected answers: May an agent acquire before it has connected?
type AcquireUnconnected string

// The sides of AcquireUnconnected.
const (
	AcquireUnconnectedGranted AcquireUnconnected = "granted"
	AcquireUnconnectedRefused AcquireUnconnected = "refused"
)

// AcquirePaused answers: May a job be acquired while its queue is paused?
type AcquirePaused string

// The sides of AcquirePaused.
const (
	AcquirePausedGranted AcquirePaused = "granted"
	AcquirePausedRefused AcquirePaused = "refused"
)

// AcquireOtherQueue answers: May an agent acquire a job of another queue?
type AcquireOtherQueue string

// The sides of AcquireOtherQueue.
const (
	AcquireOtherQueueNotFound AcquireOtherQueue = "not-found"
	AcquireOtherQueueGranted  AcquireOtherQueue = "granted"
)

// RegisterUnknownQueue answers: What becomes of an agent whose tag names no queue?
type RegisterUnknownQueue string

// The sides of RegisterUnknownQueue.
const (
	RegisterUnknownQueueRefused      RegisterUnknownQueue = "refused"
	RegisterUnknownQueueDefaultQueue RegisterUnknownQueue = "default-queue"
)
