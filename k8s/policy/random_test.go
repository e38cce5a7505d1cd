package policy_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/policy"
	"github.com/onejob-dev/onejob/k8s/steps"
	"github.com/onejob-dev/onejob/test/plugins"
)

// TestRandomPlugins makes 1,000 random plugins, of parts that pipelines may and may not write.
// If parser and policy accept a plugin, a template's checks accept its pod, too, or name the
// field (TestAdmissibleAsTheAPIServer compares these checks with a real API server). No
// accepted plugin has a part of the node, or the agent token's Secret.
func TestRandomPlugins(t *testing.T) {
	const tokenSecret = "onejob-agent-token"
	counts := map[string]int{}
	for seed := range uint64(1000) {
		plugin := plugins.Random(seed)
		doc, err := json.Marshal(plugin)
		if err != nil {
			t.Fatal(err)
		}
		step, err := steps.Parse(map[string]string{steps.EnvPlugins: `[{"kubernetes":` + string(doc) + `}]`})
		if err != nil {
			counts["parse"]++
			named(t, seed, err)
			continue
		}
		pod, found, err := policy.Resolve(config.Policy{Secrets: []string{"*"}}, step, steps.Defaults{Command: "make", Image: "agent:1"}, []string{tokenSecret})
		switch {
		case err != nil:
			counts["resolve"]++
			named(t, seed, err)
		case len(found) > 0:
			counts["policy"]++
		default:
			counts["passed"]++
			harmless(t, seed, pod, tokenSecret)
			if err := asTemplate(t, pod); err != nil {
				counts["refused by Kubernetes' rules"]++
				named(t, seed, err)
			}
		}
	}
	t.Log(counts)
	for _, outcome := range []string{"parse", "resolve", "policy", "passed"} {
		if counts[outcome] < 20 {
			t.Errorf("only %d ended with %s: the plugins are too much alike", counts[outcome], outcome)
		}
	}
}

// named checks that each line of an error begins with a field.
func named(t *testing.T, seed uint64, err error) {
	t.Helper()
	for line := range strings.Lines(err.Error()) {
		field, _, found := strings.Cut(line, ": ")
		if !found || strings.Contains(field, " ") {
			t.Errorf("seed %d: %q names no field", seed, line)
		}
	}
}

func harmless(t *testing.T, seed uint64, pod *steps.Pod, token string) {
	t.Helper()
	spec := pod.PodSpec()
	doc, _ := json.Marshal(pod)
	escapes := []bool{
		spec.HostNetwork, spec.HostPID, spec.HostIPC, spec.ServiceAccountName != "", spec.NodeName != "", len(spec.HostAliases) > 0,
		strings.Contains(string(doc), `"privileged":true`), strings.Contains(string(doc), "hostPath"), strings.Contains(string(doc), token),
	}
	if i := slices.Index(escapes, true); i >= 0 {
		t.Errorf("seed %d: escape %d was let through: %s", seed, i, doc)
	}
}

// asTemplate is the error of onejob lint about the pod. The pod's containers are init
// containers there, because a template has one main container.
func asTemplate(t *testing.T, pod *steps.Pod) error {
	t.Helper()
	spec := pod.PodSpec()
	spec.InitContainers = append(spec.InitContainers, spec.Containers...)
	spec.Containers = []corev1.Container{{Name: "agent", Resources: pod.Runner.Resources}}
	doc, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": pod.Metadata.Labels, "annotations": pod.Metadata.Annotations}, "spec": spec})
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse([]byte("queues: [{name: default}]"), "ci")
	if err != nil {
		t.Fatal(err)
	}
	_, err = kjob.Parse(doc, c.Queues[0])
	return err
}
