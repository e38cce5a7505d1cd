package simulator

import "time"

// JumpClock moves the Simulator's clock by d, forward or back, as if somebody set a server's
// clock. Every time in bodies, in the Date header and in the ledger follows the new clock,
// and so does every deadline (reservations, lost agents, job timeouts, faults). It returns
// how far the clock is then from the machine's.
func (s *Simulator) JumpClock(d time.Duration) (skew time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	skew = time.Duration(s.skew.Add(int64(d)))
	// After a jump back, a window with times in the future would refuse calls until then.
	for _, st := range s.stacks {
		clear(st.windows)
	}
	s.artifactCalls.times = nil
	s.deadlines.arm()
	s.touch()
	return skew
}

// now is the Simulator's time.
func (s *Simulator) now() time.Time { return time.Now().Add(time.Duration(s.skew.Load())) }
