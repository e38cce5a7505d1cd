package simulator

import (
	"time"

	"github.com/onejob-dev/onejob/assumptions"
)

// watchAcceptance takes a job back, or ends it, if its agent doesn't start it in time, as
// Profile.UnstartedJob says. Buildkite's event is ACCEPTED_EXPIRED (docs/protocol.md#start).
func (s *Simulator) watchAcceptance(j *job, a *agent, granted time.Time) {
	if s.conf.Profile.UnstartedJob == assumptions.UnstartedJobKept {
		return
	}
	s.deadlines.add(granted.Add(s.conf.AcceptTimeout), func(now time.Time) {
		if j.state != StateAccepted || j.agent != a || !j.acquiredAt.Equal(granted) {
			return
		}
		why := cause{event: acceptanceExpired, agentID: a.id}
		if s.conf.Profile.UnstartedJob == assumptions.UnstartedJobFinished {
			j.orphaned, j.expired = true, true
			s.end(j, result{exitStatus: "-1"}, now, why)
		} else {
			s.takeBack(j, now, why)
		}
		s.touch()
	})
}

// takeBack takes a job from its agent, which hasn't started it, and offers it again.
func (s *Simulator) takeBack(j *job, now time.Time, why cause) {
	j.agent.job = nil
	j.agent, j.token, j.acquiredAt, j.leaving = nil, "", time.Time{}, false
	s.ledger.takenBack(j.id)
	s.setState(j, StateScheduled, now, why)
}

// noteAfterExpiry checks a call for a job that was taken back. A start is then a violation,
// unless a fault delayed it: the agent must know that its time to start is over.
func (s *Simulator) noteAfterExpiry(c *call) {
	delayed := c.fault != nil && c.fault.Delay > 0
	if c.route.name == "start" && !delayed {
		s.ledger.accuse(c, StartedLate, c.job.id, "%s tried to start it after it was taken back", c.agentID())
	}
}
