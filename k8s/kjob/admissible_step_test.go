package kjob

import (
	"strings"
	"testing"
)

// What the API server would refuse is said with the step's own field.
func TestAdmissibleStep(t *testing.T) {
	for plugin, want := range map[string]string{
		"{podSpec: {containers: [{image: x, env: [{name: 'a=b', value: c}]}]}}":                           "containers[command].env[a=b].name: ",
		"{podSpec: {containers: [{image: x, ports: [{containerPort: 70000}]}]}}":                          "containers[command].ports.containerPort: 70000 is not between 1 and 65535",
		"{podSpec: {containers: [{image: x, resources: {requests: {memory: -1}}}]}}":                      "containers[command].resources.requests.memory: -1 is negative",
		"{sidecars: [{name: A_B, image: x}]}":                                                             `initContainers[A_B].name: "A_B": `,
		"{podSpec: {nodeSelector: {'a/b/c': d}}}":                                                         "nodeSelector: ",
		"{metadata: {labels: {buildkite.com/a: 'not a value!'}}}":                                         "metadata.labels: buildkite.com/a=not a value!: ",
		"{podSpec: {containers: [{image: x}], volumes: [{name: v, emptyDir: {}, configMap: {name: a}}]}}": "volumes[v]: emptyDir and configMap: there can be only one source",
	} {
		_, err := ofPluginStep(t, "", "policy: {}", "", plugin)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "spec.template.spec") {
			t.Errorf("%s: got %v, want %q", plugin, err, want)
		}
	}
}
