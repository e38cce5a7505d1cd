package simulator

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
)

// acquire gives a job to the session that names it: the lock on which all of
// onejob rests (docs/protocol.md#acquire).
func (s *Simulator) acquire(c *call) reply {
	j := s.jobs[c.jobID]
	if j == nil {
		return *failure(http.StatusNotFound, "Job not found")
	}
	c.job = j
	play := s.conf.Profile
	if j.queue.key != c.agent.queue && play.AcquireOtherQueue == assumptions.AcquireOtherQueueNotFound {
		return *failure(http.StatusNotFound, "Job not found")
	}
	switch state := contract.JobState(j.state); {
	case c.agent.state == agentRegistered && play.AcquireUnconnected == assumptions.AcquireUnconnectedRefused:
		return *failure(http.StatusUnprocessableEntity, "The agent is not connected")
	case state.Waiting():
		return s.locked(c, j)
	case state.Offered():
		if held := c.agent.job; held != nil {
			return *failure(http.StatusUnprocessableEntity, "The agent already has job "+held.id)
		}
		if j.queue.paused && play.AcquirePaused == assumptions.AcquirePausedRefused {
			return *failure(http.StatusUnprocessableEntity, "The queue is paused")
		}
		return s.grant(c, j)
	}
	if j.agent == c.agent && j.state.Held() {
		s.ledger.repeat(c, j.id, opAcquire)
		s.ledger.book(j.id).mark(opAcquire, c.withheld)
		again := play.AcquireAgain == assumptions.AcquireAgainGranted && j.state == StateAccepted
		s.ledger.book(j.id).granted = again && !c.withheld // a client that asks again doesn't know of its grant
		if again {
			return s.jobReply(j)
		}
	}
	return *failure(http.StatusUnprocessableEntity, "The job is "+string(j.state)+" and can't be acquired")
}

// locked answers an acquire of a job that waits: 423 if the client sent
// X-Buildkite-Lock-Acquire-Job and Profile.LockedStates allows it, else 422.
func (s *Simulator) locked(c *call, j *job) reply {
	dependent := j.state == StatePending || j.state == StateWaiting
	known := dependent || s.conf.Profile.LockedStates == assumptions.LockedStatesAllWaiting
	if !known || c.r.Header.Get("X-Buildkite-Lock-Acquire-Job") == "" {
		return *failure(http.StatusUnprocessableEntity, "The job is no longer eligible to be assigned an agent")
	}
	rep := *failure(http.StatusLocked, "The job is "+string(j.state))
	if s.conf.LockedRetryAfter != "" {
		rep = rep.with("Retry-After", s.conf.LockedRetryAfter)
	}
	return rep
}

// accept takes a job that a ping dispatched.
func (s *Simulator) accept(c *call) reply {
	j := s.jobs[c.jobID]
	if j == nil {
		return *failure(http.StatusNotFound, "Job not found")
	}
	c.job = j
	if j.agent != c.agent || j.state != StateAssigned {
		return *failure(http.StatusUnprocessableEntity, "The job is "+string(j.state)+" and not assigned to this agent")
	}
	return s.grant(c, j)
}

func (s *Simulator) grant(c *call, j *job) reply {
	j.agent, c.agent.job = c.agent, j
	j.acquiredAt, j.reservedUntil = c.now, time.Time{}
	if *s.conf.JobToken {
		j.token = s.newToken("sim-job-")
		s.jobToken[j.token] = grant{j, c.agent}
	}
	event := "acquired"
	if c.route.name == "accept" {
		event = "accepted" // dispatched by a ping before
	}
	s.setState(j, StateAccepted, c.now, cause{event: event, call: c})
	s.ledger.book(j.id).granted = !c.withheld
	j.build.began(c.now)
	s.watchAcceptance(j, c.agent, c.now)
	return s.jobReply(j)
}

// jobReply is the body that acquire and accept answer with.
func (s *Simulator) jobReply(j *job) reply {
	step := j.node.step
	body := map[string]any{
		"id":                      j.id,
		"endpoint":                "",
		"state":                   j.state,
		"env":                     s.jobEnv(j),
		"step":                    step,
		"matrix_permutation":      j.matrix,
		"chunks_max_size_bytes":   s.conf.ChunksMaxSizeBytes,
		"chunks_interval_seconds": s.conf.ChunksIntervalSeconds,
		"log_max_size_bytes":      s.conf.LogMaxSizeBytes,
		"runnable_at":             j.runnableAt.UTC().Format(time.RFC3339Nano),
		"priority":                j.priority,
		"traceparent":             "00-" + strings.ReplaceAll(j.build.id, "-", "") + "-" + strings.ReplaceAll(j.id, "-", "")[16:] + "-01",
	}
	if j.token != "" {
		body["token"] = j.token
	}
	if s.conf.Profile.LogLimit == assumptions.LogLimitUnnamed {
		delete(body, "log_max_size_bytes")
	}
	if s.conf.AcquireReply != nil {
		s.conf.AcquireReply(body)
	}
	return ok(body)
}

// start moves a job from accepted to running. A job that was canceled in between stays
// canceling; Profile.StartCanceling says whether start is refused (docs/protocol.md#start).
func (s *Simulator) start(c *call) reply {
	var req struct {
		StartedAt string `json:"started_at"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	j := c.job
	switch {
	case j.state == StateAccepted:
		j.startedAt, j.startedBody = c.now, req.StartedAt
		s.setState(j, StateRunning, c.now, cause{event: "started", call: c})
		s.startTimeout(j, c.now)
		return ok(map[string]any{})
	case j.state == StateCanceling && j.startedAt.IsZero():
		if s.conf.Profile.StartCanceling == assumptions.StartCancelingTaken {
			j.startedAt, j.startedBody = c.now, req.StartedAt
			s.ledger.book(j.id).startedBy = c.agentID()
			s.ledger.write(c.now, Entry{JobID: j.id, Event: "started", Detail: "while it was being canceled"}, c)
			return ok(map[string]any{})
		}
		return *failure(http.StatusUnprocessableEntity, "This job can't be started while the build is in a `canceling` state")
	case !j.startedAt.IsZero():
		s.ledger.repeat(c, j.id, opStart)
		s.ledger.book(j.id).mark(opStart, c.withheld)
		if s.conf.Profile.StartAgain == assumptions.StartAgainTaken && req.StartedAt == j.startedBody {
			return ok(map[string]any{})
		}
	}
	return *failure(http.StatusUnprocessableEntity, "The job is "+string(j.state)+" and can't be started")
}

func (s *Simulator) startTimeout(j *job, now time.Time) {
	if j.node.timeout <= 0 {
		return
	}
	s.deadlines.add(now.Add(j.node.timeout), func(now time.Time) {
		if j.state == StateRunning {
			s.setState(j, StateTimingOut, now, cause{event: "timed out"})
			s.touch()
		}
	})
}

func (s *Simulator) jobState(c *call) reply {
	return ok(map[string]any{"id": c.job.id, "state": c.job.state})
}

// finish ends a job. Profile.EndedJobToken says what its token is good for after that.
func (s *Simulator) finish(c *call) reply {
	res, failed, rep := readFinish(c)
	if rep != nil {
		return *rep
	}
	j := c.job
	if !j.state.Held() {
		if j.state.Terminal() {
			s.noteRepeatedFinish(c, j, res)
		}
		return *failure(http.StatusUnprocessableEntity, "The job is "+string(j.state)+" and can't be finished")
	}
	if s.ledger.book(j.id).startedBy == "" && res.ofRun() {
		s.ledger.accuse(c, FinishedUnstarted, j.id, "%s, but it was never started", res)
	}
	j.failed = failed
	s.checkLog(c, j, res)
	s.end(j, res, c.now, cause{event: "finished", call: c})
	return ok(map[string]any{})
}

func readFinish(c *call) (result, int, *reply) {
	var req struct {
		ExitStatus        string `json:"exit_status"`
		Signal            string `json:"signal"`
		SignalReason      string `json:"signal_reason"`
		ChunksFailedCount int    `json:"chunks_failed_count"`
	}
	if rep := c.decode(&req); rep != nil {
		return result{}, 0, rep
	}
	if _, err := strconv.Atoi(req.ExitStatus); err != nil {
		return result{}, 0, failure(http.StatusUnprocessableEntity, "exit_status must be a number in a string")
	}
	return result{req.ExitStatus, req.Signal, req.SignalReason}, req.ChunksFailedCount, nil
}

// noteAfterEnd checks a call with the token of a job that has ended. It counts repeats, and
// contradictions are violations. It doesn't change the answer.
func (s *Simulator) noteAfterEnd(c *call) {
	j := c.job
	switch c.route.name {
	case "start":
		if j.expired {
			s.noteAfterExpiry(c)
		}
	case "finish":
		if res, _, rep := readFinish(c); rep == nil {
			s.noteRepeatedFinish(c, j, res)
		}
	case "chunks":
		delayed := c.fault != nil && c.fault.Delay > 0
		lost := s.ledger.book(j.id).finishedBy != c.agentID() || j.orphaned
		if c.chunk == nil || delayed || lost || j.log.has(c.chunk) {
			return
		}
		s.ledger.accuse(c, ChunkAfterFinish, j.id, "%d bytes at %d", len(c.chunk.data), c.chunk.offset)
	}
}

func (s *Simulator) noteRepeatedFinish(c *call, j *job, res result) {
	b := s.ledger.book(j.id)
	switch {
	case b.finishedBy != c.agentID() || j.orphaned:
		// Buildkite had ended the job itself: the result comes too late.
		s.ledger.write(c.now, Entry{JobID: j.id, Event: "finish came late", Detail: res.String()}, c)
	case b.result != res:
		s.ledger.accuse(c, ResultChanged, j.id, "was %s, now %s", b.result, res)
	default:
		s.ledger.repeat(c, j.id, opFinish)
		b.mark(opFinish, c.withheld)
	}
}

// updateJob serves `buildkite-agent job update`.
func (s *Simulator) updateJob(c *call) reply {
	attrs := map[string]any{}
	if rep := c.decode(&attrs); rep != nil {
		return *rep
	}
	for name, value := range attrs {
		text, isText := value.(string)
		if name != "priority" || !isText {
			return *failure(http.StatusUnprocessableEntity, "Only priority can be updated")
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return *failure(http.StatusUnprocessableEntity, "priority must be an integer")
		}
		c.job.priority = n
	}
	return ok(map[string]any{"id": c.job.id})
}

func (s *Simulator) promiseFailure(c *call) reply {
	var req PromisedFailure
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	if req.ExitStatus == 0 {
		return *failure(http.StatusUnprocessableEntity, "exit_status must not be 0")
	}
	c.job.promised = &req
	return reply{status: http.StatusNoContent}
}
