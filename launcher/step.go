package launcher

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/buildkite/go-pipeline"

	"github.com/onejob-dev/onejob/contract"
)

// kubernetesPlugin is the plugin by which a step describes its pod. There is no
// such repository: a stock agent fails to clone it.
const kubernetesPlugin = "github.com/buildkite-plugins/kubernetes-buildkite-plugin"

// refusal says why a step's demands on its pod can't be met; "" if they can. image is
// the image that the pod honours (contract.EnvImage). A job that ran nevertheless would
// run in another image than its step says, and might pass there.
func refusal(env map[string]string, image string) string {
	var texts []string
	if want := env["BUILDKITE_IMAGE"]; want != "" && want != image {
		texts = append(texts, fmt.Sprintf("The step asks for the image %q, and this pod doesn't run it. Take image: out of the step, or send the step to a queue whose template names that image.", cut(want)))
	}
	if is, keys := describesPod(env["BUILDKITE_PLUGINS"]); is {
		texts = append(texts, fmt.Sprintf("The step has the kubernetes plugin%s, and this queue's pods are its template's. Take the plugin out, and put what the job needs into the queue's template or image.", keys))
	}
	return strings.Join(texts, " ")
}

// ignoredImage is the warning about a step's image in a pod of an older scheduler,
// which doesn't tell the runner its image; "" if the step asks for none.
func ignoredImage(env map[string]string) string {
	want := env["BUILDKITE_IMAGE"]
	if want == "" {
		return ""
	}
	return fmt.Sprintf("+++ onejob: the step's image is ignored\n"+
		"The step asks for the image %q. The job runs in the image of its queue's template all the same, because the scheduler is older than this runner and can't say which image that is. "+
		"Once the scheduler is upgraded, a step that asks for another image than its pod's is refused. Take image: out of the step, or send the step to a queue whose template names that image.", cut(want))
}

// describesPod reports whether the plugins of a job, as BUILDKITE_PLUGINS has
// them, are or contain the kubernetes plugin, and what is set by it.
func describesPod(plugins string) (is bool, keys string) {
	var list []json.RawMessage
	if json.Unmarshal([]byte(plugins), &list) != nil {
		return false, "" // none, or what the bootstrap refuses
	}
	for _, raw := range list {
		var name string
		byName := map[string]json.RawMessage{}
		if json.Unmarshal(raw, &name) == nil {
			byName[name] = nil
		} else if json.Unmarshal(raw, &byName) != nil {
			continue
		}
		for source, settings := range byName {
			if !isKubernetesPlugin(source) {
				continue
			}
			var set map[string]any
			if json.Unmarshal(settings, &set) == nil && len(set) > 0 {
				keys = " " + cut("("+strings.Join(slices.Sorted(maps.Keys(set)), ", ")+")")
			}
			return true, keys
		}
	}
	return false, ""
}

// isKubernetesPlugin knows the plugin by all of its names, with or without a
// version.
func isKubernetesPlugin(source string) bool {
	full := (&pipeline.Plugin{Source: source}).FullSource()
	full, _, _ = strings.Cut(full, "#")
	if _, path, found := strings.Cut(full, "://"); found {
		full = path
	}
	return strings.EqualFold(strings.TrimSuffix(full, ".git"), kubernetesPlugin)
}

// cut shortens a pipeline's text, so that it can't fill the job's page.
func cut(s string) string { return contract.Line(s, 55) }
