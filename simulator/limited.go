package simulator

import (
	"fmt"
	"time"
)

// LimitJob makes a scheduled or reserved job limited, as a concurrency limit does. The job's
// reservation ends, and no agent can acquire the job.
func (s *Simulator) LimitJob(id string) error {
	return s.lockedWrite(func(now time.Time) error {
		j := s.jobs[id]
		switch {
		case j == nil:
			return notFound("job", id)
		case j.state != StateScheduled && j.state != StateReserved:
			return fmt.Errorf("job %s is %s, and not offered", id, j.state)
		}
		j.reservedBy, j.reservedUntil = "", time.Time{}
		s.setState(j, StateLimited, now, cause{event: "limited"})
		return nil
	})
}

// ReleaseJob schedules a limited job.
func (s *Simulator) ReleaseJob(id string) error {
	return s.lockedWrite(func(now time.Time) error {
		j := s.jobs[id]
		switch {
		case j == nil:
			return notFound("job", id)
		case j.state != StateLimited:
			return fmt.Errorf("job %s is %s, and not limited", id, j.state)
		}
		s.setState(j, StateScheduled, now, cause{event: "released"})
		return nil
	})
}
