package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/buildkite/go-pipeline"
	"github.com/buildkite/go-pipeline/ordered"
	"github.com/buildkite/go-pipeline/warning"
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
	softFail      softFail
	retry         retryPolicy
	skip          string
	skipped       bool
}

type group struct{ id, key, label string }

type dependency struct {
	key          string
	allowFailure bool
}

// softFail holds the exit statuses that don't fail the build.
type softFail struct {
	any   bool
	codes []int
}

func (f softFail) matches(code int) bool {
	return code != 0 && (f.any || slices.Contains(f.codes, code))
}

// defaults are what a pipeline and a build lend to their steps.
type defaults struct {
	queue    string
	priority int
	agents   []string
	env      map[string]string
}

// parsePipeline turns a pipeline.yml, or its JSON, into plans. It refuses by
// name what the simulator can't do: a build that silently lacked a condition
// would prove nothing.
func parsePipeline(source []byte, def defaults) ([]plan, map[string]string, error) {
	p, err := pipeline.Parse(bytes.NewReader(source))
	if w := warning.As(err); w != nil {
		// Warnings are about steps that fell back to "unknown"; those are
		// refused below with their own words.
		err = nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("parsing the pipeline: %w", err)
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
				return nil, nil, err
			}
		case "priority":
			if def.priority, err = parseInt(name, value); err != nil {
				return nil, nil, err
			}
		case "notify":
		default:
			if !strings.HasPrefix(name, "x-") && !isAnchorHolder(value) {
				return nil, nil, fmt.Errorf("unsupported pipeline attribute %q", name)
			}
		}
	}
	def.env = env
	plans, err := parseSteps(p, p.Steps, def, nil, nil)
	return plans, env, err
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

func parseSteps(p *pipeline.Pipeline, steps pipeline.Steps, def defaults, in *group, inherited *plan) ([]plan, error) {
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
			if inherited != nil && !one.explicit {
				one.explicit, one.dependsOn = inherited.explicit, inherited.dependsOn
			}
			plans = append(plans, one)
		case *pipeline.WaitStep:
			one, err := parseWait(step)
			if err != nil {
				return nil, where(err)
			}
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

// parseGroup flattens a group: its steps stand in its place and share its
// dependencies.
func parseGroup(p *pipeline.Pipeline, step *pipeline.GroupStep, def defaults, in *group) ([]plan, error) {
	if in != nil {
		return nil, errors.New("a group can't hold a group")
	}
	g := &group{key: step.Key}
	if step.Group != nil {
		g.label = *step.Group
	}
	var own plan
	for name, raw := range step.RemainingFields {
		value := plain(raw)
		switch name {
		case "depends_on":
			deps, err := parseDependsOn(value)
			if err != nil {
				return nil, err
			}
			own.explicit, own.dependsOn = true, deps
		case "allow_dependency_failure", "notify":
		default:
			return nil, fmt.Errorf("unsupported group attribute %q", name)
		}
	}
	return parseSteps(p, step.Steps, def, g, &own)
}

func parseWait(step *pipeline.WaitStep) (plan, error) {
	one := plan{wait: true}
	for name, raw := range step.Contents {
		value := plain(raw)
		switch name {
		case "wait", "waiter", "type", "label", "name":
		case "key", "id", "identifier":
			one.key = fmt.Sprint(value)
		case "continue_on_failure":
			one.continueOnFailure = value == true || value == "true"
		default:
			return plan{}, fmt.Errorf("unsupported wait attribute %q", name)
		}
	}
	return one, nil
}

func parseCommand(p *pipeline.Pipeline, original *pipeline.CommandStep, def defaults) (plan, error) {
	step := *original
	step.MergeSecretsFromPipeline(p.Secrets)
	step.MergeCheckoutFromPipeline(p.Checkout)
	one := plan{step: &step, key: step.Key, env: def.env, priority: def.priority, rules: def.agents}
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
			allowFailure = value == true
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
		for i := range one.dependsOn {
			one.dependsOn[i].allowFailure = true
		}
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

// queueRule finds the queue among the agent query rules, or adds the default's.
func queueRule(rules []string, fallback string) ([]string, string) {
	for _, rule := range rules {
		if key, value, _ := strings.Cut(rule, "="); key == "queue" {
			return rules, queueKey(value)
		}
	}
	queue := queueKey(fallback)
	return append([]string{"queue=" + queue}, rules...), queue
}

func plain(v any) any {
	if m, isMap := v.(*ordered.MapSA); isMap {
		return ordered.ToMapRecursive(m)
	}
	return ordered.ToMapRecursive(v)
}

func parseAgents(value any) ([]string, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		var rules []string
		for key, val := range v {
			rules = append(rules, fmt.Sprintf("%s=%v", key, val))
		}
		sort.Strings(rules)
		return rules, nil
	}
	return parseStrings("agents", value)
}

func parseStrings(name string, value any) ([]string, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		var out []string
		for _, item := range v {
			text, isText := item.(string)
			if !isText {
				return nil, fmt.Errorf("%s holds %v: want strings", name, item)
			}
			out = append(out, text)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s is %v: want a string or a list of strings", name, value)
}

func parseInt(name string, value any) (int, error) {
	switch v := value.(type) {
	case int:
		return v, nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<31 {
			return int(v), nil
		}
	case string:
		var n int
		if _, err := fmt.Sscanf(v, "%d", &n); err == nil && fmt.Sprint(n) == v {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%s is %v: want an integer", name, value)
}

// parseMinutes allows fractions, so that a test need not wait a minute.
func parseMinutes(value any) (time.Duration, error) {
	if f, isFloat := value.(float64); isFloat && f > 0 && f < 1e6 {
		return time.Duration(f * float64(time.Minute)), nil
	}
	n, err := parseInt("timeout_in_minutes", value)
	if err != nil || n < 0 || n > 1e6 {
		return 0, fmt.Errorf("timeout_in_minutes is %v: want a number of minutes", value)
	}
	return time.Duration(n) * time.Minute, nil
}

func parseSoftFail(value any) (softFail, error) {
	switch v := value.(type) {
	case bool:
		return softFail{any: v}, nil
	case []any:
		var f softFail
		for _, item := range v {
			m, isMap := item.(map[string]any)
			if !isMap {
				return f, fmt.Errorf("soft_fail holds %v: want exit_status", item)
			}
			if m["exit_status"] == "*" {
				f.any = true
				continue
			}
			code, err := parseInt("exit_status", m["exit_status"])
			if err != nil {
				return f, err
			}
			f.codes = append(f.codes, code)
		}
		return f, nil
	}
	return softFail{}, fmt.Errorf("soft_fail is %v: want true, false or a list", value)
}

func parseDependsOn(value any) ([]dependency, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		return []dependency{{key: v}}, nil
	case []any:
		var deps []dependency
		for _, item := range v {
			switch item := item.(type) {
			case string:
				deps = append(deps, dependency{key: item})
			case map[string]any:
				key, isText := item["step"].(string)
				if !isText {
					return nil, fmt.Errorf("depends_on holds %v: want a step", item)
				}
				deps = append(deps, dependency{key, item["allow_failure"] == true})
			default:
				return nil, fmt.Errorf("depends_on holds %v: want step keys", item)
			}
		}
		return deps, nil
	}
	return nil, fmt.Errorf("depends_on is %v: want step keys", value)
}

// permutations is the product of a matrix's dimensions, less what its
// adjustments skip, plus what they add.
func permutations(m *pipeline.Matrix) ([]pipeline.MatrixPermutation, error) {
	if m == nil || m.IsEmpty() {
		return nil, nil
	}
	out := []pipeline.MatrixPermutation{{}}
	for _, dim := range slices.Sorted(maps.Keys(m.Setup)) {
		var next []pipeline.MatrixPermutation
		for _, p := range out {
			for _, value := range m.Setup[dim] {
				q := maps.Clone(p)
				q[dim] = value
				next = append(next, q)
			}
		}
		out = next
		if len(out) > 10_000 {
			return nil, errors.New("the matrix has more than 10000 permutations")
		}
	}
	for _, adj := range m.Adjustments {
		same := func(p pipeline.MatrixPermutation) bool { return maps.Equal(p, adj.With) }
		switch {
		case adj.ShouldSkip():
			out = slices.DeleteFunc(out, same)
		case len(adj.RemainingFields) > 0:
			return nil, errors.New("matrix adjustments with soft_fail are not supported")
		case !slices.ContainsFunc(out, same):
			out = append(out, pipeline.MatrixPermutation(adj.With))
		}
	}
	return out, nil
}
