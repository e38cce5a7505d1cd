package simulator

import (
	"slices"
	"time"

	"github.com/buildkite/go-pipeline"
)

// stepKind is what a step is, by the words of Buildkite's step types.
type stepKind string

const (
	kindCommand stepKind = "command"
	kindWait    stepKind = "wait"
	kindBlock   stepKind = "block"
	kindInput   stepKind = "input"
	kindTrigger stepKind = "trigger"
)

// plan is a step as it was parsed, before it is part of a build.
type plan struct {
	kind  stepKind
	key   string
	label string
	group *group

	explicit          bool // has depends_on, even an empty one
	dependsOn         []dependency
	continueOnFailure bool   // of a wait
	excluded          string // why `if` or `branches` leaves the step out
	skipped           bool
	skip              string // the reason, if one is given

	form    *form    // of a block or input step
	trigger *trigger // of a trigger step
	command          // of a command step
}

// command is what only a command step has.
type command struct {
	step *pipeline.CommandStep
	env  map[string]string // the pipeline's, under the step's

	rules                []string // agent_query_rules
	queue                string
	defaultQueue         string // of the build
	priority             int
	timeout              time.Duration
	parallelism          int // 0: not asked for
	variants             []variant
	artifactPaths        string
	image                string
	softFail             softFail
	retry                retryPolicy
	concurrency          *concurrency
	cancelOnBuildFailing bool
}

// barrier reports a step that all later ones wait for, and that waits for all
// earlier ones, unless depends_on says otherwise.
func (p *plan) barrier() bool { return p.kind == kindWait || p.kind == kindBlock }

// gate reports a step that a person opens.
func (p *plan) gate() bool { return p.kind == kindBlock || p.kind == kindInput }

// omitted reports a step that isn't run. Who depends on it goes on:
// https://buildkite.com/docs/pipelines/configure/depends-on#how-skipped-steps-affect-dependencies
func (p *plan) omitted() bool { return p.skipped || p.excluded != "" }

// group is a group step. Its steps wait for what it depends on, whatever they
// depend on themselves: https://buildkite.com/docs/pipelines/group-step#group-step-attributes
type group struct {
	id, key, label string

	explicit  bool // has depends_on, even an empty one
	dependsOn []dependency
}

type dependency struct {
	key          string
	allowFailure bool
}

// needs are the dependencies that a step names, and those of its group.
func (p *plan) needs() []dependency {
	if p.kind == kindWait || p.group == nil {
		return p.dependsOn
	}
	return slices.Concat(p.group.dependsOn, p.dependsOn)
}

// softFail holds the exit statuses that don't fail the build.
type softFail struct {
	any   bool
	codes []int
}

func (f softFail) matches(code int) bool {
	return code != 0 && (f.any || slices.Contains(f.codes, code))
}

func allowFailures(deps []dependency) {
	for i := range deps {
		deps[i].allowFailure = true
	}
}
