package simulator

import (
	"slices"
	"time"

	"github.com/buildkite/go-pipeline"
)

// stepKind is the type of a step, by Buildkite's names.
type stepKind string

const (
	kindCommand stepKind = "command"
	kindWait    stepKind = "wait"
	kindBlock   stepKind = "block"
	kindInput   stepKind = "input"
	kindTrigger stepKind = "trigger"
)

// plan is a parsed step that isn't part of a build yet.
type plan struct {
	kind  stepKind
	key   string
	label string
	group *group

	explicit          bool // the step has a depends_on, even an empty one
	dependsOn         []dependency
	continueOnFailure bool   // of a wait
	excluded          string // why `if` or `branches` leaves the step out
	skipped           bool
	skip              string // the reason, if one is given

	form    *form    // of a block or input step
	trigger *trigger // of a trigger step
	command          // of a command step
}

// command has the attributes that only a command step has.
type command struct {
	step *pipeline.CommandStep
	env  map[string]string // the pipeline's, under the step's

	rules                []string // agent_query_rules
	queue                string
	defaultQueue         string // of the build
	priority             int
	timeout              time.Duration
	parallelism          int // 0 means none
	variants             []variant
	artifactPaths        string
	image                string
	softFail             softFail
	retry                retryPolicy
	concurrency          *concurrency
	cancelOnBuildFailing bool
}

// barrier reports whether the step waits for all earlier steps, and all later steps wait for
// it, unless depends_on says otherwise.
func (p *plan) barrier() bool { return p.kind == kindWait || p.kind == kindBlock }

// gate reports whether a person must unblock the step.
func (p *plan) gate() bool { return p.kind == kindBlock || p.kind == kindInput }

// omitted reports whether the step doesn't run. Steps that depend on it run all the same:
// https://buildkite.com/docs/pipelines/configure/depends-on#how-skipped-steps-affect-dependencies
func (p *plan) omitted() bool { return p.skipped || p.excluded != "" }

// group is a group step. Its steps wait for the group's dependencies in addition to their
// own: https://buildkite.com/docs/pipelines/group-step#group-step-attributes
type group struct {
	id, key, label string

	explicit  bool // the group has a depends_on, even an empty one
	dependsOn []dependency
}

type dependency struct {
	key          string
	allowFailure bool
}

// needs are the dependencies that a step names, and, except for a wait, those of its group.
func (p *plan) needs() []dependency {
	if p.kind == kindWait || p.group == nil {
		return p.dependsOn
	}
	return slices.Concat(p.group.dependsOn, p.dependsOn)
}

// softFail has the exit statuses that don't fail the build.
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
