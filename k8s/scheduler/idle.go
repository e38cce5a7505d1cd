package scheduler

import "fmt"

// Synced reports whether the caches have been filled since Run began.
func (s *Scheduler) Synced() bool { return s.synced.Load() }

// UnderWay tells of each queue that holds slots, claims or retries, or is stopped;
// it is empty when all has come to an end, which simulations wait for.
func (s *Scheduler) UnderWay() (busy []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, q := range s.queues {
		held := q.held()
		q.mu.Lock()
		if held+len(q.claims)+len(q.retries) > 0 || q.refused != nil {
			busy = append(busy, fmt.Sprintf("queue %s has %d slots held, %d claims, %d retries, stopped: %v", name, held, len(q.claims), len(q.retries), q.refused))
		}
		q.mu.Unlock()
	}
	return busy
}
