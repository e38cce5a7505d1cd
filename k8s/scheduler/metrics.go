package scheduler

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/stacks"
)

// Metrics are the scheduler's, in a registry of their own. Labels are queues,
// small enums and, if pipeline-metrics says so, pipelines; never a job.
type Metrics struct {
	Registry *prometheus.Registry

	depth, unmatched, oldest, paused, ready         *prometheus.GaugeVec
	shared                                          *prometheus.GaugeVec
	slots                                           *prometheus.GaugeVec
	phase                                           *prometheus.HistogramVec
	decisions, creates, panics, requests, apiErrors *prometheus.CounterVec
	requestSeconds                                  *prometheus.HistogramVec
	remaining                                       *prometheus.GaugeVec
	templates                                       *prometheus.CounterVec
	configs                                         *prometheus.CounterVec
	leader                                          prometheus.Gauge
	retries                                         *prometheus.GaugeVec
	dropped                                         *prometheus.CounterVec
	pending, pendingOldest                          *prometheus.GaugeVec
	placeholders, build                             *prometheus.GaugeVec
	held                                            *prometheus.GaugeVec
	spansDropped                                    *prometheus.CounterVec
	kubeRequests                                    *prometheus.CounterVec
	kubeSeconds                                     *prometheus.HistogramVec
	works                                           *works
	pipelines                                       *pipelines
	memoryPeak, memoryRatio, throttled              *prometheus.HistogramVec
}

// phases of a job on its way, as label values of onejob_phase_seconds.
const (
	phaseReserved  = "reserved"  // since it could run, see waiting
	phaseCreated   = "created"   // since it was reserved
	phaseScheduled = "scheduled" // since the kjob was created
	phaseStarted   = "started"   // since the pod was given a node
	phaseAcquired  = "acquired"  // since the container started
)

// NewMetrics returns Metrics with all of them registered.
func NewMetrics() *Metrics {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "onejob_" + name, Help: help}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "onejob_" + name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "onejob_" + name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, labels)
	}
	m := &Metrics{
		Registry:       prometheus.NewRegistry(),
		depth:          gauge("queue_jobs", "Jobs that are scheduled at Buildkite and reserved by nobody; at most 20,000, and about 1,000 with max-in-flight: 0.", "queue"),
		unmatched:      gauge("queue_unmatched_jobs", "Those of onejob_queue_jobs that ask for a tag which no queue of this installation has. See docs/configuration.md#a-tag-that-no-queue-has.", "queue"),
		oldest:         gauge("queue_oldest_wait_seconds", "How long the job waits that waits longest, from when it could run, which is when it was first listed. Of a job that was there when this replica began to lead, or that came while Buildkite couldn't be asked, that isn't known: it counts from the last look before, or from scheduled_at, when the job or its uploader was made.", "queue"),
		paused:         gauge("queue_paused", "1 while the queue's dispatch is paused at Buildkite.", "queue"),
		ready:          gauge("queue_ready", "1 while onejob takes jobs of the queue; 0 while the queue is stopped, see the Event QueueStopped.", "queue"),
		shared:         gauge("queue_stack_shared", "1 while another installation seems to use the key of the queue's stack, see the Event StackShared. See docs/configuration.md#stack-keys.", "queue"),
		slots:          gauge("slots", "Slots under max-in-flight: in use (held), and the maximum (max; 0 for no limit).", "queue", "kind"),
		retries:        gauge("attempts_waiting", "Jobs that wait for a new attempt.", "queue"),
		dropped:        counter("notifications_dropped_total", "Texts for jobs' pages that Buildkite did not accept, or that did not fit into the queue of waiting texts; their Events exist.", "queue"),
		phase:          histogram("phase_seconds", "Time that a job takes to reach a phase (reserved, created, scheduled, started, acquired) from the one before it, observed as soon as it is reached; reserved from when the job could run, as for onejob_queue_oldest_wait_seconds; acquired when the attempt ends.", []float64{.01, .025, .05, .1, .2, .3, .5, 1, 2, 5, 10, 30, 60, 300, 900}, "queue", "phase"),
		decisions:      counter("decisions_total", "Decisions about jobs, by action and reason. The action none counts jobs that were left as they are, and each thing that a job waits for.", "queue", "action", "reason"),
		creates:        counter("kubernetes_job_creates_total", "Requests to create Kubernetes Jobs, by result.", "queue", "result"),
		panics:         counter("panics_total", "Jobs that ended because onejob could not make their Kubernetes Job, by an error of its own: report it with the stack in the log.", "queue"),
		requests:       counter("buildkite_requests_total", "Requests to Buildkite, by HTTP status; 0 means no reply.", "queue", "endpoint", "status"),
		requestSeconds: histogram("buildkite_request_seconds", "Latency of requests to Buildkite.", prometheus.DefBuckets, "endpoint"),
		remaining:      gauge("buildkite_rate_limit_remaining", "Requests left under the rate limit, as Buildkite last reported.", "queue", "endpoint"),
		apiErrors:      counter("kubernetes_errors_total", "Deletions, annotations, reads of Events, and requests for placeholders that failed, by verb and reason.", "queue", "verb", "reason"),
		templates:      counter("template_loads_total", "Templates loaded, by result; a bad one leaves the last good one in use.", "queue", "result"),
		configs:        counter("config_loads_total", "Configurations loaded, by result.", "result"),
		pending:        gauge("jobs_pending", "Jobs that hold a slot and have not started, by the last phase that they reached (reserved, created, scheduled) and by why they are no further.", "queue", "phase", "reason"),
		pendingOldest:  gauge("jobs_pending_oldest_seconds", "Age of the oldest of onejob_jobs_pending: of its reservation in the phase reserved, else of its Kubernetes Job.", "queue", "phase", "reason"),
		placeholders:   gauge("placeholders", "Warm placeholders of min-agents and buffer: wanted, and running.", "queue", "kind"),
		kubeRequests:   counter("kubernetes_requests_total", "All requests to the API server by the replica, by HTTP method and status; 0 means no reply.", "method", "code"),
		kubeSeconds:    histogram("kubernetes_request_seconds", "Latency of requests to the API server, without watches.", prometheus.DefBuckets, "method"),
		memoryPeak:     histogram("job_memory_peak_bytes", "Most memory that the container of a job's command used; files that the kernel keeps in memory count. See docs/monitoring.md#what-a-job-used.", prometheus.ExponentialBuckets(64<<20, 2, 12), "queue"),
		memoryRatio:    histogram("job_memory_peak_ratio", "onejob_job_memory_peak_bytes as a part of the container's limit.", []float64{.1, .25, .5, .75, .9, .95, .99, 1}, "queue"),
		throttled:      histogram("job_throttled_ratio", "Part of its time that the container of a job's command was stopped by its CPU limit, if it has one.", []float64{.01, .05, .1, .25, .5, .75, 1}, "queue"),
		held:           gauge("jobs_held", "Jobs that are over and whose container stays, for people to look into it; each holds a slot. See docs/pods.md#a-container-that-stays.", "queue"),
		spansDropped:   counter("trace_spans_dropped_total", "Spans that were not exported: there was no room for them (full), or the collector did not take them (refused). See docs/monitoring.md#traces.", "reason"),
		build:          gauge("build_info", "Always 1; the label has the scheduler's version.", "version"),
		leader:         prometheus.NewGauge(prometheus.GaugeOpts{Name: "onejob_leader", Help: "1 while this process holds the Lease."}),
	}
	m.works, m.pipelines = newWorks(), newPipelines()
	m.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.Registry.MustRegister(m.own()...)
	return m
}

// own are the collectors of onejob's own metrics.
func (m *Metrics) own() []prometheus.Collector {
	return slices.Concat([]prometheus.Collector{
		m.depth, m.unmatched, m.oldest, m.paused, m.ready, m.shared, m.slots, m.pending, m.pendingOldest, m.held, m.placeholders, m.retries,
		m.phase, m.memoryPeak, m.memoryRatio, m.throttled, m.decisions,
		m.creates, m.panics, m.requests, m.requestSeconds, m.remaining, m.dropped, m.apiErrors, m.kubeRequests, m.kubeSeconds,
		m.templates, m.configs, m.spansDropped, m.build, m.leader,
	}, m.pipelines.own(), m.works.own())
}

// observe is the stacks.Config.Observe of one queue.
func (m *Metrics) observe(queue string) func(stacks.Endpoint, int, int, time.Duration) {
	return func(e stacks.Endpoint, status, remaining int, took time.Duration) {
		m.requests.WithLabelValues(queue, string(e), strconv.Itoa(status)).Inc()
		m.requestSeconds.WithLabelValues(string(e)).Observe(took.Seconds())
		if remaining >= 0 {
			m.remaining.WithLabelValues(queue, string(e)).Set(float64(remaining))
		}
	}
}

func asNumber(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (m *Metrics) setReady(queue string, ready bool) {
	m.ready.WithLabelValues(queue).Set(asNumber(ready))
}

// forget drops the gauges of a queue that is served no more.
func (m *Metrics) forget(queue string) {
	for _, g := range []*prometheus.GaugeVec{m.depth, m.unmatched, m.oldest, m.paused, m.ready, m.shared, m.slots, m.retries, m.remaining, m.pending, m.pendingOldest, m.placeholders, m.held} {
		g.DeletePartialMatch(prometheus.Labels{"queue": queue})
	}
	m.works.forget(queue)
	m.pipelines.forget(queue)
}

func (m *Metrics) took(queue, pipeline, phase string, from, to time.Time) {
	if from.IsZero() || to.IsZero() {
		return
	}
	seconds := max(0, to.Sub(from).Seconds())
	m.phase.WithLabelValues(queue, phase).Observe(seconds)
	m.pipelines.took(queue, pipeline, phase, seconds)
}

func (m *Metrics) decided(queue, pipeline string, a decide.Action, r decide.Reason) {
	m.decisions.WithLabelValues(queue, string(a), string(r)).Inc()
	m.pipelines.decided(queue, pipeline, a, r)
}

// SpanDropped is traces.Config.Dropped.
func (m *Metrics) SpanDropped(reason string, spans int) {
	m.spansDropped.WithLabelValues(reason).Add(float64(spans))
}
