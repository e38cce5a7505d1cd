package scheduler

import "time"

// While one side is away the other is called twice a second at the most, all calls
// together: nothing can be made of what it says. A few seconds late is early enough
// when it is back, by which time reservations are as they were.
const (
	// outageAfter is how long a side may be silent before that is more than a call
	// that failed.
	outageAfter = 2 * time.Second
	// outagePoll is between two looks at the queue, and outageStates between two
	// questions about a job whose kjob can't be deleted.
	outagePoll   = 2 * time.Second
	outageStates = 20 * time.Second
)

// kubernetesAway: the API server doesn't answer, and hasn't for a while.
func (q *queue) kubernetesAway() bool { return q.s.breaker.Away() > outageAfter }

// buildkiteAway is the same of Buildkite.
func (q *queue) buildkiteAway() bool { return q.standing.silentFor() > outageAfter }
