package simulator

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// build is one run of a pipeline.
type build struct {
	id         string
	number     int
	request    BuildRequest
	pipelineID string
	nodes      []*node
	keys       map[string][]*node // by step key and group key
	open       int                // nodes not done
	active     int                // open nodes, except block and input steps
	gates      int                // block and input steps that wait for a person
	failed     int                // nodes done and failed
	failing    bool               // a job has failed for good
	canceled   bool
	uploads    int // pipeline uploads of its jobs
	warnings   []string
	unblocker  string
	createdAt  time.Time
	startedAt  time.Time
	finishedAt time.Time

	triggeredBy *node // a trigger step of another build

	metaData    map[string]string
	annotations []Annotation
	artifacts   []*artifact
	batches     map[string][]string // artifact IDs by job and batch
}

// The states of a build.
const (
	BuildScheduled = "scheduled"
	BuildRunning   = "running"
	BuildBlocked   = "blocked" // nothing goes on until a person unblocks a step
	BuildFailing   = "failing"
	BuildPassed    = "passed"
	BuildFailed    = "failed"
	BuildCanceling = "canceling"
	BuildCanceled  = "canceled"
	BuildNotRun    = "not_run" // all steps were skipped or left out
)

func (b *build) state() string {
	switch {
	case b.canceled && b.open > 0:
		return BuildCanceling
	case b.canceled:
		return BuildCanceled
	case b.open == 0 && b.failed > 0:
		return BuildFailed
	case b.open == 0 && b.allOmitted():
		return BuildNotRun
	case b.open == 0:
		return BuildPassed
	case b.gates > 0 && b.active == 0:
		return BuildBlocked
	case b.failed > 0 || b.failing:
		return BuildFailing
	case !b.startedAt.IsZero():
		return BuildRunning
	}
	return BuildScheduled
}

// allOmitted reports whether every step but waits was skipped or left out.
func (b *build) allOmitted() bool {
	omitted := 0
	for _, n := range b.nodes {
		switch {
		case n.omitted():
			omitted++
		case n.kind != kindWait:
			return false
		}
	}
	return omitted > 0
}

// blockedState is the state that a blocked build counts as.
func (b *build) blockedState() string {
	if b.failed > 0 {
		return BuildFailed
	}
	for _, n := range b.nodes {
		if n.gate() && n.state == nodeOpen {
			return n.form.blockedState
		}
	}
	return ""
}

func (b *build) began(now time.Time) {
	if b.startedAt.IsZero() {
		b.startedAt = now
	}
}

// Build is a snapshot of one build.
type Build struct {
	ID         string    `json:"id"`
	Number     int       `json:"number"`
	Slug       string    `json:"slug"`
	URL        string    `json:"url"`
	State      string    `json:"state"`
	Branch     string    `json:"branch"`
	Commit     string    `json:"commit"`
	Message    string    `json:"message"`
	CreatedAt  time.Time `json:"created_at"`
	StartedAt  time.Time `json:"started_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	JobIDs     []string  `json:"job_ids"` // in step order, attempts together
	Steps      []Step    `json:"steps"`   // block, input and trigger steps, which have no jobs
	Warnings   []string  `json:"warnings,omitempty"`
	// BlockedState is the state that a blocked build counts as: passed, failed or running.
	BlockedState string            `json:"blocked_state,omitempty"`
	MetaData     map[string]string `json:"meta_data,omitempty"`
	Annotations  []Annotation      `json:"annotations,omitempty"`
}

// Done reports whether nothing of the build is left to run.
func (b Build) Done() bool {
	return b.State == BuildPassed || b.State == BuildFailed || b.State == BuildCanceled || b.State == BuildNotRun
}

func (s *Simulator) snapshotBuild(b *build) Build {
	out := Build{
		ID: b.id, Number: b.number, Slug: b.request.Slug, URL: s.buildURL(b), State: b.state(),
		Branch: b.request.Branch, Commit: b.request.Commit, Message: b.request.Message,
		CreatedAt: b.createdAt, StartedAt: b.startedAt, FinishedAt: b.finishedAt,
		JobIDs: []string{}, Steps: b.manual(), Warnings: slices.Clone(b.warnings), MetaData: maps.Clone(b.metaData), Annotations: slices.Clone(b.annotations),
	}
	if out.State == BuildBlocked {
		out.BlockedState = b.blockedState()
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
