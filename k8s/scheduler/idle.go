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
		held, claims, stopped := q.claims.held(), q.claims.count(), q.standing.now().stopped
		_, retries := q.claims.due(nil)
		if held+claims+retries > 0 || stopped != nil {
			busy = append(busy, fmt.Sprintf("queue %s has %d slots held, %d claims, %d retries, stopped: %v", name, held, claims, retries, stopped))
		}
	}
	return busy
}
