package scheduler

import (
	"slices"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
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

// probing counts the probes that may be about to ask. Callers hold q.mu.
func (q *queue) probing() int {
	n := len(q.claims)
	began := time.Now().Add(-probeFor)
	for _, k := range q.store.KjobsIn(q.label) {
		if m := q.states[k.ID]; q.holdsSlot(k) && (m == nil || !m.State().Held()) && k.CreatedAt.After(began) {
			n++
		}
	}
	return n
}

// gotThrough reports whether an agent that has a job is most likely a pod of
// ours. Callers hold q.mu.
func (q *queue) gotThrough(id contract.JobID) bool {
	return slices.ContainsFunc(q.store.PodsOf(id), func(p *cache.Pod) bool { return p.Lives() && p.Node != "" })
}

// tokenAsked counts what the runner of an attempt that has ended says of its
// token, and reports whether from now on there are probes only. A refusal counts
// only where another attempt is made: of a job that is not offered a runner had
// it, with a good token, and the message is the job's own work. Callers hold q.mu.
func (q *queue) tokenAsked(d decide.Decision, m *contract.Message) (probes bool) {
	switch {
	case m == nil:
		return false
	case m.Code() == contract.ExitRefused && d.Action != decide.Attempt:
		return false
	case m.Code() == contract.ExitRefused:
		q.refusals++
		return q.refusals == maxRefusals
	default:
		q.refusals = 0
		return false
	}
}

// sayProbes is said once, when it begins.
func (q *queue) sayProbes() {
	const text = "Buildkite refuses the agent token of the job pods, and accepts the scheduler's own. One attempt at a time is made until a pod gets through. Check the Secret that the queue's token-secret names"
	q.log.Error("the token of the job pods is refused", "hint", text)
	q.s.events.Event(q.store.Namespace, "onejob-queue-"+q.label, "", true, "TokenRefused", "queue "+q.name+": "+text, decide.Decision{})
}
