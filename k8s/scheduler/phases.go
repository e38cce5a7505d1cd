package scheduler

import (
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// measure puts the phases that an attempt has reached into the histograms, each once,
// and as soon as it is seen: a job may run for hours after it. All times are Kubernetes',
// except the last, which the runner took and which its last message tells.
func (q *queue) measure(id contract.JobID, f decide.Facts) {
	if f.Pod.Name == "" {
		return
	}
	var made, scheduled, started time.Time
	if k := q.claims.last(id); k != nil {
		made = k.Made
	}
	for _, p := range q.store.PodsOf(id) {
		if p.Name == f.Pod.Name {
			scheduled, started = p.Scheduled, p.Started
		}
	}
	q.reached(id, f, phaseScheduled, made, scheduled)
	q.reached(id, f, phaseStarted, scheduled, started)
	if f.Pod.Message == nil || !f.Pod.Over() && !f.KJob.Finished {
		return
	}
	q.used(id, f)
	for _, p := range f.Pod.Message.Phases {
		if p.Name == "acquire" {
			q.reached(id, f, phaseAcquired, started, p.Start.Add(decide.Seconds(p.Seconds)))
		}
	}
}

// reached puts a phase into its histogram, unless it is there. That of an attempt which
// has ended is there if a leader before us saw the end. Of one that goes on, whoever led
// at its time saw it; and so did this leader, should the job's page be forgotten since.
func (q *queue) reached(id contract.JobID, f decide.Facts, phase string, from, to time.Time) {
	if from.IsZero() || to.IsZero() || q.countedByPreviousLeader(f) {
		return
	}
	here := to.Add(-q.s.skew()) // by our clock
	early := phase != phaseAcquired && (here.Before(q.since.Add(-leaseDuration-leaseRetry)) || time.Since(here) > memoLife)
	if !early && q.pages.measure(id, f.KJob.UID, phase) {
		q.s.metrics.took(q.name, phase, from, to)
	}
}
