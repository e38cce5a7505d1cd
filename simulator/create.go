package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"time"
)

// The defaults of a build.
const (
	defaultBranch = "main"
	creatorName   = "Simulator"
	creatorEmail  = "simulator@buildkite.example"
)

// BuildRequest describes the build that CreateBuild makes.
type BuildRequest struct {
	Pipeline []byte `json:"-"` // a pipeline.yml, or the same as JSON
	// Slug names the pipeline; the default is "demo". Repo, Branch and Commit
	// default to a made-up repository, "main" and "HEAD".
	Slug, Repo, Branch, Commit, Message string
	// Queue is the queue of steps that name none; the default is "default".
	Queue string
	// Env is the build's environment. The pipeline's and the steps' variables win. Of
	// Buildkite's own variables, Env can set BUILDKITE_TAG, BUILDKITE_SOURCE and
	// BUILDKITE_PULL_REQUEST with its _BASE_BRANCH and _REPO, for conditions, too.
	Env map[string]string
	// Interpolate, when not nil, is the environment with which the pipeline is
	// interpolated, as `buildkite-agent pipeline upload` does in a job of this build.
	Interpolate map[string]string
	// ChangedFiles are the files that if_changed matches. If it is nil, the changed files
	// are unknown, and steps with if_changed run.
	ChangedFiles []string
	// MetaData is the build's meta-data at its start.
	MetaData map[string]string
}

// CreateBuild starts a build. Steps without dependencies are scheduled at once. The error has
// every fault for which Buildkite, too, would refuse the pipeline. Build.Warnings name what
// the Simulator doesn't support.
func (s *Simulator) CreateBuild(req BuildRequest) (Build, error) {
	var snapshot Build
	err := s.lockedWrite(func(now time.Time) error {
		b, err := s.createBuild(req, nil, now)
		if err != nil {
			return err
		}
		s.runLater(now)
		snapshot = s.snapshotBuild(b)
		return nil
	})
	return snapshot, err
}

// createBuild makes a build; by is the trigger step that asked for it, or nil.
func (s *Simulator) createBuild(req BuildRequest, by *node, now time.Time) (*build, error) {
	req.Slug = cmp.Or(req.Slug, "demo")
	req.Repo = cmp.Or(req.Repo, "git@git.example:"+req.Slug+".git")
	req.Branch = cmp.Or(req.Branch, defaultBranch)
	req.Commit = cmp.Or(req.Commit, "HEAD")
	req.Message = cmp.Or(req.Message, "A simulated build")
	req.Queue = queueKey(req.Queue)
	req.Env = maps.Clone(req.Env)
	source := req.Pipeline
	req.Pipeline = nil

	b := &build{
		request: req, number: len(s.builds) + 1, pipelineID: cmp.Or(s.pipelines[req.Slug], s.newID()), triggeredBy: by,
		metaData: maps.Clone(req.MetaData), createdAt: now,
	}
	if b.metaData == nil {
		b.metaData = map[string]string{}
	}
	if b.depth() > maxTriggers {
		return nil, fmt.Errorf("a chain of more than %d builds, each triggered by the one before", maxTriggers)
	}
	b.id = s.newID()
	p := s.parserOf(b)
	plans, err := p.parse(source)
	if err == nil && len(plans) == 0 {
		err = errors.New("the pipeline has no steps")
	}
	if err != nil {
		return nil, err
	}
	nodes, err := s.plant(b, plans, 0)
	if err != nil {
		return nil, err
	}
	s.pipelines[req.Slug] = b.pipelineID
	s.builds = append(s.builds, b)
	s.buildByID[b.id] = b
	for _, text := range p.warnings {
		s.warn(b, text)
	}
	s.enter(b, nodes, now)
	return b, nil
}

// parserOf is a parser of pipelines that are added to a build.
func (s *Simulator) parserOf(b *build) *parser {
	p := &parser{
		def: defaults{queue: b.request.Queue}, context: s.conditionContext(b), branch: b.request.Branch, changed: b.request.ChangedFiles,
	}
	if b.request.Interpolate != nil {
		p.environ = maps.Clone(b.request.Interpolate)
		maps.Copy(p.environ, b.request.Env)
		maps.Copy(p.environ, s.buildEnv(b))
	}
	return p
}

// later runs f after the current change, under the same lock.
func (s *Simulator) later(f func(now time.Time)) { s.deferred = append(s.deferred, f) }

// runLater runs the deferred functions, and those that these defer.
func (s *Simulator) runLater(now time.Time) {
	for len(s.deferred) > 0 {
		f := s.deferred[0]
		s.deferred = s.deferred[1:]
		f(now)
	}
}
