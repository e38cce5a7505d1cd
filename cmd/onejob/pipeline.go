package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/buildkite/go-pipeline"
	"github.com/buildkite/go-pipeline/warning"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// pipelineStep is a command step, as far as its pod goes.
type pipelineStep struct {
	name string
	// rules are its agents, "key=value".
	rules []string
	// env has what Buildkite would put into a job's environment: the variables of package
	// steps, and no others.
	env map[string]string
	// guessed: something in it has a variable, which is known when the pipeline is uploaded.
	guessed bool
}

// stepFields are what is read of a pipeline and of a step.
type stepFields struct {
	Key     string            `json:"key"`
	Label   string            `json:"label"`
	Command string            `json:"command"`
	Image   string            `json:"image"`
	Agents  any               `json:"agents"`
	Env     map[string]any    `json:"env"`
	Plugins json.RawMessage   `json:"plugins"`
	Steps   []json.RawMessage `json:"steps"`
}

// readPipeline reads the command steps of a pipeline, those in groups among them.
func readPipeline(path string) ([]pipelineStep, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	p, err := pipeline.Parse(f)
	if err != nil && !warning.Is(err) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	top, err := fieldsOf(p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var found []pipelineStep
	var walk func(of pipeline.Steps) error
	walk = func(of pipeline.Steps) error {
		for _, s := range of {
			switch s := s.(type) {
			case *pipeline.GroupStep:
				if err := walk(s.Steps); err != nil {
					return err
				}
			case *pipeline.CommandStep:
				fields, err := fieldsOf(s)
				if err != nil {
					return err
				}
				found = append(found, commandStep(top, fields, len(found)+1))
			}
		}
		return nil
	}
	if err := walk(p.Steps); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return found, nil
}

// fieldsOf reads them by way of JSON, which is what is sent to Buildkite.
func fieldsOf(v any) (stepFields, error) {
	var fields stepFields
	doc, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(doc, &fields)
	}
	return fields, err
}

// commandStep is a step with what the pipeline says for all of them.
func commandStep(top, own stepFields, n int) pipelineStep {
	s := pipelineStep{name: fmt.Sprintf("step %d", n), rules: agentRules(top.Agents), env: map[string]string{steps.EnvCommand: own.Command}}
	for _, name := range []string{own.Label, own.Key} {
		if name != "" {
			s.name = fmt.Sprintf("step %d (%s)", n, contract.Line(name, 60))
		}
	}
	if own.Agents != nil {
		s.rules = agentRules(own.Agents)
	}
	for _, of := range []stepFields{top, own} {
		if image, ok := of.Env[steps.EnvImage]; ok {
			s.env[steps.EnvImage] = fmt.Sprint(image)
		}
	}
	for _, of := range []stepFields{top, own} {
		if of.Image != "" {
			s.env[steps.EnvImage] = of.Image
		}
	}
	s.env[steps.EnvPlugins] = string(own.Plugins)
	for _, name := range []string{steps.EnvImage, steps.EnvPlugins} {
		known := uploaded.ReplaceAllString(s.env[name], "x")
		s.guessed = s.guessed || known != s.env[name]
		s.env[name] = known
	}
	return s
}

// uploaded are what is replaced when a pipeline is uploaded: variables and a matrix's
// values.
var uploaded = regexp.MustCompile(`\$\{[^}]*\}|\$[A-Za-z_][A-Za-z0-9_]*|\{\{\s*matrix[^}]*\}\}`)

// agentRules are a step's agents, a mapping or a list.
func agentRules(agents any) (rules []string) {
	switch agents := agents.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(agents)) {
			rules = append(rules, fmt.Sprintf("%s=%v", k, agents[k]))
		}
	case []any:
		for _, a := range agents {
			rules = append(rules, strings.TrimSpace(fmt.Sprint(a)))
		}
	}
	return rules
}
