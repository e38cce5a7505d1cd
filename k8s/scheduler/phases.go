package scheduler

import (
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// measure puts the phases of an attempt that has ended into the histograms,
// once. All times are Kubernetes', except the last, which the runner took.
func (q *queue) measure(id contract.JobID, f decide.Facts) {
	if !f.Pod.Over() && !f.KJob.Finished || f.Pod.Name == "" {
		return
	}
	if !q.pages.measure(id, f.KJob.UID) || q.countedByPreviousLeader(f) {
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
	took := q.s.metrics.took
	took(q.name, phaseScheduled, made, scheduled)
	took(q.name, phaseStarted, scheduled, started)
	if msg := f.Pod.Message; msg != nil {
		for _, p := range msg.Phases {
			if p.Name == "acquire" {
				took(q.name, phaseAcquired, started, p.Start.Add(decide.Seconds(p.Seconds)))
			}
		}
	}
}
