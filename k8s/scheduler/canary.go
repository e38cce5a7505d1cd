package scheduler

import (
	"time"

	"github.com/onejob-dev/onejob/k8s/decide"
)

// If Buildkite refuses the pods' token again and again but accepts ours, one attempt at
// a time (a probe) is made until one gets through.
const (
	// maxRefusals is after how many refused attempts in a row that begins.
	maxRefusals = 3
	// probeFor is how long other jobs wait for a probe's answer: its pod may wait for a
	// node, or its kjob for being resumed, for ever.
	probeFor = 2 * time.Minute
)

// sayProbes reports the beginning of the probes.
func (q *queue) sayProbes() {
	const text = "Buildkite refuses the agent token of the job pods, and accepts the scheduler's own. One attempt at a time is made until a pod gets through. Check the Secret that the queue's token-secret names"
	q.log.Error("the token of the job pods is refused", "hint", text)
	q.s.events.Event(q.store.Namespace, "onejob-queue-"+q.label, "", true, "TokenRefused", "queue "+q.name+": "+text, decide.Decision{})
}
