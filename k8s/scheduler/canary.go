package scheduler

import (
	"time"

	"github.com/onejob-dev/onejob/k8s/decide"
)

// Where the pods' token is refused again and again though ours is not, there is
// one probe at a time until one of them gets through.
const (
	// maxRefusals attempts in a row make it so.
	maxRefusals = 3
	// probeFor is how long others wait for a probe to ask: its pod may wait for a
	// node, or its kjob to be resumed, for ever.
	probeFor = 2 * time.Minute
)

// sayProbes is said once, when it begins.
func (q *queue) sayProbes() {
	const text = "Buildkite refuses the agent token of the job pods, and accepts the scheduler's own. One attempt at a time is made until a pod gets through. Check the Secret that the queue's token-secret names"
	q.log.Error("the token of the job pods is refused", "hint", text)
	q.s.events.Event(q.store.Namespace, "onejob-queue-"+q.label, "", true, "TokenRefused", "queue "+q.name+": "+text, decide.Decision{})
}
