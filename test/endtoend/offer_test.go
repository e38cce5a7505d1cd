package endtoend

import (
	"testing"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

// TestOfferedAgain: Buildkite lists a job as scheduled that has, or had, a kjob.
func TestOfferedAgain(t *testing.T) {
	t.Parallel()
	sideBySide(t, offerRows)
}

var offerRows = []row{
	{
		// As after an outage that was longer than the reservation: the live kjob
		// is the attempt, and gets the job for itself again.
		name: "reservation-lapsed", faults: locked, exit: "0", kjobs: 1,
		act: func(s *scene) {
			s.refused()
			must(s, on.Simulator.LapseReservation(s.id))
			s.happens("it is reserved again", func() bool { return s.job().State == simulator.StateReserved })
			// A first reservation, for a kjob to be made, is of 20 s.
			if left := time.Until(s.job().ReservedUntil); left < 25*time.Second {
				s.Errorf("it is reserved for %s, want what a job with a kjob gets", left)
			}
			s.polled(5)
			s.unlock()
		},
		metric: "none/finished",
	},
	{
		name: "offered-again-exhausted", agent: once, faults: []simulator.Fault{{Endpoint: "acquire", Status: 503, Times: 1, Header: map[string]string{"Retry-After": "20"}}}, exit: "0", kjobs: 2,
		act: func(s *scene) {
			s.over(1)
			if s.job().State == simulator.StateReserved {
				must(s, on.Simulator.LapseReservation(s.id))
			}
			s.polled(2)
			notBefore(s)
		},
		page: []string{"attempt 1 could not reach Buildkite: "}, event: "NewAttempt: attempt 1 could not reach Buildkite", metric: "attempt/exhausted",
	},
	{
		name: "offered-again-finished", kjobs: 1,
		act: func(s *scene) {
			s.over(1)
			s.until("the scheduler has seen that", func() bool { return s.counted("none", "finished") })
			if j := s.job(); j.State != simulator.StateFinished || j.ExitStatus != "0" {
				s.Errorf("the job is %s %q when its kjob is over", j.State, j.ExitStatus)
			}
			must(s, on.Simulator.OfferAgain(s.id))
			s.told("onejob leaves it alone")
			s.polled(10)
			if st := s.job().State; st != simulator.StateScheduled {
				s.Errorf("the job is %s, want it left alone", st)
			}
			must(s, on.Simulator.CancelJob(s.id))
		},
		page:  []string{"attempt 1 reported the job's end, but Buildkite offers the job again; onejob leaves it alone"},
		event: "JobNotice: attempt 1 reported the job's end, but Buildkite offers the job again; onejob leaves it alone", metric: "none/offered_again",
	},
}
