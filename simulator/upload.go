package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// upload is one pipeline upload of a job. The client sends the same UUID with each of its
// retries.
type upload struct {
	state   string // applied or rejected
	message string
}

// uploadPipeline adds the steps of `buildkite-agent pipeline upload` right after the step that
// uploads them. A retry changes nothing.
func (s *Simulator) uploadPipeline(c *call) reply {
	var req struct {
		UUID     string          `json:"uuid"`
		Pipeline json.RawMessage `json:"pipeline"`
		Replace  bool            `json:"replace"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	if req.UUID == "" || len(req.Pipeline) == 0 {
		return *failure(http.StatusUnprocessableEntity, "uuid and pipeline are required")
	}
	j := c.job
	up := j.uploads[req.UUID]
	if up == nil {
		up = &upload{state: "applied"}
		if err := s.applyUpload(j, req.Pipeline, req.Replace, c.now); err != nil {
			up.state, up.message = "rejected", err.Error()
		}
		if j.uploads == nil {
			j.uploads = map[string]*upload{}
		}
		j.uploads[req.UUID] = up
	}
	if c.r.URL.Query().Get("async") == "true" && !s.conf.SyncUploads {
		prefix := ""
		if len(c.r.URL.Path) > 4 && c.r.URL.Path[:4] == "/v3/" {
			prefix = "/v3"
		}
		rep := reply{status: http.StatusAccepted, body: map[string]any{}}
		return rep.with("Location", fmt.Sprintf("%s%s/jobs/%s/pipelines/%s", base(c.r), prefix, j.id, req.UUID)).
			with("Retry-After", "0")
	}
	if up.state == "rejected" {
		return *failure(http.StatusUnprocessableEntity, up.message)
	}
	return ok(map[string]any{})
}

func (s *Simulator) applyUpload(j *job, source []byte, replace bool, now time.Time) error {
	b := j.build
	if b.canceled {
		return errors.New("the build is canceled")
	}
	p := s.parserOf(b)
	p.environ = nil // the agent has interpolated the pipeline
	plans, err := p.parse(source)
	if err != nil {
		return err
	}
	if err := b.checkUpload(plans); err != nil {
		return err
	}
	at := slices.Index(b.nodes, j.node) + 1
	// The uploads of one job stay in the order of their arrival.
	for at < len(b.nodes) && b.nodes[at].uploadedBy == j {
		at++
	}
	nodes, err := s.plant(b, plans, at)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		n.uploadedBy = j
	}
	for _, text := range p.warnings {
		s.warn(b, text)
	}
	if replace {
		s.dropUnstarted(b, at+len(nodes), now)
	}
	s.enter(b, nodes, now)
	return nil
}

// dropUnstarted cancels the steps from index from on that haven't begun.
func (s *Simulator) dropUnstarted(b *build, from int, now time.Time) {
	for _, n := range b.nodes[from:] {
		running := n.kind == kindTrigger && n.state == nodeOpen
		if n.state == nodeDone || running || slices.ContainsFunc(n.jobs, func(j *job) bool { return !j.acquiredAt.IsZero() }) {
			continue
		}
		for _, j := range n.current {
			if !j.state.Terminal() {
				j.result, j.finishedAt = result{}, now
				s.setState(j, StateCanceled, now, cause{event: "replaced by an upload"})
			}
		}
		n.done(false)
	}
}

func (s *Simulator) pipelineStatus(c *call) reply {
	up := c.job.uploads[c.params["upload"]]
	if up == nil {
		return *failure(http.StatusNotFound, "Pipeline upload not found")
	}
	return ok(map[string]any{"state": up.state, "message": up.message})
}
