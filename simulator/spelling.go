package simulator

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/buildkite/go-pipeline"
	"github.com/buildkite/go-pipeline/ordered"
	"github.com/buildkite/go-pipeline/warning"
)

// normalized rewrites spellings that Buildkite accepts into those that go-pipeline knows:
// {command: {command: …}}, {script: {…}}, {wait: {…}}, {block: {…}}, {trigger: {…}},
// "type: commands", and a step of one `plugin`. It refuses a step without a type, in
// Buildkite's words.
func normalized(step pipeline.Step) (pipeline.Step, error) {
	switch step := step.(type) {
	case *pipeline.WaitStep:
		step.Contents = unnested(step.Contents, "wait", "waiter")
	case *pipeline.InputStep:
		step.Contents = unnested(step.Contents, "block", "input", "manual")
	case *pipeline.TriggerStep:
		step.Contents = unnested(step.Contents, "trigger")
	case *pipeline.UnknownStep:
		contents, isMap := step.Contents.(*ordered.MapSA)
		if isMap && respell(contents) {
			var again pipeline.Steps
			if err := ordered.Unmarshal([]any{contents}, &again); err != nil && !warning.Is(err) {
				return nil, err
			}
			if _, still := again[0].(*pipeline.UnknownStep); !still {
				return normalized(again[0])
			}
		}
		raw, err := json.Marshal(step.Contents)
		if err != nil {
			return nil, fmt.Errorf("encoding a step: %w", err)
		}
		return nil, fmt.Errorf("Step is missing a type `%s`", raw) //nolint:staticcheck // Buildkite's words
	}
	return step, nil
}

// unnested replaces {name: {…}} by its contents, and keeps name as a key.
func unnested(contents map[string]any, names ...string) map[string]any {
	for _, name := range names {
		inner, isMap := plain(contents[name]).(map[string]any)
		if !isMap {
			continue
		}
		lifted := maps.Clone(contents)
		maps.Copy(lifted, inner)
		if _, has := inner[name]; !has {
			lifted[name] = nil
		}
		return lifted
	}
	return contents
}

// respellMatrix turns an adjustment's {with: [x]} into {with: x}.
func respellMatrix(contents *ordered.MapSA) bool {
	value, _ := contents.Get("matrix")
	matrix, _ := value.(*ordered.MapSA)
	if matrix == nil {
		return false
	}
	value, _ = matrix.Get("adjustments")
	adjustments, _ := value.([]any)
	found := false
	for _, adjustment := range adjustments {
		m, _ := adjustment.(*ordered.MapSA)
		if m == nil {
			continue
		}
		with, _ := m.Get("with")
		if list, isList := with.([]any); isList && len(list) == 1 {
			m.Set("with", list[0])
			found = true
		}
	}
	return found
}

// respell rewrites a step of unknown type, and reports whether it could.
func respell(contents *ordered.MapSA) bool {
	if kind, _ := contents.Get("type"); kind == "commands" {
		contents.Set("type", "command")
		return true
	}
	if respellMatrix(contents) {
		return true
	}
	if plugin, has := contents.Get("plugin"); has {
		contents.Delete("plugin")
		contents.Set("plugins", plugin)
		return true
	}
	for _, name := range []string{"command", "commands", "script"} {
		value, _ := contents.Get(name)
		switch value := value.(type) {
		case *ordered.MapSA:
			contents.Delete(name)
			for key, inner := range value.All {
				contents.Set(key, inner)
			}
			contents.Set("type", "command")
			return true
		case string, []any:
			if name == "script" {
				contents.Delete(name)
				contents.Set("command", value)
				return true
			}
		}
	}
	return false
}

// notValid is the error for an attribute that a step can't have, in Buildkite's words.
func notValid(name, where string, valid []string) error {
	for _, near := range valid {
		if oneEdit(name, near) {
			return fmt.Errorf("`%s` is not a valid property on %s, perhaps you meant `%s`?", name, where, near) //nolint:staticcheck // Buildkite's words
		}
	}
	return fmt.Errorf("`%s` is not a valid property on %s. Please check the documentation to get a full list of supported properties.", name, where) //nolint:staticcheck,revive // Buildkite's words
}

// oneEdit reports whether adding, removing or changing one letter turns a into b.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 || a == b {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) == len(b) {
		return a[i+1:] == b[i+1:]
	}
	return a[i:] == b[i+1:]
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
