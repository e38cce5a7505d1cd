package simulator

import (
	"fmt"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
)

// Profile has the answers to the questions that only Buildkite knows.
type Profile = assumptions.Profile

// play completes the Profile and sets the defaults that depend on it. It panics if the
// Profile has an unknown answer.
func (c *Config) play() {
	if err := c.Profile.Check(); err != nil {
		panic(fmt.Sprint("simulator: profile: ", err))
	}
	p := c.Profile.WithDefaults()
	c.Profile = p
	def(&c.ReservationMin, time.Minute)
	if p.HeartbeatInterval == assumptions.HeartbeatIntervalTwoMinutes {
		def(&c.HeartbeatInterval, 120)
	}
	if p.JobStatusInterval == assumptions.JobStatusIntervalHalfMinute {
		def(&c.JobStatusInterval, 30)
	}
	if p.ChunkSize == assumptions.ChunkSizeLarge {
		def(&c.ChunksMaxSizeBytes, 1<<20)
	}
	if p.ChunkInterval == assumptions.ChunkIntervalTenSeconds {
		def(&c.ChunksIntervalSeconds, 10)
	}
	if p.LockedRetryAfter == assumptions.LockedRetryAfterSent {
		def(&c.LockedRetryAfter, "5")
	}
	if p.JobList == assumptions.JobListLate {
		def(&c.ListLag, 5*time.Second)
	}
	if p.JobStates == assumptions.JobStatesLate {
		def(&c.StatesLag, 2*time.Second)
	}
}

// moment is a state that a job has left.
type moment struct {
	state JobState
	until time.Time
}

// remember keeps the state that a job leaves for StatesLag.
func (s *Simulator) remember(j *job, now time.Time) {
	if s.conf.StatesLag == 0 {
		return
	}
	for len(j.past) > 0 && !j.past[0].until.After(now.Add(-s.conf.StatesLag)) {
		j.past = j.past[1:]
	}
	j.past = append(j.past, moment{j.state, now})
}

// stateSeen is a job's state in the reply of get-states, StatesLag late. It is empty if the
// job didn't exist then.
func (s *Simulator) stateSeen(j *job, now time.Time) JobState {
	for _, m := range j.past {
		if m.until.After(now.Add(-s.conf.StatesLag)) {
			return m.state
		}
	}
	return j.state
}
