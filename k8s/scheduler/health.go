package scheduler

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/onejob-dev/onejob/k8s/status"
)

// stuckAfter is longer than the longest Retry-After of a poll or a registration,
// together with their timeouts. The two calls of a registration wait at the same time,
// because each endpoint's pause began with its last reply.
const stuckAfter = 15 * time.Minute

// mostScrapes is how many requests for metrics are answered at a time; a further one
// gets 503.
const mostScrapes = 8

// Handler serves /healthz (the loops turn), /readyz (caches are filled, and
// every queue of a leader is served; an outage of Buildkite that comes later
// doesn't count), /metrics and, for people, the page of package status; with debug also
// /debug/pprof/.
func (s *Scheduler) Handler(debug bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.unhealthy()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.unready()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.Registry, promhttp.HandlerOpts{Registry: s.metrics.Registry, MaxRequestsInFlight: mostScrapes}))
	status.New(s.status).Handle(mux)
	if debug {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func answer(w http.ResponseWriter, faults []string) {
	if len(faults) == 0 {
		_, _ = fmt.Fprintln(w, "ok")
		return
	}
	slices.Sort(faults)
	http.Error(w, strings.Join(faults, "\n"), http.StatusServiceUnavailable)
}

func (s *Scheduler) unhealthy() (faults []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, q := range s.queues {
		if still := q.standing.still(); still > stuckAfter {
			faults = append(faults, fmt.Sprintf("queue %s: its loop has made no progress for %s", name, still.Round(time.Second)))
		}
	}
	return faults
}

func (s *Scheduler) unready() (faults []string) {
	if !s.synced.Load() {
		return []string{"the caches are not filled yet"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for what, err := range s.faults {
		faults = append(faults, what+": "+err.Error())
	}
	// A standby looks at its caches each time, because nothing else tells it that a
	// fault is over.
	for _, q := range s.config.Queues {
		if s.queues[q.Name] != nil || s.faults["queue "+q.Name] != nil {
			continue
		}
		if st := s.stores[q.Namespace]; st != nil && !st.Synced() {
			faults = append(faults, fmt.Sprintf("queue %s: the caches of namespace %s are not filled yet", q.Name, q.Namespace))
		}
	}
	for name, q := range s.queues {
		if why := q.standing.now().why(); why != nil {
			faults = append(faults, fmt.Sprintf("queue %s %s", name, why))
		}
	}
	return faults
}
