// Package plugin knows the kubernetes plugin, by which a step describes its pod, among a
// job's plugins. It belongs to the pod contract: the scheduler builds the pod of what the
// plugin says, and the runner takes the plugin out, or refuses the step. It is a package
// of its own because package contract has nothing but the standard library.
package plugin

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/buildkite/go-pipeline"
)

// Env has a job's plugins: a list of names, and of names with their settings.
const Env = "BUILDKITE_PLUGINS"

// source is the plugin. There is no such repository: a stock agent fails to clone it.
const source = "github.com/buildkite-plugins/kubernetes-buildkite-plugin"

// Is knows the plugin by all of its names, with or without a version.
func Is(name string) bool {
	full := (&pipeline.Plugin{Source: name}).FullSource()
	full, _, _ = strings.Cut(full, "#")
	if _, path, found := strings.Cut(full, "://"); found {
		full = path
	}
	return strings.EqualFold(strings.TrimSuffix(full, ".git"), source)
}

// Settings are those of each of the plugins that is this one; null for a name alone. What
// is no list of plugins has none: that is for the bootstrap to say.
func Settings(plugins string) (all []json.RawMessage) {
	for _, entry := range entriesOf(plugins) {
		all = append(all, settingsOf(entry)...)
	}
	return all
}

// Without is a job's plugins without this one, empty if there is no other.
func Without(plugins string) string {
	entries := entriesOf(plugins)
	others := slices.DeleteFunc(slices.Clone(entries), func(entry json.RawMessage) bool { return len(settingsOf(entry)) > 0 })
	if len(others) == len(entries) {
		return plugins
	}
	if len(others) == 0 {
		return ""
	}
	left, err := json.Marshal(others)
	if err != nil { // it was JSON
		return ""
	}
	return string(left)
}

func entriesOf(plugins string) (entries []json.RawMessage) {
	if json.Unmarshal([]byte(plugins), &entries) != nil {
		return nil
	}
	return entries
}

func settingsOf(entry json.RawMessage) (all []json.RawMessage) {
	var name string
	if json.Unmarshal(entry, &name) == nil {
		if Is(name) {
			return []json.RawMessage{json.RawMessage("null")}
		}
		return nil
	}
	byName := map[string]json.RawMessage{}
	if json.Unmarshal(entry, &byName) != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		switch {
		case !Is(name):
		case len(byName[name]) == 0:
			all = append(all, json.RawMessage("null"))
		default:
			all = append(all, byName[name])
		}
	}
	return all
}
