package launcher

import (
	"encoding/json"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/contract"
)

// Handover is all that the child needs to run a job that was acquired.
type Handover struct {
	JobID contract.JobID
	// Job is the reply to acquire, as it came: what a signature covers must not
	// pass through a struct.
	Job     json.RawMessage
	Options Options
	Budget  Budget
	// Tags are the agent's, with those from clouds and the queue.
	Tags []string

	Endpoint  string
	Token     string // the session's; the job's own is in Job
	UserAgent string
	// Headers are those that the server ordered for every request.
	Headers map[string]string
	// JobStatusInterval is how often the job's state is asked for.
	JobStatusInterval time.Duration
	Tracing           *api.AgentTracing
	// LocalTraceparent says that the operator set
	// tracing-propagate-traceparent, which wins over the server's policy.
	LocalTraceparent bool
	// StartBy is acquire.Job's.
	StartBy time.Time
	// Warning, unless it is empty, goes into the job's log before the bootstrap's.
	Warning string
}

// Control tells the child to stop. A later one adds to an earlier one.
type Control struct {
	// Force kills the job at once instead of sending the cancel signal.
	Force bool
	// ReportBy is when the report is tried no longer; zero for no limit. The
	// Budget's other moments are as far before it as there.
	ReportBy time.Time
	// Why is for the log.
	Why string
}

// Report is what the child knows so far.
type Report struct {
	// Start is what became of the start call, Finish of the finish call.
	Start, Finish Delivery
	// Ran is set once the job's process, the bootstrap, was started.
	Ran bool
	// TokenRefused: Buildkite refused the job's token while its state was asked for, or
	// said that the job is over.
	TokenRefused bool
	// StartedAt and EndedAt bound the job's run; zero if it hasn't come to it.
	StartedAt, EndedAt time.Time
	// ExitStatus, Signal and SignalReason are what finish says.
	ExitStatus, Signal, SignalReason string
	// ChunksFailed counts the log chunks that Buildkite never took.
	ChunksFailed int
	// ChunksOpen counts those that were begun and that Buildkite hasn't been
	// seen to take, so far.
	ChunksOpen int
	// LogEnd and LogSequence are where the log's next chunk would begin.
	LogEnd, LogSequence uint64
	// Tries counts the requests that were sent, by call.
	Tries map[string]int
	// Err is why the job couldn't be run, "" if it could.
	Err string
	// Final is set in the last report.
	Final bool
}

// Delivery is what became of a call.
type Delivery struct {
	// Sent is set once the call was tried, Delivered once Buildkite took it or
	// showed that it had, Refused when its answer was one that no repetition mends.
	Sent, Delivered, Refused bool
	// Inferred says that Delivered comes from the job's state, after a lost reply.
	Inferred bool
	// ByToken says that it comes from the refusal of the job's token alone.
	ByToken bool
	// Taken is set for a start when the job may be another agent's by then.
	Taken bool
	// Err is the last reason for which it wasn't delivered.
	Err string
}
