package simulator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/buildkite/go-pipeline"
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

	plans, _, err := parsePipeline(req.Pipeline, defaults{queue: req.Queue})
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
		nodes, err := s.plant(b, plans, 0, now)
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

// plant makes nodes of plans at a position of the build. It checks before it
// changes anything.
func (s *Simulator) plant(b *build, plans []plan, at int, now time.Time) ([]*node, error) {
	keys := map[string]bool{}
	for key := range b.keys {
		keys[key] = true
	}
	for _, p := range plans {
		if p.key != "" && keys[p.key] {
			return nil, fmt.Errorf("duplicate step key %q", p.key)
		}
		if p.key != "" {
			keys[p.key] = true
		}
		if !p.wait && !s.queueExists(p.queue) {
			return nil, fmt.Errorf("there is no queue %q", p.queue)
		}
	}
	for _, p := range plans {
		if p.group != nil && p.group.key != "" {
			keys[p.group.key] = true
		}
	}
	nodes := make([]*node, len(plans))
	for i, p := range plans {
		for _, dep := range p.dependsOn {
			if !keys[dep.key] {
				return nil, fmt.Errorf("depends_on names %q, and no step has that key", dep.key)
			}
		}
		nodes[i] = &node{plan: p, build: b}
		if err := nodes[i].expand(); err != nil {
			return nil, err
		}
	}
	if err := acyclic(slices.Concat(b.nodes, nodes)); err != nil {
		return nil, err
	}
	for _, n := range nodes {
		n.id = s.newID()
		s.stepByID[n.id] = n
		if n.key != "" {
			b.keys[n.key] = append(b.keys[n.key], n)
		}
		if n.group != nil {
			if n.group.id == "" {
				n.group.id = s.newID()
			}
			if n.group.key != "" {
				b.keys[n.group.key] = append(b.keys[n.group.key], n)
			}
		}
	}
	b.nodes = slices.Insert(b.nodes, at, nodes...)
	b.open += len(nodes)
	return nodes, nil
}

// acyclic follows depends_on keys; waits only look back and can't close a loop
// by themselves.
func acyclic(nodes []*node) error {
	byKey := map[string][]*node{}
	for _, n := range nodes {
		if n.key != "" {
			byKey[n.key] = append(byKey[n.key], n)
		}
		if n.group != nil && n.group.key != "" {
			byKey[n.group.key] = append(byKey[n.group.key], n)
		}
	}
	const visiting, visited = 1, 2
	mark := map[*node]int{}
	var visit func(*node) error
	visit = func(n *node) error {
		switch mark[n] {
		case visiting:
			return fmt.Errorf("depends_on of step %q closes a loop", n.key)
		case visited:
			return nil
		}
		mark[n] = visiting
		for _, dep := range n.dependsOn {
			for _, on := range byKey[dep.key] {
				if err := visit(on); err != nil {
					return err
				}
			}
		}
		mark[n] = visited
		return nil
	}
	for _, n := range nodes {
		if err := visit(n); err != nil {
			return err
		}
	}
	return nil
}

// enter creates the jobs of new nodes and lets those begin that may.
func (s *Simulator) enter(b *build, nodes []*node, now time.Time) {
	for _, n := range nodes {
		for slot := range n.steps {
			j := s.newJob(n, slot, now)
			if n.skipped {
				s.setState(j, StateSkipped, now, cause{event: "created", detail: n.skip})
			} else {
				s.setState(j, StateWaiting, now, cause{event: "created"})
			}
		}
	}
	s.relink(b, now)
}

func (s *Simulator) newJob(n *node, slot int, now time.Time) *job {
	j := &job{
		id: s.newID(), build: n.build, node: n, queue: s.queue(n.queue), slot: slot,
		step: n.steps[slot], priority: n.priority, createdAt: now,
	}
	if len(n.permutations) > 0 {
		j.matrix = n.permutations[slot]
	}
	n.jobs = append(n.jobs, j)
	n.current[slot] = j
	s.jobs[j.id] = j
	s.jobOrder = append(s.jobOrder, j)
	return j
}

// expand makes one step a job: n times the same for parallelism, each with
// its values for a matrix.
func (n *node) expand() error {
	if n.wait {
		return nil
	}
	switch {
	case len(n.permutations) > 0:
		for _, p := range n.permutations {
			step, err := fillMatrix(n.step, p)
			if err != nil {
				return err
			}
			n.steps = append(n.steps, step)
		}
	default:
		n.steps = slices.Repeat([]*pipeline.CommandStep{n.step}, max(n.parallelism, 1))
	}
	n.current = make([]*job, len(n.steps))
	return nil
}

func fillMatrix(step *pipeline.CommandStep, p pipeline.MatrixPermutation) (*pipeline.CommandStep, error) {
	raw, err := json.Marshal(step)
	if err != nil {
		return nil, fmt.Errorf("copying the step: %w", err)
	}
	filled := new(pipeline.CommandStep)
	if err := json.Unmarshal(raw, filled); err != nil {
		return nil, fmt.Errorf("copying the step: %w", err)
	}
	if err := filled.InterpolateMatrixPermutation(p); err != nil {
		return nil, fmt.Errorf("filling in the matrix: %w", err)
	}
	return filled, nil
}
