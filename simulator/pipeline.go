package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/buildkite/conditional"
	"github.com/buildkite/go-pipeline"
	"github.com/buildkite/go-pipeline/warning"
)

// defaults are the values that steps inherit from their pipeline and build.
type defaults struct {
	queue    string
	priority int
	agents   []string
	image    string
	env      map[string]string
}

// parser turns a pipeline.yml, or its JSON, into plans. It accepts the attributes that
// Buildkite accepts, warns about those that have no effect here, and collects all faults for
// which Buildkite refuses a pipeline.
type parser struct {
	def     defaults
	context conditional.Context // the values for `if`
	branch  string
	// environ, when not nil, is interpolated as `buildkite-agent pipeline upload` does.
	environ environ
	changed []string // files, for if_changed; nil means unknown

	pipeline *pipeline.Pipeline // the document that is being parsed
	warnings []string
	errs     []error
}

// environ is an environment for pipeline.Interpolate.
type environ map[string]string

func (e environ) Get(name string) (string, bool) { value, set := e[name]; return value, set }
func (e environ) Set(name, value string)         { e[name] = value }

// warn adds a warning, once.
func (p *parser) warn(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(p.warnings, text) {
		p.warnings = append(p.warnings, text)
	}
}

func (p *parser) refuse(err error) {
	if err != nil {
		p.errs = append(p.errs, err)
	}
}

// parse reads every YAML document of source, each as a pipeline of its own.
func (p *parser) parse(source []byte) ([]plan, error) {
	var plans []plan
	for doc, err := range pipeline.ParseAll(bytes.NewReader(source)) {
		// Warnings are about steps of unknown type, which normalized handles.
		if err != nil && !warning.Is(err) {
			return nil, fmt.Errorf("parsing the pipeline: %w", err)
		}
		if p.environ != nil {
			if err := doc.Interpolate(p.environ, false); err != nil && !warning.Is(err) {
				return nil, fmt.Errorf("interpolating the pipeline: %w", err)
			}
		}
		plans = append(plans, p.document(doc)...)
	}
	return plans, errors.Join(p.errs...)
}

// document parses one pipeline. The attributes at its top apply to its own steps only.
func (p *parser) document(doc *pipeline.Pipeline) []plan {
	outer, outerContext := p.def, p.context
	defer func() { p.def, p.context = outer, outerContext }()
	p.pipeline, p.def.env = doc, map[string]string{}
	if doc.Env != nil {
		p.def.env = doc.Env.ToMap()
		p.context.BuildEnv = maps.Clone(p.context.BuildEnv)
		if p.context.BuildEnv == nil {
			p.context.BuildEnv = map[string]string{}
		}
		maps.Copy(p.context.BuildEnv, p.def.env)
	}
	for _, name := range slices.Sorted(maps.Keys(doc.RemainingFields)) {
		p.refuse(p.top(name, plain(doc.RemainingFields[name])))
	}
	return p.steps(doc.Steps, nil)
}

// top reads one attribute of the pipeline. Buildkite accepts unknown ones, because they often
// hold YAML anchors.
func (p *parser) top(name string, value any) (err error) {
	if value == nil {
		return nil
	}
	switch name {
	case "agents":
		p.def.agents, err = parseAgents(value)
	case "priority":
		p.def.priority, err = parseInt(name, value)
	case "image":
		p.def.image, err = parseImage(value)
	case "notify":
		p.warn("notify: nobody is notified")
	default:
		_, isText := value.(string)
		if isText && !strings.HasPrefix(name, "x-") {
			p.warn("the pipeline attribute `%s` has no effect", name)
		}
	}
	return err
}

func (p *parser) steps(steps pipeline.Steps, in *group) []plan {
	var plans []plan
	for i, step := range steps {
		parsed, errs := p.step(step, in)
		for _, err := range errs {
			where := fmt.Sprintf("step %d", i+1)
			if in != nil {
				where += fmt.Sprintf(" of group %q", in.label)
			}
			p.refuse(fmt.Errorf("%s: %w", where, err))
		}
		plans = append(plans, parsed...)
	}
	return plans
}

func (p *parser) step(step pipeline.Step, in *group) ([]plan, []error) {
	step, err := normalized(step)
	if err != nil {
		return nil, []error{err}
	}
	if step, isGroup := step.(*pipeline.GroupStep); isGroup {
		if in != nil {
			return nil, []error{errors.New("a group can't hold a group")}
		}
		return p.groupStep(step)
	}
	one := plan{group: in}
	var errs []error
	switch step := step.(type) {
	case *pipeline.CommandStep:
		errs = p.commandStep(&one, step)
	case *pipeline.WaitStep:
		one.kind = kindWait
		errs = p.attributes(&one, waitAttributes, step.Contents)
	case *pipeline.InputStep:
		errs = p.inputStep(&one, step)
	case *pipeline.TriggerStep:
		errs = p.triggerStep(&one, step)
	}
	return []plan{one}, errs
}
