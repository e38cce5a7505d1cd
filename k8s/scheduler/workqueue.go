package scheduler

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/workqueue"
)

// The works of a scheduler, as label values of onejob_workqueue_….
const (
	workDecide = "decide" // one line a queue
	workCreate = "create" // one line for all queues
)

// works are what client-go's workqueues count, by queue and work.
type works struct {
	depth, unfinished *prometheus.GaugeVec
	adds, retries     *prometheus.CounterVec
	waits, takes      *prometheus.HistogramVec
	watched           bool // else they count nothing: each workqueue that counts wakes up twice a second
}

func newWorks() *works {
	labels := []string{"queue", "work"}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "onejob_workqueue_" + name, Help: help, Buckets: []float64{.001, .01, .1, .5, 1, 5, 30, 120},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, labels)
	}
	w := &works{
		depth:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "onejob_workqueue_depth", Help: "Jobs that wait for the scheduler's own work: to be decided about (decide), or to have their Kubernetes Job created (create; of all queues, so its label queue is empty)."}, labels),
		unfinished: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "onejob_workqueue_unfinished_seconds", Help: "Sum of the ages of the work that goes on now; if it grows for minutes, some is stuck."}, labels),
		adds:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "onejob_workqueue_adds_total", Help: "Work that was asked for."}, labels),
		retries:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "onejob_workqueue_retries_total", Help: "Work that was put off, after a failure or until a time."}, labels),
		waits:      histogram("wait_seconds", "How long work waited before it was begun."),
		takes:      histogram("work_seconds", "How long work took."),
	}
	return w
}

func (w *works) own() []prometheus.Collector {
	return []prometheus.Collector{w.depth, w.unfinished, w.adds, w.retries, w.waits, w.takes}
}

// forget drops the gauges of a queue that is served no more.
func (w *works) forget(queue string) {
	for _, g := range []*prometheus.GaugeVec{w.depth, w.unfinished} {
		g.DeletePartialMatch(prometheus.Labels{"queue": queue})
	}
}

// of is what a workqueue needs to count here: its name, empty for one that counts
// nothing, and the provider of its metrics.
func (w *works) of(queue, work string) (string, workqueue.MetricsProvider) {
	if !w.watched {
		return "", nil
	}
	return work, &workProvider{w, []string{queue, work}}
}

// workProvider is client-go's workqueue.MetricsProvider of one workqueue.
type workProvider struct {
	*works
	labels []string
}

// NewDepthMetric returns the gauge of what waits.
func (p *workProvider) NewDepthMetric(string) workqueue.GaugeMetric {
	return newCount(p.depth, p.labels)
}

// NewAddsMetric returns the counter of what was asked for.
func (p *workProvider) NewAddsMetric(string) workqueue.CounterMetric {
	return p.adds.WithLabelValues(p.labels...)
}

// NewLatencyMetric returns the histogram of waits.
func (p *workProvider) NewLatencyMetric(string) workqueue.HistogramMetric {
	return p.waits.WithLabelValues(p.labels...)
}

// NewWorkDurationMetric returns the histogram of how long work took.
func (p *workProvider) NewWorkDurationMetric(string) workqueue.HistogramMetric {
	return p.takes.WithLabelValues(p.labels...)
}

// NewUnfinishedWorkSecondsMetric returns the gauge of what goes on.
func (p *workProvider) NewUnfinishedWorkSecondsMetric(string) workqueue.SettableGaugeMetric {
	return newCount(p.unfinished, p.labels)
}

// NewLongestRunningProcessorSecondsMetric returns a gauge that nobody sees: the sum of
// all tells the same.
func (p *workProvider) NewLongestRunningProcessorSecondsMetric(string) workqueue.SettableGaugeMetric {
	return prometheus.NewGauge(prometheus.GaugeOpts{})
}

// NewRetriesMetric returns the counter of what was put off.
func (p *workProvider) NewRetriesMetric(string) workqueue.CounterMetric {
	return p.retries.WithLabelValues(p.labels...)
}

// count is a gauge of one workqueue. It is looked up at each change: when the settings of
// a queue change, a new workqueue counts under the same labels, and the gauges of the old
// one are dropped when that has ended.
type count struct {
	vec    *prometheus.GaugeVec
	labels []string
	n      atomic.Int64
}

func newCount(vec *prometheus.GaugeVec, labels []string) *count {
	c := &count{vec: vec, labels: labels}
	c.Set(0)
	return c
}

// Set, Inc and Dec are client-go's GaugeMetric and SettableGaugeMetric.
func (c *count) Set(v float64) { c.vec.WithLabelValues(c.labels...).Set(v) }

func (c *count) Inc() { c.Set(float64(c.n.Add(1))) }

func (c *count) Dec() { c.Set(float64(c.n.Add(-1))) }
