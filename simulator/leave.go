package simulator

import (
	"time"

	"github.com/onejob-dev/onejob/assumptions"
)

// lose marks a session as disconnected or lost (how). A job that a lost agent held ends with
// -1, as Buildkite does, and a retry rule may retry it. leave says what a disconnect does.
func (s *Simulator) lose(a *agent, how string, now time.Time, c *call) {
	a.state = how
	j := a.job
	if j == nil {
		return
	}
	why := cause{event: "agent " + how, call: c, agentID: a.id}
	switch {
	case j.state == StateAssigned:
		// The agent never accepted the job: the next agent gets it.
		a.job, j.agent = nil, nil
		s.setState(j, StateScheduled, now, why)
	case how == agentDisconnected:
		s.leave(j, now, why)
	default:
		s.orphan(j, "", now, why)
	}
}

// leave handles the job of an agent that disconnects, as Profile.DisconnectAccepted and
// Profile.DisconnectRunning say.
func (s *Simulator) leave(j *job, now time.Time, why cause) {
	a, unstarted := j.agent, j.state == StateAccepted
	accepted, running := s.conf.Profile.DisconnectAccepted, s.conf.Profile.DisconnectRunning
	switch {
	case unstarted && accepted == assumptions.DisconnectAcceptedOfferedAgain:
		s.takeBack(j, now, why)
	case unstarted && accepted == assumptions.DisconnectAcceptedLostLater, !unstarted && running == assumptions.DisconnectRunningLostLater:
		j.leaving = true
		s.deadlines.add(now.Add(s.patience(a)), func(now time.Time) {
			if a.job == j && j.state.Held() {
				s.orphan(j, s.disconnectReason(), now, cause{event: "agent lost", agentID: a.id})
				s.touch()
			}
		})
	default:
		s.orphan(j, s.disconnectReason(), now, why)
	}
}

func (s *Simulator) disconnectReason() string {
	if s.conf.Profile.DisconnectReason == assumptions.DisconnectReasonAgentStop {
		return "agent_stop"
	}
	return ""
}

// orphan ends a job with -1 because its agent is gone.
func (s *Simulator) orphan(j *job, reason string, now time.Time, why cause) {
	j.agent.job = nil
	j.orphaned = true
	s.end(j, result{exitStatus: "-1", signalReason: reason}, now, why)
}

// disconnect ends the session at once. leave handles a job that the agent still holds.
func (s *Simulator) disconnect(c *call) reply {
	if !c.agent.over() {
		if j := c.agent.job; j != nil {
			s.ledger.left(c, j.id)
		}
		s.lose(c.agent, agentDisconnected, c.now, c)
	}
	return ok(map[string]any{})
}
