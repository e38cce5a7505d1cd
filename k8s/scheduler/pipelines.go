package scheduler

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// otherPipelines is the label value of all pipelines that have none of their own.
const otherPipelines = "other"

// pipelines are the metrics with the label pipeline, for the setting pipeline-metrics.
// They are metrics of their own. Another label on the metrics of queues would make many
// series of each, and Prometheus' increase, on which alerts rest, doesn't see the first
// step of a series.
type pipelines struct {
	jobs, oldest *prometheus.GaugeVec
	phase        *prometheus.HistogramVec
	decisions    *prometheus.CounterVec

	mu    sync.Mutex
	most  int                        // label values beside other; 0: there are no such metrics
	named map[string]bool            // those values, the first pipelines that were seen
	shown map[string]map[string]bool // the values of a queue's gauges
}

func newPipelines() *pipelines {
	labels := func(more ...string) []string { return append([]string{"queue", "pipeline"}, more...) }
	ps := &pipelines{
		jobs:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "onejob_pipeline_jobs", Help: "Jobs of onejob_queue_jobs, by pipeline. See docs/monitoring.md#by-pipeline."}, labels()),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "onejob_pipeline_oldest_wait_seconds", Help: "onejob_queue_oldest_wait_seconds, by pipeline."}, labels()),
		phase: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "onejob_pipeline_phase_seconds", Help: "onejob_phase_seconds, by pipeline, in fewer buckets.", Buckets: []float64{1, 2, 5, 10, 30, 60, 300, 900},
		}, labels("phase")),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "onejob_pipeline_decisions_total", Help: "onejob_decisions_total, by pipeline."}, labels("action", "reason")),
	}
	return ps
}

func (ps *pipelines) own() []prometheus.Collector {
	return []prometheus.Collector{ps.jobs, ps.oldest, ps.phase, ps.decisions}
}

// limit sets how many pipelines have a label value of their own. Another number than
// before begins anew.
func (ps *pipelines) limit(most int) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if most == ps.most {
		return
	}
	ps.most, ps.named, ps.shown = most, map[string]bool{}, map[string]map[string]bool{}
	ps.jobs.Reset()
	ps.oldest.Reset()
	ps.phase.Reset()
	ps.decisions.Reset()
}

// value is a pipeline's label value. Callers hold the guard.
func (ps *pipelines) value(pipeline string) string {
	named, full := ps.named[pipeline], len(ps.named) >= ps.most
	if unknown := pipeline == ""; unknown || pipeline == otherPipelines || !named && full {
		return otherPipelines
	}
	ps.named[pipeline] = true
	return pipeline
}

func (ps *pipelines) took(queue, pipeline, phase string, seconds float64) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.most > 0 {
		ps.phase.WithLabelValues(queue, ps.value(pipeline), phase).Observe(seconds)
	}
}

func (ps *pipelines) decided(queue, pipeline string, a decide.Action, r decide.Reason) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.most > 0 {
		ps.decisions.WithLabelValues(queue, ps.value(pipeline), string(a), string(r)).Inc()
	}
}

// pipelineWaits are the jobs that wait in a queue, by label value.
type pipelineWaits map[string]*pendingJobs

// add adds a job that has waited since a time.
func (ps *pipelines) add(to pipelineWaits, pipeline string, since time.Time) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.most == 0 {
		return
	}
	value := ps.value(pipeline)
	if to[value] == nil {
		to[value] = &pendingJobs{}
	}
	to[value].add(max(0, time.Since(since)))
}

// wait puts them into the metrics. A pipeline without any keeps its gauges, see
// pendingPlaces.
func (ps *pipelines) wait(queue string, now pipelineWaits) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.most == 0 { // by now, perhaps: a look takes a while
		return
	}
	shown := ps.shown[queue]
	if shown == nil {
		shown = map[string]bool{}
		ps.shown[queue] = shown
	}
	for value := range now {
		if value == otherPipelines || ps.named[value] { // else the limit has changed since
			shown[value] = true
		}
	}
	for value := range shown {
		w := now[value]
		if w == nil {
			w = &pendingJobs{}
		}
		ps.jobs.WithLabelValues(queue, value).Set(float64(w.n))
		ps.oldest.WithLabelValues(queue, value).Set(w.oldest.Seconds())
	}
}

// forget drops the gauges of a queue that is served no more.
func (ps *pipelines) forget(queue string) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	delete(ps.shown, queue)
	for _, g := range []*prometheus.GaugeVec{ps.jobs, ps.oldest} {
		g.DeletePartialMatch(prometheus.Labels{"queue": queue})
	}
}

// decided counts a decision about a job.
func (q *queue) decided(id contract.JobID, a decide.Action, r decide.Reason) {
	q.s.metrics.decided(q.name, q.claims.pipelineOf(id), a, r)
}

// took observes how long a job took to reach a phase.
func (q *queue) took(id contract.JobID, phase string, from, to time.Time) {
	q.s.metrics.took(q.name, q.claims.pipelineOf(id), phase, from, to)
}

// pipelineOf is the pipeline of a job that has, or had, a claim or a kjob; empty if
// that isn't known.
func (cs *claims) pipelineOf(id contract.JobID) string {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.open[id]; c != nil {
		return c.job.Pipeline
	}
	if k := cs.lastThere(id); k != nil {
		return k.Job.Pipeline
	}
	m := cs.jobs[id]
	switch {
	case m == nil:
		return ""
	case m.gone != nil:
		return m.gone.Job.Pipeline
	}
	return m.pipeline
}
