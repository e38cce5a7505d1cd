package simulator

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/buildkite/go-pipeline"
)

// plan is a step as it was parsed, before it is part of a build.
type plan struct {
	wait              bool
	continueOnFailure bool
	step              *pipeline.CommandStep // nil for a wait
	key               string
	group             *group
	env               map[string]string // the pipeline's, under the step's

	explicit  bool // has depends_on, even an empty one
	dependsOn []dependency

	rules         []string // agent_query_rules
	queue         string
	priority      int
	timeout       time.Duration
	parallelism   int // 0: not asked for
	permutations  []pipeline.MatrixPermutation
	artifactPaths string
	image         string
	softFail      softFail
	retry         retryPolicy
	skip          string
	skipped       bool
}

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
	if p.wait || p.group == nil {
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

func parseCommand(p *pipeline.Pipeline, original *pipeline.CommandStep, def defaults) (plan, error) {
	step := *original
	step.MergeSecretsFromPipeline(p.Secrets)
	step.MergeCheckoutFromPipeline(p.Checkout)
	one := plan{step: &step, key: step.Key, env: def.env, priority: def.priority, rules: def.agents, image: def.image}
	allowFailure := false
	var err error
	for _, name := range slices.Sorted(maps.Keys(step.RemainingFields)) {
		value := plain(step.RemainingFields[name])
		switch name {
		case "type", "notify":
		case "agents":
			one.rules, err = parseAgents(value)
		case "artifact_paths":
			var paths []string
			paths, err = parseStrings(name, value)
			one.artifactPaths = strings.Join(paths, ";")
		case "image":
			one.image, err = parseImage(value)
		case "timeout_in_minutes":
			one.timeout, err = parseMinutes(value)
		case "parallelism":
			one.parallelism, err = parseInt(name, value)
			if err == nil && (one.parallelism < 1 || one.parallelism > 10_000) {
				err = fmt.Errorf("parallelism is %d: want 1 to 10000", one.parallelism)
			}
		case "priority":
			one.priority, err = parseInt(name, value)
		case "soft_fail":
			one.softFail, err = parseSoftFail(value)
		case "retry":
			one.retry, err = parseRetry(value)
		case "depends_on":
			one.explicit = true
			one.dependsOn, err = parseDependsOn(value)
		case "allow_dependency_failure":
			allowFailure, err = parseSwitch(name, value)
		case "skip":
			switch skip := value.(type) {
			case bool:
				one.skipped = skip
			case string:
				one.skipped, one.skip = skip != "", skip
			default:
				err = fmt.Errorf("skip is %v: want true, false or a reason", value)
			}
		default:
			err = fmt.Errorf("unsupported step attribute %q", name)
		}
		if err != nil {
			return plan{}, err
		}
	}
	if allowFailure {
		allowFailures(one.dependsOn)
	}
	if isUUID(one.key) {
		return plan{}, fmt.Errorf("key %q looks like a UUID", one.key)
	}
	one.rules, one.queue = queueRule(one.rules, def.queue)
	if one.permutations, err = permutations(step.Matrix); err != nil {
		return plan{}, err
	}
	if len(one.permutations) > 0 && one.parallelism > 0 {
		return plan{}, errors.New("matrix and parallelism exclude each other")
	}
	return one, nil
}

func allowFailures(deps []dependency) {
	for i := range deps {
		deps[i].allowFailure = true
	}
}

// queueRule finds the queue among the agent query rules. A job that names none
// is of the build's queue: that is added to its rules, but for the default queue,
// whose jobs may lack the rule (agent-stack-k8s: its client of the agent API).
func queueRule(rules []string, fallback string) ([]string, string) {
	for _, rule := range rules {
		if key, value, _ := strings.Cut(rule, "="); key == "queue" {
			return rules, queueKey(value)
		}
	}
	queue := queueKey(fallback)
	if queue == defaultQueue {
		return append([]string{}, rules...), queue
	}
	return append([]string{"queue=" + queue}, rules...), queue
}
