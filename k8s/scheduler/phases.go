package scheduler

import (
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// measure puts the phases that an attempt has reached into the histograms, each once,
// and as soon as it is seen: a job may run for hours after it. All times are Kubernetes',
// except the last, which the runner took and which its last message tells.
// It returns them as one.
func (q *queue) measure(id contract.JobID, f decide.Facts) (s decide.Start) {
	if f.Pod.Name == "" {
		return s
	}
	if f.Pod.Message != nil && (f.Pod.Over() || f.KJob.Finished) {
		q.used(id, f)
	}
	s = q.startOf(id, f)
	q.reached(id, f, phaseScheduled, s.Made, s.Scheduled)
	q.reached(id, f, phaseStarted, s.Scheduled, s.Running)
	q.reached(id, f, phaseAcquired, s.Running, s.Acquired)
	return s
}

// reached puts a phase into its histogram, unless it is there. That of an attempt which
// has ended is there if a leader before us saw the end. Of one that goes on, whoever led
// at its time saw it; and so did this leader, should the job's page be forgotten since.
func (q *queue) reached(id contract.JobID, f decide.Facts, phase string, from, to time.Time) {
	if from.IsZero() || to.IsZero() || q.countedByPreviousLeader(f) {
		return
	}
	early := phase != phaseAcquired && q.wasBefore(to)
	if !early && q.pages.measure(id, f.KJob.UID, phase) {
		q.took(id, phase, from, to)
	}
}

// wasBefore: what happened at a time of Kubernetes', whoever led then saw it; and so did
// this leader, should the job's page be forgotten since.
func (q *queue) wasBefore(at time.Time) bool {
	here := at.Add(-q.s.skew()) // by our clock
	return here.Before(q.since.Add(-leaseDuration-leaseRetry)) || time.Since(here) > memoLife
}
