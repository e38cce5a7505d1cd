package simulator

import (
	"fmt"
	"net/http"
	"time"
)

// CancelJob cancels a job as a person does. A job that no agent holds is canceled at once; a
// job that an agent holds is canceling until the agent finishes it. A job that has ended is
// an error.
func (s *Simulator) CancelJob(id string) error {
	return s.lockedWrite(func(now time.Time) error {
		j := s.jobs[id]
		if j == nil {
			return notFound("job", id)
		}
		if !s.cancel(j, now, cause{event: "canceled"}) {
			return fmt.Errorf("job %s is %s and can't be canceled", id, j.state)
		}
		return nil
	})
}

func (s *Simulator) cancel(j *job, now time.Time, why cause) bool {
	switch j.state {
	case StateAccepted, StateRunning, StateTimingOut:
		s.setState(j, StateCanceling, now, why)
		return true
	case StateCanceling:
		return true
	}
	if j.state.Terminal() {
		return false
	}
	s.endAs(j, StateCanceled, result{}, now, why)
	return true
}

// CancelBuild cancels a build's jobs and open steps. A build that has ended is an error.
func (s *Simulator) CancelBuild(number int) error {
	return s.lockedWrite(func(now time.Time) error {
		b := s.build(number)
		if b == nil {
			return notFound("build", fmt.Sprint(number))
		}
		if b.open == 0 {
			return fmt.Errorf("build %d is %s and can't be canceled", number, b.state())
		}
		s.cancelBuild(b, now, cause{event: "build canceled"})
		return nil
	})
}

func (s *Simulator) cancelBuild(b *build, now time.Time, why cause) {
	b.canceled = true
	for _, n := range b.nodes {
		for _, j := range n.current {
			s.cancel(j, now, why)
		}
	}
	for _, n := range b.nodes {
		if (n.gate() || n.kind == kindTrigger) && n.state != nodeDone {
			n.canceled = true
			s.advance(b, n.done(true), now)
		}
	}
}

// TimeOutJob makes a running job time out now, whatever its step's limit. A job that waits
// for an agent expires. Any other state is an error.
func (s *Simulator) TimeOutJob(id string) error {
	return s.lockedWrite(func(now time.Time) error {
		j := s.jobs[id]
		if j == nil {
			return notFound("job", id)
		}
		switch j.state {
		case StateRunning:
			s.setState(j, StateTimingOut, now, cause{event: "timed out"})
		case StateScheduled, StateReserved:
			s.endAs(j, StateExpired, result{}, now, cause{event: "expired"})
		default:
			return fmt.Errorf("job %s is %s: only a running job, or one that waits for an agent, times out", id, j.state)
		}
		return nil
	})
}

// LoseAgent declares an agent lost now, as Buildkite does after its silence.
func (s *Simulator) LoseAgent(id string) error {
	return s.lockedWrite(func(now time.Time) error {
		a := s.agents[id]
		if a == nil {
			return notFound("agent", id)
		}
		switch {
		case !a.away():
			s.lose(a, agentLost, now, nil)
		case a.job != nil: // it has disconnected, and its job ends once it is lost
			s.orphan(a.job, s.disconnectReason(), now, cause{event: "agent lost", agentID: a.id})
		}
		return nil
	})
}

// cancelBuildCall serves `buildkite-agent build cancel`.
func (s *Simulator) cancelBuildCall(c *call) reply {
	b, rep := s.buildOf(c)
	if rep != nil {
		return *rep
	}
	s.cancelBuild(b, c.now, cause{event: "build canceled", call: c})
	return ok(map[string]any{"uuid": b.id})
}

// buildOf is the build in the path, which must be the job's own.
func (s *Simulator) buildOf(c *call) (*build, *reply) {
	b := s.buildByID[c.params["build"]]
	if b == nil {
		return nil, failure(http.StatusNotFound, "Build not found")
	}
	if b != c.job.build {
		return nil, failure(http.StatusUnauthorized, "The build is not this job's")
	}
	return b, nil
}
