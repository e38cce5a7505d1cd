package k8s

import (
	"slices"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// measure puts the phases of an attempt that has ended into the histograms,
// once. All times are Kubernetes', except the last, which the runner took.
func (q *queue) measure(id contract.JobID, f Facts) {
	if !f.Pod.Over() && !f.KJob.Finished || f.Pod.Name == "" {
		return
	}
	q.mu.Lock()
	m := q.memo(id)
	done := m.measured == f.KJob.UID
	m.measured = f.KJob.UID
	k, _ := q.last(id)
	q.mu.Unlock()
	if done || q.theirs(f) {
		return
	}
	var made, scheduled, started time.Time
	if k != nil {
		made = k.made
	}
	for _, p := range q.store.podsOf(id) {
		if p.Name == f.Pod.Name {
			scheduled, started = p.scheduled, p.started
		}
	}
	took := q.s.metrics.took
	took(q.name, phaseScheduled, made, scheduled)
	took(q.name, phaseStarted, scheduled, started)
	if msg := f.Pod.Message; msg != nil {
		for _, p := range msg.Phases {
			if p.Name == "acquire" {
				took(q.name, phaseAcquired, started, p.Start.Add(seconds(p.Seconds)))
			}
		}
	}
}

// clockGrain is how much a phase may seem to lie outside of its container's time:
// the kubelet's times are cut to the second.
const clockGrain = time.Second

// believed are the phases of a runner's message that can be true, the first of each
// name: a job may have written it. Both clocks are the node's.
func believed(phases []contract.Phase, started, finished time.Time) (out []contract.Phase) {
	longest := finished.Sub(started) + 2*clockGrain
	for _, p := range phases {
		known := slices.ContainsFunc(out, func(o contract.Phase) bool { return o.Name == p.Name })
		if known || p.Seconds < 0 || p.Seconds > longest.Seconds() {
			continue
		}
		early := p.Start.Before(started.Add(-clockGrain))
		late := p.Start.Add(seconds(p.Seconds)).After(finished.Add(clockGrain))
		if !early && !late {
			out = append(out, p)
		}
	}
	return out
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
