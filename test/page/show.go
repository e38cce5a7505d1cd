package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/status"
)

// show is a cluster of 5,000 jobs that changes when it is told to.
type show struct {
	mu    sync.Mutex
	turns int
	on    bool
}

func newShow() *show { return &show{on: true} }

// serve serves its page.
func (s *show) serve() *httptest.Server {
	mux := http.NewServeMux()
	status.New(s.look).Handle(mux)
	return httptest.NewServer(mux)
}

func (s *show) turn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turns++
}

func (s *show) leads(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = on
}

// wants are the roles that a screen reader is to be told of.
func (s *show) wants() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := []string{"banner", "main", "contentinfo", "status", "table", "columnheader", "rowheader", "region", "heading", "link"}
	if s.on {
		want = append(want, "search", "searchbox", "combobox", "button", "navigation")
	}
	return want
}

func (s *show) look() status.Cluster {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	c := status.Cluster{At: now, Version: "v1.2.3", Replica: "onejob-1", Leader: "onejob-1", Leads: s.on, Since: now.Add(-5 * time.Hour), NotReady: []string{}}
	if !s.on {
		c.Replica = "onejob-2"
		c.Queues = []status.Queue{{Name: "default", Namespace: "builds", State: status.Standby}}
		return c
	}
	state, why := status.Ready, ""
	if s.turns > 0 {
		state, why = status.Stopped, "Buildkite refuses the token"
		c.NotReady = []string{"queue release is stopped: Buildkite refuses the token"}
	}
	c.Queues = []status.Queue{
		{Name: "default", Namespace: "builds", State: status.Ready, Held: 100, Max: 100, Waiting: 500, Listed: 500, OldestSeconds: 75, WarmWanted: 4, WarmRunning: 3,
			Pending: []status.Pending{{Phase: "created", Reason: "pending", Jobs: 7, OldestSeconds: 312}, {Phase: "scheduled", Reason: "image", Jobs: 1, OldestSeconds: 40}}},
		{Name: "gpu", Namespace: "builds", State: status.Paused, Why: "its dispatch is paused at Buildkite", Held: 3, Max: 8, Pending: []status.Pending{}},
		{Name: "release", Namespace: "release", State: state, Why: why, Max: 0, Held: 3, Pending: []status.Pending{}},
	}
	c.Losses = []status.Loss{{At: now.Add(-4 * time.Minute), Queue: "default", ID: contract.SampleJobID, Attempt: 1, Reason: "pod_lost", Action: "attempt",
		Text: "the pod of attempt 1 was lost before it acquired the job: Evicted, the node was low on resource: memory", URL: "https://buildkite.com/acme/monorepo/builds/1"}}
	reasons := map[string]string{"pending": "0/57 nodes are available: 57 Insufficient cpu", "waiting": "waiting to be started: 12 jobs ahead, 100 of 100 slots in use", "lost": "Evicted"}
	for i := range 5000 {
		phase := []string{"running", "pending", "running", "waiting", "running", "lost", "running", "done", "running", "suspended"}[i%10]
		c.Jobs = append(c.Jobs, &status.Job{
			ID: contract.JobID(fmt.Sprintf("018f0000-0000-7000-8000-%012d", i)), Queue: "default", Attempt: 1 + i%3, Pipeline: "monorepo", Build: 4000 + i/20, Branch: fmt.Sprintf("feature/turn-%d", s.turns),
			Step: "test", Phase: phase, Reason: reasons[phase], Since: now.Add(-time.Duration(i) * time.Second), Node: "node-" + fmt.Sprint(i%57), URL: fmt.Sprintf("https://buildkite.com/acme/monorepo/builds/%d", 4000+i/20),
		})
	}
	return c
}
