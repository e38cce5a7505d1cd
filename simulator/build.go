package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// BuildRequest is what CreateBuild makes a build of.
type BuildRequest struct {
	Pipeline []byte `json:"-"` // a pipeline.yml, or the same as JSON
	// Slug names the pipeline; the default is "demo". Repo, Branch and Commit
	// default to a made-up repository, "main" and "HEAD".
	Slug, Repo, Branch, Commit, Message string
	// Queue is that of steps which name none; the default is "default".
	Queue string
	// Env is the build's environment; the pipeline's and the steps' win.
	Env map[string]string
}

// build is one run of a pipeline.
type build struct {
	id         string
	number     int
	request    BuildRequest
	pipelineID string
	nodes      []*node
	keys       map[string][]*node // by step key and group key
	open       int                // nodes not done
	failed     int                // nodes done and failed
	canceled   bool
	createdAt  time.Time
	startedAt  time.Time
	finishedAt time.Time

	metaData    map[string]string
	annotations []Annotation
	artifacts   []*artifact
	batches     map[string][]string // artifact IDs by job and batch
}

// The states of a build.
const (
	BuildScheduled = "scheduled"
	BuildRunning   = "running"
	BuildFailing   = "failing"
	BuildPassed    = "passed"
	BuildFailed    = "failed"
	BuildCanceling = "canceling"
	BuildCanceled  = "canceled"
)

func (b *build) state() string {
	switch {
	case b.canceled && b.open > 0:
		return BuildCanceling
	case b.canceled:
		return BuildCanceled
	case b.open == 0 && b.failed > 0:
		return BuildFailed
	case b.open == 0:
		return BuildPassed
	case b.failed > 0:
		return BuildFailing
	case !b.startedAt.IsZero():
		return BuildRunning
	}
	return BuildScheduled
}

func (b *build) began(now time.Time) {
	if b.startedAt.IsZero() {
		b.startedAt = now
	}
}

// Build is a snapshot of one build.
type Build struct {
	ID          string            `json:"id"`
	Number      int               `json:"number"`
	Slug        string            `json:"slug"`
	URL         string            `json:"url"`
	State       string            `json:"state"`
	Branch      string            `json:"branch"`
	Commit      string            `json:"commit"`
	Message     string            `json:"message"`
	CreatedAt   time.Time         `json:"created_at"`
	StartedAt   time.Time         `json:"started_at,omitzero"`
	FinishedAt  time.Time         `json:"finished_at,omitzero"`
	JobIDs      []string          `json:"job_ids"` // in step order, attempts together
	MetaData    map[string]string `json:"meta_data,omitempty"`
	Annotations []Annotation      `json:"annotations,omitempty"`
}

// Done reports whether nothing of the build is left to run.
func (b Build) Done() bool {
	return b.State == BuildPassed || b.State == BuildFailed || b.State == BuildCanceled
}

func (s *Simulator) snapshotBuild(b *build) Build {
	out := Build{
		ID: b.id, Number: b.number, Slug: b.request.Slug, URL: s.buildURL(b), State: b.state(),
		Branch: b.request.Branch, Commit: b.request.Commit, Message: b.request.Message,
		CreatedAt: b.createdAt, StartedAt: b.startedAt, FinishedAt: b.finishedAt,
		JobIDs: []string{}, MetaData: maps.Clone(b.metaData), Annotations: slices.Clone(b.annotations),
	}
	for _, n := range b.nodes {
		for _, j := range n.jobs {
			out.JobIDs = append(out.JobIDs, j.id)
		}
	}
	return out
}

func (s *Simulator) buildURL(b *build) string {
	return fmt.Sprintf("https://buildkite.example/%s/%s/builds/%d", s.conf.Organization, b.request.Slug, b.number)
}

// Builds returns all builds, oldest first.
func (s *Simulator) Builds() []Build {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Build, len(s.builds))
	for i, b := range s.builds {
		out[i] = s.snapshotBuild(b)
	}
	return out
}

// Build returns one build by its number, which counts from 1 across pipelines.
func (s *Simulator) Build(number int) (Build, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.build(number)
	if b == nil {
		return Build{}, false
	}
	return s.snapshotBuild(b), true
}

func (s *Simulator) build(number int) *build {
	if number < 1 || number > len(s.builds) {
		return nil
	}
	return s.builds[number-1]
}

// CreateBuild starts a build: steps that wait for nothing are scheduled at
// once. The error names what the pipeline uses and the simulator can't do.
func (s *Simulator) CreateBuild(req BuildRequest) (Build, error) {
	req.Slug = cmp.Or(req.Slug, "demo")
	req.Repo = cmp.Or(req.Repo, "git@git.example:"+req.Slug+".git")
	req.Branch = cmp.Or(req.Branch, "main")
	req.Commit = cmp.Or(req.Commit, "HEAD")
	req.Message = cmp.Or(req.Message, "A simulated build")
	req.Queue = queueKey(req.Queue)
	req.Env = maps.Clone(req.Env)

	plans, err := parsePipeline(req.Pipeline, defaults{queue: req.Queue})
	if err != nil {
		return Build{}, err
	}
	if len(plans) == 0 {
		return Build{}, errors.New("the pipeline has no steps")
	}
	req.Pipeline = nil
	var snapshot Build
	err = s.lockedWrite(func(now time.Time) error {
		b := &build{request: req, keys: map[string][]*node{}, metaData: map[string]string{}, createdAt: now}
		nodes, err := s.plant(b, plans, 0)
		if err != nil {
			return err
		}
		if s.pipelines[req.Slug] == "" {
			s.pipelines[req.Slug] = s.newID()
		}
		b.id, b.pipelineID, b.number = s.newID(), s.pipelines[req.Slug], len(s.builds)+1
		s.builds = append(s.builds, b)
		s.buildByID[b.id] = b
		s.enter(b, nodes, now)
		snapshot = s.snapshotBuild(b)
		return nil
	})
	return snapshot, err
}
