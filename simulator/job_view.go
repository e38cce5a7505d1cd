package simulator

import (
	"maps"
	"slices"
	"time"
)

// Job is a snapshot of one attempt at one step.
type Job struct {
	ID              string   `json:"id"`
	BuildNumber     int      `json:"build_number"`
	BuildID         string   `json:"build_id"`
	StepID          string   `json:"step_id"`
	StepKey         string   `json:"step_key,omitempty"`
	Label           string   `json:"label,omitempty"`
	Command         string   `json:"command"`
	Queue           string   `json:"queue"`
	AgentQueryRules []string `json:"agent_query_rules"`
	Priority        int      `json:"priority"`
	ParallelJob     int      `json:"parallel_job"`

	State        JobState `json:"state"`
	ExitStatus   string   `json:"exit_status,omitempty"`
	Signal       string   `json:"signal,omitempty"`
	SignalReason string   `json:"signal_reason,omitempty"`
	Passed       bool     `json:"passed"`
	SoftFailed   bool     `json:"soft_failed,omitempty"`
	Note         string   `json:"note,omitempty"` // why it is skipped, broken or limited

	CreatedAt     time.Time `json:"created_at"`
	ScheduledAt   time.Time `json:"scheduled_at,omitzero"`
	ReservedUntil time.Time `json:"reserved_until,omitzero"`
	ReservedBy    string    `json:"reserved_by,omitempty"` // stack key
	AcquiredAt    time.Time `json:"acquired_at,omitzero"`
	StartedAt     time.Time `json:"started_at,omitzero"`
	FinishedAt    time.Time `json:"finished_at,omitzero"`

	AgentID   string `json:"agent_id,omitempty"`
	AgentName string `json:"agent_name,omitempty"`

	RetriesCount int    `json:"retries_count"`
	RetryType    string `json:"retry_type,omitempty"` // automatic or manual
	RetryOf      string `json:"retry_of,omitempty"`
	RetriedBy    string `json:"retried_by,omitempty"`

	LogBytes          int64             `json:"log_bytes"`
	LogComplete       bool              `json:"log_complete"`
	ChunksFailedCount int               `json:"chunks_failed_count"`
	HeaderTimes       map[string]string `json:"header_times,omitempty"`
	Notifications     []Notification    `json:"notifications,omitempty"`
	StackFinish       *StackFinish      `json:"stack_finish,omitempty"`
	PromisedFailure   *PromisedFailure  `json:"promised_failure,omitempty"`
}

// PromisedFailure is what `buildkite-agent job promise-failure` declared.
type PromisedFailure struct {
	ExitStatus int    `json:"exit_status"`
	Reason     string `json:"reason,omitempty"`
}

func (j *job) snapshot() Job {
	out := Job{
		ID: j.id, BuildNumber: j.build.number, BuildID: j.build.id,
		StepID: j.node.id, StepKey: j.node.key, Label: j.label(), Command: j.step.Command,
		Queue: j.queue.key, AgentQueryRules: j.rules, Priority: j.priority, ParallelJob: j.slot,
		State: j.state, ExitStatus: j.result.exitStatus, Signal: j.result.signal, SignalReason: j.result.signalReason,
		Passed: j.passed(), SoftFailed: j.softFailed(), Note: j.note(),
		CreatedAt: j.createdAt, ScheduledAt: j.scheduledAt, ReservedUntil: j.reservedUntil, ReservedBy: j.reservedBy,
		AcquiredAt: j.acquiredAt, StartedAt: j.startedAt, FinishedAt: j.finishedAt,
		RetriesCount: j.retries, RetryType: j.retryType,
		LogBytes: j.log.size(), LogComplete: j.log.complete(), ChunksFailedCount: j.failed,
		HeaderTimes: maps.Clone(j.headerTimes), Notifications: slices.Clone(j.notifications),
		StackFinish: j.stackFinish, PromisedFailure: j.promised,
	}
	if j.agent != nil {
		out.AgentID, out.AgentName = j.agent.id, j.agent.name
	}
	if j.retryOf != nil {
		out.RetryOf = j.retryOf.id
	}
	if j.retriedBy != nil {
		out.RetriedBy = j.retriedBy.id
	}
	return out
}

// Jobs returns all jobs there ever were, oldest first.
func (s *Simulator) Jobs() []Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Job, len(s.jobOrder))
	for i, j := range s.jobOrder {
		out[i] = j.snapshot()
	}
	return out
}

// Job returns one job.
func (s *Simulator) Job(id string) (Job, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	if j == nil {
		return Job{}, false
	}
	return j.snapshot(), true
}

// JobsIn counts the jobs in each state, retried ones included.
func (s *Simulator) JobsIn() map[JobState]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[JobState]int{}
	for _, q := range s.queues {
		for state, n := range q.counts {
			if n > 0 {
				out[state] += n
			}
		}
	}
	return out
}
