package simulator

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/buildkite/go-pipeline"
)

// ErrNotFound is wrapped by errors about a job, build, agent or queue that
// isn't there.
var ErrNotFound = errors.New("not found")

func notFound(kind, id string) error { return fmt.Errorf("%s %q: %w", kind, id, ErrNotFound) }

// JobState is a job's state by Buildkite's names (docs/protocol.md#job-states).
type JobState string

// The states that the simulator uses.
const (
	StatePending       JobState = "pending"
	StateWaiting       JobState = "waiting"
	StateWaitingFailed JobState = "waiting_failed"
	StateLimited       JobState = "limited"
	StateScheduled     JobState = "scheduled"
	StateReserved      JobState = "reserved"
	StateAssigned      JobState = "assigned"
	StateAccepted      JobState = "accepted"
	StateRunning       JobState = "running"
	StateCanceling     JobState = "canceling"
	StateCanceled      JobState = "canceled"
	StateTimingOut     JobState = "timing_out"
	StateTimedOut      JobState = "timed_out"
	StateFinished      JobState = "finished"
	StateSkipped       JobState = "skipped"
	StateExpired       JobState = "expired"
)

// Terminal reports whether nothing runs, or ever will, for a job in this state.
func (st JobState) Terminal() bool {
	switch st {
	case StateFinished, StateCanceled, StateTimedOut, StateWaitingFailed, StateSkipped, StateExpired:
		return true
	}
	return false
}

// Held reports whether an agent has acquired the job and not yet finished it.
func (st JobState) Held() bool {
	switch st {
	case StateAccepted, StateRunning, StateCanceling, StateTimingOut:
		return true
	}
	return false
}

// result is how a job ended.
type result struct {
	exitStatus   string
	signal       string
	signalReason string
}

func (r result) passed() bool { return r.exitStatus == "0" }

// ofRun reports a result that only a job that ran to its own end can have.
func (r result) ofRun() bool { return r.signalReason == "" && r.exitStatus != "-1" }

func (r result) String() string {
	return fmt.Sprintf("exit %s signal %q reason %q", r.exitStatus, r.signal, r.signalReason)
}

// job is one attempt at one step.
type job struct {
	id     string
	build  *build
	node   *node
	queue  *queue
	slot   int // of the node: parallelism, matrix
	matrix pipeline.MatrixPermutation
	step   *pipeline.CommandStep // with the matrix filled in
	state  JobState
	order  uint64 // in its queue: the scheduled_at of ties
	listed bool   // in queue.list
	// cameAt and leftAt are when it was scheduled last, and when it was it no more.
	cameAt, leftAt time.Time

	priority int
	agent    *agent
	token    string
	result   result
	failed   int  // chunks_failed_count
	orphaned bool // it was ended as its agent had gone

	createdAt, scheduledAt, reservedUntil time.Time
	acquiredAt, startedAt, finishedAt     time.Time
	startedBody                           string // started_at as it was sent
	reservedBy                            string

	retries       int
	ruleRetries   map[int]int // per automatic rule
	retryType     string
	retryOf       *job
	retriedBy     *job
	log           jobLog
	headerTimes   map[string]string
	notifications []Notification
	stackFinish   *StackFinish
	promised      *PromisedFailure
	uploads       map[string]*upload
}

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
		Queue: j.queue.key, AgentQueryRules: j.node.rules, Priority: j.priority, ParallelJob: j.slot,
		State: j.state, ExitStatus: j.result.exitStatus, Signal: j.result.signal, SignalReason: j.result.signalReason,
		Passed: j.passed(), SoftFailed: j.softFailed(),
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

// label is the step's, with the job's number in a parallel step filled in:
// https://buildkite.com/docs/tutorials/parallel-builds#parallel-jobs
func (j *job) label() string {
	label, set := j.node.attributes["label"]
	if !set {
		label = j.step.Label
	}
	if j.node.parallelism == 0 {
		return label
	}
	return strings.NewReplacer(
		"%n", strconv.Itoa(j.slot), "%N", strconv.Itoa(j.slot+1), "%t", strconv.Itoa(j.node.parallelism),
	).Replace(label)
}

func (j *job) passed() bool {
	return j.state == StateFinished && j.result.passed() || j.state == StateSkipped
}

// softFailed reports a failure that its step allows.
func (j *job) softFailed() bool {
	if j.state != StateFinished && j.state != StateTimedOut || j.result.passed() {
		return false
	}
	code, err := strconv.Atoi(j.result.exitStatus)
	return err == nil && j.node.softFail.matches(code)
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

// setState moves a job, writes the ledger and keeps the counters. All moves
// come through here.
func (s *Simulator) setState(j *job, to JobState, now time.Time, why cause) {
	s.ledger.transition(now, j.id, to, why)
	if j.state != "" {
		j.queue.counts[j.state]--
	}
	j.queue.counts[to]++
	if j.node.current[j.slot] == j {
		j.node.count(j.state, to)
	}
	if j.state == StateScheduled {
		j.leftAt = now
	}
	j.state = to
	if to == StateScheduled {
		j.cameAt = now
		if j.scheduledAt.IsZero() {
			j.scheduledAt = now
		}
		j.queue.enlist(j)
	}
}

// end brings a job to its terminal state, spends its token, frees its agent,
// and lets its step and its build take notice.
func (s *Simulator) end(j *job, res result, now time.Time, why cause) {
	to := StateFinished
	switch j.state {
	case StateCanceling:
		to = StateCanceled
	case StateTimingOut:
		to = StateTimedOut
	}
	s.endAs(j, to, res, now, why)
}

func (s *Simulator) endAs(j *job, to JobState, res result, now time.Time, why cause) {
	j.result, j.finishedAt = res, now
	if why.detail == "" && to != StateWaitingFailed {
		why.detail = res.String()
	}
	if why.agentID == "" && why.call == nil && j.agent != nil && j.state.Held() {
		why.agentID = j.agent.id
	}
	s.setState(j, to, now, why)
	s.ledger.book(j.id).result = res
	if j.agent != nil && j.agent.job == j {
		j.agent.job = nil
	}
	if to == StateWaitingFailed {
		return // its node already knows
	}
	if s.retryAutomatically(j, now) {
		return
	}
	s.settle(j.node, now)
}
