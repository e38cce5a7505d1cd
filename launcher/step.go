package launcher

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/contract/plugin"
)

// refusal says why a step's demands on its pod can't be met; "" if they can. image is
// the image that the pod honours (contract.EnvImage); with described the pod is what the
// plugin says (contract.EnvPlugin). A job that ran nevertheless would
// run in another image than its step says, and might pass there.
func refusal(env map[string]string, image string, described bool) string {
	var texts []string
	if want := env["BUILDKITE_IMAGE"]; want != "" && want != image {
		texts = append(texts, fmt.Sprintf("The step asks for the image %q, and this pod doesn't run it. Take image: out of the step, or send the step to a queue whose template names that image.", cut(want)))
	}
	if is, keys := describesPod(env["BUILDKITE_PLUGINS"]); is && !described {
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
	all := plugin.Settings(plugins)
	if len(all) == 0 {
		return false, ""
	}
	var set map[string]any
	if json.Unmarshal(all[0], &set) == nil && len(set) > 0 {
		keys = " " + cut("("+strings.Join(slices.Sorted(maps.Keys(set)), ", ")+")")
	}
	return true, keys
}

// cut shortens a pipeline's text, so that it can't fill the job's page.
func cut(s string) string { return contract.Line(s, 55) }
