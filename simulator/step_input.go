package simulator

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/buildkite/go-pipeline"
)

// form has the questions of a block or input step to the person who unblocks it.
type form struct {
	prompt       string
	fields       []Field
	blockedState string
}

// Field is one input of a block or input step. Its value becomes the build's
// meta-data under Key.
type Field struct {
	Key      string   `json:"key"`
	Text     string   `json:"text,omitempty"`
	Select   string   `json:"select,omitempty"`
	Hint     string   `json:"hint,omitempty"`
	Required bool     `json:"required"`
	Default  []string `json:"default,omitempty"`
	Format   string   `json:"format,omitempty"`
	Multiple bool     `json:"multiple,omitempty"`
	Options  []Option `json:"options,omitempty"`
}

// Option is one choice of a select field.
type Option struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

var inputAttributes = with(anyStep, map[string]attribute{
	"block": takeLabel, "input": takeLabel, "manual": takeLabel,
	"prompt":        takePrompt,
	"fields":        takeFields,
	"blocked_state": takeBlockedState,
	"allowed_teams": func(p *parser, _ *plan, _ any) error {
		p.warn("allowed_teams: anybody may unblock the step")
		return nil
	},
})

func (p *parser) inputStep(one *plan, step *pipeline.InputStep) []error {
	one.kind, one.form = kindBlock, &form{blockedState: BuildPassed}
	_, isInput := step.Contents["input"]
	if isInput || step.Scalar == "input" || step.Contents["type"] == "input" {
		one.kind = kindInput
	}
	return p.attributes(one, inputAttributes, step.Contents)
}

func takePrompt(_ *parser, one *plan, value any) error {
	one.form.prompt = fmt.Sprint(value)
	return nil
}

func takeBlockedState(_ *parser, one *plan, value any) error {
	one.form.blockedState = fmt.Sprint(value)
	switch one.form.blockedState {
	case BuildPassed, BuildFailed, BuildRunning:
		return nil
	}
	return fmt.Errorf("blocked_state is %v: want passed, failed or running", value)
}

func takeFields(_ *parser, one *plan, value any) error {
	list, isList := value.([]any)
	if !isList {
		return fmt.Errorf("fields is %v: want a list", value)
	}
	var errs []error
	for _, item := range list {
		f, err := parseField(item)
		errs = append(errs, err)
		one.form.fields = append(one.form.fields, f)
	}
	return errors.Join(errs...)
}

var fieldKey = regexp.MustCompile(`^[a-zA-Z0-9/_-]+$`)

func parseField(item any) (Field, error) {
	m, isMap := item.(map[string]any)
	if !isMap {
		return Field{}, fmt.Errorf("fields holds %v: want a text or select field", item)
	}
	f := Field{Required: true}
	var err error
	for _, name := range sortedNames(m) {
		value := m[name]
		if value == nil {
			continue
		}
		switch name {
		case "key":
			f.Key = fmt.Sprint(value)
		case "text":
			f.Text = fmt.Sprint(value)
		case "select":
			f.Select = fmt.Sprint(value)
		case "hint":
			f.Hint = fmt.Sprint(value)
		case "format":
			f.Format = fmt.Sprint(value)
			_, err = regexp.Compile(f.Format)
		case "required":
			f.Required, err = parseSwitch(name, value)
		case "multiple":
			f.Multiple, err = parseSwitch(name, value)
		case "default":
			f.Default, err = texts(value)
		case "options":
			f.Options, err = parseOptions(value)
		default:
			err = notValid(name, "a field", []string{"text", "select", "key", "hint", "format", "required", "multiple", "default", "options"})
		}
		if err != nil {
			return f, err
		}
	}
	switch {
	case !fieldKey.MatchString(f.Key):
		return f, fmt.Errorf("a field's key is %q: it may only contain alphanumeric characters, slashes, dashes, or underscores", f.Key)
	case f.Select != "" && len(f.Options) == 0:
		return f, fmt.Errorf("the select field %q has no options", f.Key)
	}
	return f, nil
}

func parseOptions(value any) ([]Option, error) {
	list, isList := value.([]any)
	if !isList {
		return nil, fmt.Errorf("options is %v: want a list", value)
	}
	var out []Option
	for _, item := range list {
		m, isMap := item.(map[string]any)
		if !isMap || m["label"] == nil || m["value"] == nil {
			return nil, fmt.Errorf("options holds %v: want a label and a value", item)
		}
		out = append(out, Option{fmt.Sprint(m["label"]), fmt.Sprint(m["value"])})
	}
	return out, nil
}

// texts reads one scalar, or a list of scalars, as strings.
func texts(value any) ([]string, error) {
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	var out []string
	for _, item := range list {
		switch item := item.(type) {
		case nil:
		case string, int, float64, bool:
			out = append(out, fmt.Sprint(item))
		default:
			return nil, fmt.Errorf("%v is no text", item)
		}
	}
	return out, nil
}
