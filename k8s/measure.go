package k8s

import (
	"strings"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// measure puts the phases of an attempt that has ended into the histograms,
// once. All times are Kubernetes', except the last, which the runner took.
func (q *queue) measure(id contract.JobID, f Facts) {
	if !f.Pod.Over() && !f.KJob.Finished {
		return
	}
	q.mu.Lock()
	done := q.memo(id).counted == f.KJob.UID
	q.mu.Unlock()
	if done || f.Pod.Name == "" {
		return
	}
	var scheduled, started time.Time
	for _, p := range q.store.podsOf(id) {
		if p.Name == f.Pod.Name {
			scheduled, started = p.scheduled, p.started
		}
	}
	m := q.s.metrics
	m.took(q.name, phaseScheduled, f.KJob.CreatedAt, scheduled)
	m.took(q.name, phaseStarted, scheduled, started)
	if msg := f.Pod.Message; msg != nil {
		for _, p := range msg.Phases {
			if strings.HasPrefix(p.Name, "acquir") {
				m.took(q.name, phaseAcquired, started, p.Start.Add(time.Duration(p.Seconds*float64(time.Second))))
			}
		}
	}
}
