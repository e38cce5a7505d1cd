package container

import (
	"encoding/json"
	"strings"

	"github.com/buildkite/go-pipeline"
)

// kubernetesPlugin is the plugin by which a step describes its pod. There is no
// such repository: a stock agent fails to clone it.
const kubernetesPlugin = "github.com/buildkite-plugins/kubernetes-buildkite-plugin"

const plugins = "BUILDKITE_PLUGINS"

// IsKubernetesPlugin reports whether source names the kubernetes plugin, by any of the names
// that Buildkite takes, with or without a version.
func IsKubernetesPlugin(source string) bool {
	full := (&pipeline.Plugin{Source: source}).FullSource()
	full, _, _ = strings.Cut(full, "#")
	if _, path, found := strings.Cut(full, "://"); found {
		full = path
	}
	return strings.EqualFold(strings.TrimSuffix(full, ".git"), kubernetesPlugin)
}

// withoutPlugin removes the kubernetes plugin from a job's environment, because the pod
// exists already. The agent's own runner does the same in its kubernetes-exec mode.
func withoutPlugin(env []string) []string {
	var entries, others []json.RawMessage
	if json.Unmarshal([]byte(value(env, plugins)), &entries) != nil {
		return env
	}
	for _, entry := range entries {
		if !isKubernetes(entry) {
			others = append(others, entry)
		}
	}
	if len(others) == len(entries) {
		return env
	}
	left, err := json.Marshal(others)
	if len(others) == 0 || err != nil {
		left = nil
	}
	return with(env, plugins, string(left))
}

// isKubernetes reports whether an entry of BUILDKITE_PLUGINS is the kubernetes plugin: the
// name, or an object of the name and its settings.
func isKubernetes(entry json.RawMessage) bool {
	var name string
	byName := map[string]json.RawMessage{}
	if json.Unmarshal(entry, &name) == nil {
		return IsKubernetesPlugin(name)
	}
	if json.Unmarshal(entry, &byName) != nil {
		return false
	}
	for source := range byName {
		if IsKubernetesPlugin(source) {
			return true
		}
	}
	return false
}
