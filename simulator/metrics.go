package simulator

import (
	"net/http"

	"github.com/onejob-dev/onejob/assumptions"
)

type jobMetrics struct {
	Scheduled int                   `json:"scheduled"`
	Running   int                   `json:"running"`
	Waiting   int                   `json:"waiting"`
	Total     int                   `json:"total"`
	Queues    map[string]jobMetrics `json:"queues,omitempty"`
}

type agentMetrics struct {
	Idle   int                     `json:"idle"`
	Busy   int                     `json:"busy"`
	Total  int                     `json:"total"`
	Queues map[string]agentMetrics `json:"queues,omitempty"`
}

func (s *Simulator) jobMetrics(q *queue) jobMetrics {
	if q == nil {
		return jobMetrics{}
	}
	scheduled := q.counts[StateScheduled]
	if s.conf.Profile.MetricsScheduled == assumptions.MetricsScheduledWithReserved {
		scheduled += q.counts[StateReserved]
	}
	m := jobMetrics{
		Scheduled: scheduled,
		Running: q.counts[StateAssigned] + q.counts[StateAccepted] + q.counts[StateRunning] +
			q.counts[StateCanceling] + q.counts[StateTimingOut],
		Waiting: q.counts[StateWaiting],
	}
	m.Total = m.Scheduled + m.Running + m.Waiting
	return m
}

func (s *Simulator) agentMetrics(only string) agentMetrics {
	m := agentMetrics{Queues: map[string]agentMetrics{}}
	for _, a := range s.agents {
		if a.away() || a.state == agentRegistered || only != "" && a.queue != only {
			continue
		}
		q := m.Queues[a.queue]
		m.Total++
		q.Total++
		if a.job != nil {
			m.Busy++
			q.Busy++
		} else {
			m.Idle++
			q.Idle++
		}
		m.Queues[a.queue] = q
	}
	return m
}

func (s *Simulator) metricsReply(agents agentMetrics, jobs jobMetrics) reply {
	return reply{status: http.StatusOK, body: map[string]any{
		"agents": agents, "jobs": jobs,
		"organization": map[string]any{"slug": s.conf.Organization},
		"cluster":      map[string]any{"name": s.conf.Cluster},
	}}.with("Buildkite-Agent-Metrics-Poll-Duration", "10")
}

func (s *Simulator) metrics(*call) reply {
	total := jobMetrics{Queues: map[string]jobMetrics{}}
	for key, q := range s.queues {
		m := s.jobMetrics(q)
		total.Queues[key] = m
		total.Scheduled += m.Scheduled
		total.Running += m.Running
		total.Waiting += m.Waiting
		total.Total += m.Total
	}
	return s.metricsReply(s.agentMetrics(""), total)
}

func (s *Simulator) queueMetrics(c *call) reply {
	name := queueKey(c.r.URL.Query().Get("name"))
	agents := s.agentMetrics(name)
	agents.Queues = nil
	return s.metricsReply(agents, s.jobMetrics(s.queues[name]))
}
