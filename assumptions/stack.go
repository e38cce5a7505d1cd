package assumptions

// StackFinishHeld answers: May a stack finish a job that an agent holds?
type StackFinishHeld string

// The sides of StackFinishHeld.
const (
	StackFinishHeldRefused StackFinishHeld = "refused"
	StackFinishHeldTaken   StackFinishHeld = "taken"
)

// StackFinishOther answers: May a stack finish a job that another stack reserved?
type StackFinishOther string

// The sides of StackFinishOther.
const (
	StackFinishOtherTaken   StackFinishOther = "taken"
	StackFinishOtherRefused StackFinishOther = "refused"
)

// StackFinishUnreserved answers: May a stack finish a job that nobody reserved?
type StackFinishUnreserved string

// The sides of StackFinishUnreserved.
const (
	StackFinishUnreservedTaken   StackFinishUnreserved = "taken"
	StackFinishUnreservedRefused StackFinishUnreserved = "refused"
)

// StackFinishAgain answers: What is the answer to a second finish by a stack?
type StackFinishAgain string

// The sides of StackFinishAgain.
const (
	StackFinishAgainRefused StackFinishAgain = "refused"
	StackFinishAgainTaken   StackFinishAgain = "taken"
)

// LongDetail answers: What becomes of a finish whose detail is longer than 4 KB?
type LongDetail string

// The sides of LongDetail.
const (
	LongDetailRefused LongDetail = "refused"
	LongDetailCut     LongDetail = "cut"
)

// NotifyUnreserved answers: Does a job's page take a text before anybody has reserved the job?
type NotifyUnreserved string

// The sides of NotifyUnreserved.
const (
	NotifyUnreservedTaken   NotifyUnreserved = "taken"
	NotifyUnreservedRefused NotifyUnreserved = "refused"
)

// ShortReservation answers: How short may a reservation be?
type ShortReservation string

// The sides of ShortReservation.
const (
	ShortReservationTaken   ShortReservation = "taken"
	ShortReservationRaised  ShortReservation = "raised"
	ShortReservationRefused ShortReservation = "refused"
)

// ShorterRenewal answers: Does a renewal that would end before the reservation does shorten it?
type ShorterRenewal string

// The sides of ShorterRenewal.
const (
	ShorterRenewalShortens ShorterRenewal = "shortens"
	ShorterRenewalIgnored  ShorterRenewal = "ignored"
)

// JobList answers: How new is the list of scheduled jobs?
type JobList string

// The sides of JobList.
const (
	JobListCurrent JobList = "current"
	JobListLate    JobList = "late"
)

// JobStates answers: How new are the states of get-states?
type JobStates string

// The sides of JobStates.
const (
	JobStatesCurrent JobStates = "current"
	JobStatesLate    JobStates = "late"
)

// UnknownJobState answers: What does get-states say of a job that Buildkite doesn't know?
type UnknownJobState string

// The sides of UnknownJobState.
const (
	UnknownJobStateLeftOut UnknownJobState = "left-out"
	UnknownJobStateNull    UnknownJobState = "null"
	UnknownJobStateRefused UnknownJobState = "refused"
)

// LostStack answers: What is the answer to a stack that was silent for six minutes?
type LostStack string

// The sides of LostStack.
const (
	LostStackAnswered LostStack = "answered"
	LostStackNotFound LostStack = "not-found"
)

// StackLimit answers: Which stacks count among the organization's 30?
type StackLimit string

// The sides of StackLimit.
const (
	StackLimitConnected StackLimit = "connected"
	StackLimitCreated   StackLimit = "created"
)

// RefusedCalls answers: Do calls that are answered with 429 count against the limit?
type RefusedCalls string

// The sides of RefusedCalls.
const (
	RefusedCallsFree    RefusedCalls = "free"
	RefusedCallsCounted RefusedCalls = "counted"
)

// LimitRetryAfter answers: Does a 429 come with Retry-After?
type LimitRetryAfter string

// The sides of LimitRetryAfter.
const (
	LimitRetryAfterNone LimitRetryAfter = "none"
	LimitRetryAfterSent LimitRetryAfter = "sent"
)

// MetricsScheduled answers: Are reserved jobs among the scheduled ones of GET metrics?
type MetricsScheduled string

// The sides of MetricsScheduled.
const (
	MetricsScheduledWithReserved    MetricsScheduled = "with-reserved"
	MetricsScheduledWithoutReserved MetricsScheduled = "without-reserved"
)
