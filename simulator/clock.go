package simulator

import "time"

// JumpClock moves the Simulator's clock by d, forward or back, as a server's
// clock does when it is set: every time that it tells, in bodies, in the Date
// header and in the ledger, moves along, and so does every deadline
// (reservations, lost agents, job timeouts, faults). It returns how far the
// clock is then from the machine's.
func (s *Simulator) JumpClock(d time.Duration) (skew time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	skew = time.Duration(s.skew.Add(int64(d)))
	// A window of calls with times in the future would stay shut until then.
	for _, st := range s.stacks {
		clear(st.windows)
	}
	s.deadlines.arm()
	s.touch()
	return skew
}

// now is the Simulator's time.
func (s *Simulator) now() time.Time { return time.Now().Add(time.Duration(s.skew.Load())) }
