package scheduler

import (
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// used puts what the containers of an attempt used that ran the job's commands into the
// histograms, each once.
func (q *queue) used(id contract.JobID, f decide.Facts) {
	if q.countedByPreviousLeader(f) {
		return
	}
	for _, u := range f.Pod.UsedBy() {
		if q.pages.measure(id, f.KJob.UID, "used/"+u.Container) {
			q.s.metrics.used(q.name, u)
		}
	}
}

// used leaves out what isn't known. A container that was killed has no numbers.
func (m *Metrics) used(queue string, u decide.Used) {
	if u.Use.MemoryPeak > 0 {
		m.memoryPeak.WithLabelValues(queue).Observe(float64(u.Use.MemoryPeak))
		if u.Use.MemoryLimit > 0 {
			m.memoryRatio.WithLabelValues(queue).Observe(float64(u.Use.MemoryPeak) / float64(u.Use.MemoryLimit))
		}
	}
	if u.Use.CPULimit > 0 {
		m.throttled.WithLabelValues(queue).Observe(u.Throttled())
	}
}
