package scheduler

import (
	"context"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	client "k8s.io/client-go/tools/metrics"
)

// WatchClients has all requests to the API server counted here that client-go makes in
// this process, and the work in its workqueues. It takes requests once: only the first
// Metrics of a process get them.
func (m *Metrics) WatchClients() {
	client.Register(client.RegisterOpts{RequestResult: results{m.kubeRequests}, RequestLatency: latencies{m.kubeSeconds}})
	m.works.watched = true
}

// results are client-go's metrics.ResultMetric.
type results struct{ *prometheus.CounterVec }

// Increment counts a reply. client-go has the code "<error>" for a request that got none.
func (r results) Increment(_ context.Context, code, method, _ string) {
	if code == "<error>" {
		code = "0"
	}
	r.WithLabelValues(method, code).Inc()
}

// latencies are its metrics.LatencyMetric.
type latencies struct{ *prometheus.HistogramVec }

// Observe observes how long a request took, less a watch, which has no end.
func (l latencies) Observe(_ context.Context, method string, _ url.URL, took time.Duration) {
	l.WithLabelValues(method).Observe(took.Seconds())
}
