package launcher

import (
	"encoding/json"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/acquire"
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
	// Hold is whether the container stays, which the log says before the job's end.
	Hold Hold
}

// Control tells the child to stop. A later one adds to an earlier one.
type Control struct {
	// Force kills the job at once instead of sending the cancel signal.
	Force bool
	// ReportBy is when the child stops trying to report; zero for no limit. The
	// Budget's other moments keep their distance to it.
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
	// TokenRefused: while the job ran, Buildkite refused its token when its state was
	// asked for, or said that the job is over.
	TokenRefused bool
	// StartedAt and EndedAt bound the job's run; zero if it didn't run.
	StartedAt, EndedAt time.Time
	// ExitStatus, Signal and SignalReason are what finish says.
	ExitStatus, Signal, SignalReason string
	// ChunksFailed counts the log chunks that Buildkite never took.
	ChunksFailed int
	// ChunksOpen counts the chunks that were begun and that Buildkite hasn't confirmed
	// so far.
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

// EndedWhileItRan is why the runner stopped such a job, for its log and for the message.
const EndedWhileItRan = "Buildkite ended the job while it ran, or refused its token, so the runner stopped the job. Usually Buildkite had not heard from its agent for three minutes, or somebody ended the job"

// EndedWhileItRan reports whether the job was stopped for that, and didn't end by itself.
func (r Report) EndedWhileItRan() bool {
	return r.TokenRefused && (r.SignalReason == "cancel" || r.SignalReason == "agent_stop")
}

// Delivery is what became of a call.
type Delivery struct {
	// Sent is set once the call was tried; Delivered once Buildkite accepted it or
	// showed that it had; Refused if the answer can't change by repeating the call.
	Sent, Delivered, Refused bool
	// Inferred says that Delivered comes from the job's state, after a lost reply.
	Inferred bool
	// ByToken says that it comes from the refusal of the job's token alone.
	ByToken bool
	// Taken is set for a start when the job may be another agent's by then.
	Taken bool
	// Err is why the last try wasn't delivered.
	Err string
}

func (r *run) handover(job *acquire.Job, tags []string) Handover {
	reply := r.session.Reply()
	h := Handover{
		JobID: r.JobID, Job: job.Raw, StartBy: job.StartBy, Options: r.inCommand(mirrored(r.Options)), Budget: r.Budget, Tags: tags,
		Endpoint: r.session.Endpoint(), Token: reply.AccessToken, UserAgent: r.UserAgent,
		Headers:           map[string]string{},
		JobStatusInterval: acquire.Seconds(reply.JobStatusInterval, time.Second, time.Second, time.Minute),
		Tracing:           reply.Tracing, LocalTraceparent: r.LocalTraceparent, Warning: r.warning, Hold: r.hold,
	}
	for name := range r.session.RequestHeaders() {
		h.Headers[name] = r.session.RequestHeaders().Get(name)
	}
	return h
}

func (r *run) jobClient(job *acquire.Job) *api.Client {
	h := r.handover(job, nil)
	return JobClient(h.Endpoint, h.Token, h.UserAgent, h.Headers, job.Job, r.Transport, r.Log)
}
