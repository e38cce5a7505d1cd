package simulator

import (
	"time"

	"github.com/onejob-dev/onejob/assumptions"
)

// watchAcceptance looks at a job that its agent doesn't start in time: as a rule it is
// taken back. The event is ACCEPTED_EXPIRED (docs/protocol.md#start).
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

// takeBack offers a job again that its agent hasn't started.
func (s *Simulator) takeBack(j *job, now time.Time, why cause) {
	j.agent.job = nil
	j.agent, j.token, j.acquiredAt, j.leaving = nil, "", time.Time{}, false
	s.ledger.takenBack(j.id)
	s.setState(j, StateScheduled, now, why)
}

// noteAfterExpiry looks at a call for a job that was taken back. Nobody may start it
// who was given it longer ago than it may be his.
func (s *Simulator) noteAfterExpiry(c *call) {
	delayed := c.fault != nil && c.fault.Delay > 0
	if c.route.name == "start" && !delayed {
		s.ledger.accuse(c, StartedLate, c.job.id, "%s tried to start it after it was taken back", c.agentID())
	}
}
