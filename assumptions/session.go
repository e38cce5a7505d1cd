package assumptions

// SessionReadsJob answers: May the session that acquired a job read its state?
type SessionReadsJob string

// The sides of SessionReadsJob.
const (
	SessionReadsJobAllowed SessionReadsJob = "allowed"
	SessionReadsJobRefused SessionReadsJob = "refused"
)

// StartAgain answers: What is the answer to the same start again?
type StartAgain string

// The sides of StartAgain.
const (
	StartAgainTaken   StartAgain = "taken"
	StartAgainRefused StartAgain = "refused"
)

// StartCanceling answers: What is the answer to a start while the build is being canceled?
type StartCanceling string

// The sides of StartCanceling.
const (
	StartCancelingRefused StartCanceling = "refused"
	StartCancelingTaken   StartCanceling = "taken"
)

// LostAgent answers: What does a heartbeat of an agent that was lost do?
type LostAgent string

// The sides of LostAgent.
const (
	LostAgentRevives LostAgent = "revives"
	LostAgentRefused LostAgent = "refused"
)

// EndedJobToken answers: Does the token of a job that has ended still work?
type EndedJobToken string

// The sides of EndedJobToken.
const (
	EndedJobTokenRefused    EndedJobToken = "refused"
	EndedJobTokenReadsState EndedJobToken = "reads-state"
)

// HeartbeatInterval answers: How long is the heartbeat interval?
type HeartbeatInterval string

// The sides of HeartbeatInterval.
const (
	HeartbeatIntervalShort      HeartbeatInterval = "short"
	HeartbeatIntervalTwoMinutes HeartbeatInterval = "two-minutes"
)

// JobStatusInterval answers: How long is the interval for asking a job's state?
type JobStatusInterval string

// The sides of JobStatusInterval.
const (
	JobStatusIntervalShort      JobStatusInterval = "short"
	JobStatusIntervalHalfMinute JobStatusInterval = "half-minute"
)

// ChunkSize answers: How large may a log chunk be?
type ChunkSize string

// The sides of ChunkSize.
const (
	ChunkSizeSmall ChunkSize = "100-kib"
	ChunkSizeLarge ChunkSize = "1-mib"
)

// ChunkInterval answers: How long is the interval between log chunks?
type ChunkInterval string

// The sides of ChunkInterval.
const (
	ChunkIntervalShort      ChunkInterval = "short"
	ChunkIntervalTenSeconds ChunkInterval = "ten-seconds"
)

// LogLimit answers: Which limit of a job's log does acquire name?
type LogLimit string

// The sides of LogLimit.
const (
	LogLimitDocumented LogLimit = "documented"
	LogLimitUnnamed    LogLimit = "unnamed"
)

// ChunkUnstarted answers: Is a log chunk taken before the start?
type ChunkUnstarted string

// The sides of ChunkUnstarted.
const (
	ChunkUnstartedRefused ChunkUnstarted = "refused"
	ChunkUnstartedTaken   ChunkUnstarted = "taken"
)

// LogBeyondLimit answers: What is the answer to a log chunk beyond log_max_size_bytes?
type LogBeyondLimit string

// The sides of LogBeyondLimit.
const (
	LogBeyondLimitDropped LogBeyondLimit = "dropped"
	LogBeyondLimitRefused LogBeyondLimit = "refused"
)
