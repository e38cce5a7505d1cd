package simulator

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/buildkite/go-pipeline"
)

// ErrNotFound is wrapped by errors about a job, build, step, agent or queue that doesn't
// exist.
var ErrNotFound = errors.New("not found")

func notFound(kind, id string) error { return fmt.Errorf("%s %q: %w", kind, id, ErrNotFound) }

// JobState is a job's state, with Buildkite's names (docs/protocol.md#job-states).
type JobState string

// The states that the simulator uses.
const (
	StatePending       JobState = "pending"
	StateWaiting       JobState = "waiting"
	StateWaitingFailed JobState = "waiting_failed"
	StateBlocked       JobState = "blocked"  // behind a block or input step
	StateLimiting      JobState = "limiting" // about to be limited or scheduled
	StateLimited       JobState = "limited"  // its concurrency group is full
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
	StateBroken        JobState = "broken" // left out by if or branches
	StateExpired       JobState = "expired"
)

// Terminal reports whether a job in this state has ended. (A manual retry of a dependency
// lets a waiting_failed job wait again.)
func (st JobState) Terminal() bool {
	switch st {
	case StateFinished, StateCanceled, StateTimedOut, StateWaitingFailed, StateSkipped, StateBroken, StateExpired:
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

// ofRun reports whether only a job that ran to its own end can have this result.
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
	rules  []string              // agent_query_rules
	state  JobState
	order  uint64 // its place in its queue: by scheduled_at, then by arrival
	listed bool   // it is in queue.list
	// cameAt is when the job became scheduled last, leftAt when it left that state last.
	cameAt, leftAt time.Time

	priority int
	agent    *agent
	token    string
	result   result
	failed   int  // chunks_failed_count
	orphaned bool // Buildkite ended it because its agent was gone

	createdAt, runnableAt, reservedUntil time.Time
	acquiredAt, startedAt, finishedAt    time.Time
	// scheduledAt is when the job was made, or the job that uploaded it, so that older builds
	// go first (docs/protocol.md#listing).
	scheduledAt time.Time
	startedBody string // started_at, as the client sent it
	reservedBy  string

	enteredAt time.Time // its place in its concurrency group, with number
	number    int

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
	artifacts     int // how many it announced

	past    []moment // see remember
	expired bool     // it ended because its agent didn't start it in time
	leaving bool     // its agent has disconnected, and will count as lost later
}

// label is the step's label, with the job's number in a parallel step filled in:
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

// passed reports whether a job passed. For a job that timed out, its exit status decides. A
// promised failure always counts: https://buildkite.com/docs/agent/cli/reference/job
func (j *job) passed() bool {
	ended := j.state == StateFinished || j.state == StateTimedOut
	return ended && j.result.passed() && j.promised == nil || j.state == StateSkipped || j.state == StateBroken
}

// note says why a job doesn't run, or doesn't run yet.
func (j *job) note() string {
	switch j.state {
	case StateSkipped:
		return j.node.skip
	case StateBroken:
		return j.node.excluded + " is false"
	case StateLimiting, StateLimited:
		if j.node.concurrency == nil {
			return "waits for a limit" // LimitJob's
		}
		return "waits for concurrency group " + j.node.concurrency.group
	}
	return ""
}

// softFailed reports whether a job failed in a way that its step allows (soft_fail).
func (j *job) softFailed() bool {
	if j.state != StateFinished && j.state != StateTimedOut || j.result.passed() {
		return false
	}
	code, err := strconv.Atoi(j.result.exitStatus)
	return err == nil && j.node.variants[j.slot].softFail.matches(code)
}

// setState changes a job's state, writes the ledger and keeps the counters. Only setState
// changes job.state.
func (s *Simulator) setState(j *job, to JobState, now time.Time, why cause) {
	s.ledger.transition(now, j.id, to, why)
	s.remember(j, now)
	if j.state != "" {
		j.queue.counts[j.state]--
	}
	j.queue.counts[to]++
	if j.node.current[j.slot] == j {
		j.node.count(j.state, to)
	}
	from := j.state
	if j.state == StateScheduled {
		j.leftAt = now
	}
	j.state = to
	s.follow(j, from, to)
	if to == StateScheduled {
		j.cameAt = now
		if j.runnableAt.IsZero() {
			j.runnableAt = now
		}
		j.queue.enlist(j)
	}
}

// end moves a job to its terminal state, frees its agent, and updates its step and build. A
// canceling job becomes canceled, a timing-out one timed_out, any other finished.
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
	s.noticeFailure(j)
	s.settle(j.node, now)
}
