package scheduler

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// pendingAt is where a reserved job is on its way to its start: the last phase that it
// reached, as in onejob_phase_seconds, and why it is no further.
type pendingAt struct {
	phase  string
	reason decide.Reason
}

// pendingPlaces are all of them. Each always has a value: a gauge that comes and goes
// would look to an alert as if the wait had begun anew.
var pendingPlaces = []pendingAt{
	{phaseReserved, decide.ReasonNotCreated},
	{phaseCreated, decide.ReasonSuspended}, {phaseCreated, decide.ReasonNoPod}, {phaseCreated, decide.ReasonPending},
	{phaseScheduled, decide.ReasonImage}, {phaseScheduled, decide.ReasonContainer}, {phaseScheduled, decide.ReasonPending},
}

// pendingJobs are the jobs at one of them.
type pendingJobs struct {
	n      int
	oldest time.Duration // since the job was reserved, or its kjob made
}

func (p *pendingJobs) add(age time.Duration) { p.n, p.oldest = p.n+1, max(p.oldest, age) }

// measurePending puts the jobs that are on their way into the metrics.
func (q *queue) measurePending() {
	held := 0
	if *q.set.Load().Hold > 0 { // else they merely leave
		held = q.claims.staying()
	}
	q.s.metrics.held.WithLabelValues(q.name).Set(float64(held))
	pending := q.claims.pending(time.Now())
	for _, at := range pendingPlaces {
		p := pending[at]
		if p == nil {
			p = &pendingJobs{}
		}
		q.s.metrics.pending.WithLabelValues(q.name, at.phase, string(at.reason)).Set(float64(p.n))
		q.s.metrics.pendingOldest.WithLabelValues(q.name, at.phase, string(at.reason)).Set(p.oldest.Seconds())
	}
}

// pending are the jobs that hold a slot and whose pod hasn't started.
func (cs *claims) pending(now time.Time) map[pendingAt]*pendingJobs {
	pods := map[types.UID]*cache.Pod{}
	for _, p := range cs.store.PodsIn(cs.label) {
		pods[p.KjobUID] = p
	}
	of := map[pendingAt]*pendingJobs{}
	add := func(at pendingAt, since time.Time) {
		if of[at] == nil {
			of[at] = &pendingJobs{}
		}
		of[at].add(max(0, now.Sub(since)))
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for id, c := range cs.open {
		if cs.store.Kjob(contract.KjobName(id, c.attempt)) == nil {
			add(pendingAt{phaseReserved, decide.ReasonNotCreated}, c.at)
		}
	}
	for _, k := range cs.store.KjobsIn(cs.label) {
		var p decide.Pod
		if pod := pods[k.UID]; pod != nil {
			p = pod.Pod
		}
		if cs.holdsSlot(k) && !k.Terminating && !p.Started && !p.Over() {
			add(placeOf(k.KJob, p), k.CreatedAt)
		}
	}
	return of
}

// staying are the jobs that are over, as Buildkite said when it was asked, and whose runner
// stays, if the setting hold has it stay.
func (cs *claims) staying() (n int) {
	pods := cs.store.PodsIn(cs.label)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, p := range pods {
		m := cs.jobs[p.ID]
		if p.Runs() && !p.OverOrGone() && m != nil && m.State().Over() {
			n++
		}
	}
	return n
}

// placeOf is where an attempt is whose pod hasn't started.
func placeOf(k decide.KJob, p decide.Pod) pendingAt {
	if p.Node != "" {
		return pendingAt{phaseScheduled, decide.PendingReason(k, p)}
	}
	return pendingAt{phaseCreated, decide.PendingReason(k, p)}
}
