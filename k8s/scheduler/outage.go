package scheduler

import "time"

// While one side is away, the other is called at most twice a second, all calls
// together, because nothing can be done with its answers. A delay of some seconds
// afterwards is fine; by then reservations are as before.
const (
	// outageAfter is how long a side must be silent until it counts as away.
	outageAfter = 2 * time.Second
	// outagePoll is between two looks at the queue, and outageStates between two
	// questions about a job whose kjob can't be deleted.
	outagePoll   = 2 * time.Second
	outageStates = 20 * time.Second
)

// kubernetesAway: the API server doesn't answer, and hasn't for a while.
func (q *queue) kubernetesAway() bool { return q.s.breaker.Away() > outageAfter }

// buildkiteAway: Buildkite doesn't answer, and hasn't for a while.
func (q *queue) buildkiteAway() bool { return q.standing.silentFor() > outageAfter }
