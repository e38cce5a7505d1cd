package simulator

import (
	"fmt"
	"net/http"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
)

const maxReservation = 3600 * time.Second

// reserveJobs reserves jobs for a stack. A reserved job leaves the list of scheduled jobs, but
// any agent can still acquire it by its ID. Reserving again renews the reservation.
func (s *Simulator) reserveJobs(c *call) reply {
	st, rep := s.stack(c)
	if rep != nil {
		return *rep
	}
	return s.limited(c, st, "batch-reserve", s.conf.RateLimits.Reserve, func() reply {
		var req struct {
			JobUUIDs []string `json:"job_uuids"`
			Expiry   *int     `json:"reservation_expiry_seconds"`
		}
		if rep := c.jobUUIDs(&req, &req.JobUUIDs); rep != nil {
			return *rep
		}
		life := s.conf.ReservationDefault
		if req.Expiry != nil {
			if *req.Expiry < 1 || time.Duration(*req.Expiry) > maxReservation/time.Second {
				return *failure(http.StatusBadRequest, "reservation_expiry_seconds must be between 1 and 3600")
			}
			life = time.Duration(*req.Expiry) * time.Second
			switch short := s.conf.Profile.ShortReservation; {
			case life >= s.conf.ReservationMin || short == assumptions.ShortReservationTaken:
			case short == assumptions.ShortReservationRaised:
				life = s.conf.ReservationMin
			default:
				return *failure(http.StatusUnprocessableEntity, fmt.Sprintf("reservation_expiry_seconds must be at least %d", s.conf.ReservationMin/time.Second))
			}
		}
		reserved, refused := []string{}, []string{}
		for _, id := range req.JobUUIDs {
			if j := s.jobs[id]; j != nil && s.reserve(j, st, life, c) {
				reserved = append(reserved, id)
			} else {
				refused = append(refused, id)
			}
		}
		return ok(map[string]any{"reserved": reserved, "not_reserved": refused})
	})
}

// reserve reserves a job and reports whether it did. It refuses a job that another stack
// reserved or that isn't offered.
func (s *Simulator) reserve(j *job, st *stack, life time.Duration, c *call) bool {
	switch {
	case j.state == StateScheduled:
		j.reservedBy = st.key
		s.setState(j, StateReserved, c.now, cause{event: "reserved", call: c, detail: "by " + st.key})
	case j.state == StateReserved && j.reservedBy == st.key:
	default:
		return false
	}
	until := c.now.Add(life)
	if until.Before(j.reservedUntil) && s.conf.Profile.ShorterRenewal == assumptions.ShorterRenewalIgnored {
		return true
	}
	j.reservedUntil = until
	s.watchReservation(j)
	return true
}

// watchReservation ends a reservation at its time. After a renewal the older deadline comes
// too early and does nothing.
func (s *Simulator) watchReservation(j *job) {
	s.deadlines.add(j.reservedUntil, func(now time.Time) {
		if j.state != StateReserved || now.Before(j.reservedUntil) {
			return
		}
		s.lapse(j, now)
		s.touch()
	})
}

func (s *Simulator) lapse(j *job, now time.Time) {
	why := cause{event: "reservation expired", detail: "of " + j.reservedBy}
	j.reservedBy, j.reservedUntil = "", time.Time{}
	s.setState(j, StateScheduled, now, why)
}

// LapseReservation ends a job's reservation now, as if its time were over.
func (s *Simulator) LapseReservation(id string) error {
	return s.lockedWrite(func(now time.Time) error {
		j := s.jobs[id]
		switch {
		case j == nil:
			return notFound("job", id)
		case j.state != StateReserved:
			return fmt.Errorf("job %s is %s, and not reserved", id, j.state)
		}
		s.lapse(j, now)
		return nil
	})
}
