package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/buildkite/go-pipeline"
	"github.com/buildkite/go-pipeline/warning"
)

// defaults are what a pipeline and a build lend to their steps.
type defaults struct {
	queue    string
	priority int
	agents   []string
	image    string
	env      map[string]string
}

// parsePipeline turns a pipeline.yml, or its JSON, into plans. It refuses by
// name what the simulator can't do: a build that silently lacked a condition
// would prove nothing.
func parsePipeline(source []byte, def defaults) ([]plan, error) {
	p, err := pipeline.Parse(bytes.NewReader(source))
	if w := warning.As(err); w != nil {
		// Warnings are about steps that fell back to "unknown"; those are
		// refused below with their own words.
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("parsing the pipeline: %w", err)
	}
	env := map[string]string{}
	if p.Env != nil {
		env = p.Env.ToMap()
	}
	for _, name := range slices.Sorted(maps.Keys(p.RemainingFields)) {
		value := plain(p.RemainingFields[name])
		switch name {
		case "agents":
			if def.agents, err = parseAgents(value); err != nil {
				return nil, err
			}
		case "priority":
			if def.priority, err = parseInt(name, value); err != nil {
				return nil, err
			}
		case "image":
			if def.image, err = parseImage(value); err != nil {
				return nil, err
			}
		case "notify":
		default:
			if !strings.HasPrefix(name, "x-") && !isAnchorHolder(value) {
				return nil, fmt.Errorf("unsupported pipeline attribute %q", name)
			}
		}
	}
	def.env = env
	plans, err := parseSteps(p, p.Steps, def, nil)
	return plans, err
}

// isAnchorHolder lets top-level maps and lists pass whose only use is to hold
// YAML anchors, as in "common: &common".
func isAnchorHolder(value any) bool {
	switch value.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

func parseSteps(p *pipeline.Pipeline, steps pipeline.Steps, def defaults, in *group) ([]plan, error) {
	var plans []plan
	for i, step := range steps {
		where := func(err error) error { return fmt.Errorf("step %d: %w", i+1, err) }
		switch step := step.(type) {
		case *pipeline.CommandStep:
			one, err := parseCommand(p, step, def)
			if err != nil {
				return nil, where(err)
			}
			one.group = in
			plans = append(plans, one)
		case *pipeline.WaitStep:
			one, err := parseWait(step)
			if err != nil {
				return nil, where(err)
			}
			one.group = in
			plans = append(plans, one)
		case *pipeline.GroupStep:
			inner, err := parseGroup(p, step, def, in)
			if err != nil {
				return nil, where(err)
			}
			plans = append(plans, inner...)
		case *pipeline.InputStep:
			return nil, where(errors.New("block and input steps are not supported: nobody is there to press the button"))
		case *pipeline.TriggerStep:
			return nil, where(errors.New("trigger steps are not supported: there is no other pipeline"))
		default:
			return nil, where(fmt.Errorf("unsupported step type %T", step))
		}
	}
	return plans, nil
}

// parseGroup flattens a group: its steps stand in its place.
func parseGroup(p *pipeline.Pipeline, step *pipeline.GroupStep, def defaults, in *group) ([]plan, error) {
	if in != nil {
		return nil, errors.New("a group can't hold a group")
	}
	g := &group{key: step.Key}
	if step.Group != nil {
		g.label = *step.Group
	}
	allowFailure := false
	var err error
	for name, raw := range step.RemainingFields {
		value := plain(raw)
		switch name {
		case "depends_on":
			g.explicit = true
			g.dependsOn, err = parseDependsOn(value)
		case "allow_dependency_failure":
			allowFailure, err = parseSwitch(name, value)
		case "notify":
		default:
			err = fmt.Errorf("unsupported group attribute %q", name)
		}
		if err != nil {
			return nil, err
		}
	}
	if allowFailure {
		allowFailures(g.dependsOn)
	}
	return parseSteps(p, step.Steps, def, g)
}

func parseWait(step *pipeline.WaitStep) (plan, error) {
	one := plan{wait: true}
	var err error
	for name, raw := range step.Contents {
		value := plain(raw)
		switch name {
		case "wait", "waiter", "type", "label", "name":
		case "key", "id", "identifier":
			one.key = fmt.Sprint(value)
		case "continue_on_failure":
			one.continueOnFailure, err = parseSwitch(name, value)
		default:
			err = fmt.Errorf("unsupported wait attribute %q", name)
		}
		if err != nil {
			return plan{}, err
		}
	}
	return one, nil
}
