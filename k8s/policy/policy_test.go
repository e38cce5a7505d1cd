package policy

import (
	"fmt"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/steps"
)

func aPolicy(t testing.TB, doc string) (p config.Policy) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(doc), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func aStep(t testing.TB, image, plugin string) steps.Step {
	t.Helper()
	js, err := yaml.YAMLToJSON([]byte(plugin))
	if err != nil {
		t.Fatal(err)
	}
	step, err := steps.Parse(map[string]string{steps.EnvImage: image, steps.EnvPlugins: fmt.Sprintf(`[{"kubernetes":%s}]`, js)})
	if err != nil {
		t.Fatal(err)
	}
	return step
}

const digest = "sha256:0123456789012345678901234567890123456789012345678901234567890123"

// Each rule has a step that violates it and a policy that allows the step. want is the field
// and the rule, empty if the policy allows the step.
func TestRules(t *testing.T) {
	b, err := os.ReadFile("testdata/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct{ Name, Policy, Image, Plugin, Want string }
	if err := yaml.UnmarshalStrict(b, &rows); err != nil {
		t.Fatal(err)
	}
	for _, tt := range rows {
		t.Run(tt.Name, func(t *testing.T) {
			_, found, err := Resolve(aPolicy(t, "{"+tt.Policy+"}"), aStep(t, tt.Image, tt.Plugin), steps.Defaults{Image: "agent:1"}, []string{"onejob-agent-token"})
			if err != nil {
				t.Fatal(err)
			}
			if tt.Want == "" && len(found) > 0 {
				t.Errorf("got %s, want none", Text(found))
			}
			if tt.Want != "" && !strings.Contains(Text(found), tt.Want) {
				t.Errorf("got %s, want %s", Text(found), tt.Want)
			}
			for _, v := range found {
				if v.Field == "" || v.Rule == "" || v.Fix == "" {
					t.Errorf("%+v doesn't say all", v)
				}
			}
		})
	}
}

// No policy and no default of the queue gives a step the agent token's Secret, in any field
// and at any level.
func TestNoStepGetsTheToken(t *testing.T) {
	const name = "onejob-agent-token"
	for _, plugin := range []string{
		"{gitEnvFrom: [{secretRef: {name: NAME}}]}",
		"{podSpec: {containers: [{image: x, env: [{name: A, valueFrom: {secretKeyRef: {name: NAME, key: token}}}]}]}}",
		"{podSpec: {containers: [{image: x}], initContainers: [{name: i, image: x, envFrom: [{secretRef: {name: NAME}}]}]}}",
		"{podSpec: {containers: [{image: x}], volumes: [{name: v, secret: {secretName: NAME}}]}}",
		"{podSpec: {containers: [{image: x}], volumes: [{name: v, projected: {sources: [{secret: {name: NAME}}]}}]}}",
		"{podSpec: {containers: [{image: x}], volumes: [{name: v, csi: {driver: d, nodePublishSecretRef: {name: NAME}}}]}}",
		"{podSpec: {containers: [{image: x}], imagePullSecrets: [{name: NAME}]}}",
		"{podSpecPatch: {volumes: [{name: v, secret: {secretName: NAME}}]}}",
		"{podSpecPatch: {containers: [{name: container-0, envFrom: [{secretRef: {name: NAME}}]}]}}",
		"{sidecars: [{image: x, envFrom: [{secretRef: {name: NAME}}]}]}",
		"{sidecarParams: {envFrom: [{secretRef: {name: NAME}}]}, sidecars: [{image: x}]}",
		"{commandParams: {envFrom: [{secretRef: {name: NAME}}]}}",
		"{checkout: {envFrom: [{secretRef: {name: NAME}}]}}",
		"{checkout: {gitCredentialsSecret: {secretName: NAME}}}",
		"{checkout: {gitMirrors: {volume: {name: v, secret: {secretName: NAME}}}}}",
	} {
		for _, level := range []string{"restricted", "baseline", "privileged"} {
			p := aPolicy(t, "{level: "+level+", privileged: true, secrets: ['**'], claims: ['**'], volumes: [secret, projected, csi], host: {network: true, ipc: true, paths: [/]}}")
			_, found, err := Resolve(p, aStep(t, "", strings.ReplaceAll(plugin, "NAME", name)), steps.Defaults{Image: "agent:1"}, []string{name, "other"})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(Text(found), "the Secret "+name+" has the agent token in it, which no step gets") {
				t.Errorf("%s, %s: got %s", level, plugin, Text(found))
			}
		}
	}
	d := steps.Defaults{Image: "agent:1", CommandParams: aStep(t, "", "{commandParams: {envFrom: [{secretRef: {name: "+name+"}}]}}").Plugin.CommandParams}
	if _, found, err := Resolve(config.Policy{}, steps.Step{Image: "x"}, d, []string{name}); err != nil || len(found) != 1 {
		t.Errorf("by the queue's own settings: %v, %s", err, Text(found))
	}
}

// A setting of the queue's administrator is not a violation of the step.
func TestTheQueuesOwnIsNotJudged(t *testing.T) {
	own := aStep(t, "", "{podSpec: {serviceAccountName: builder, hostNetwork: true, containers: [{name: t, image: x, securityContext: {privileged: true}}], volumes: [{name: v, hostPath: {path: /}}]}, commandParams: {envFrom: [{secretRef: {name: s}}]}}").Plugin
	d := steps.Defaults{Image: "agent:1", Template: own.PodSpec, CommandParams: own.CommandParams}
	_, found, err := Resolve(config.Policy{}, aStep(t, "", "{podTemplate: big}"), d, nil)
	if err != nil || len(found) > 0 {
		t.Errorf("%v, %s", err, Text(found))
	}
	_, found, err = Resolve(config.Policy{}, aStep(t, "", "{podTemplate: big, podSpecPatch: {hostIPC: true}}"), d, nil)
	if err != nil || !strings.Contains(Text(found), "hostIPC") || strings.Contains(Text(found), "hostNetwork: ") {
		t.Errorf("%v, %s", err, Text(found))
	}
}

func TestAllAtOnce(t *testing.T) {
	_, found, err := Resolve(config.Policy{}, aStep(t, "", "{podSpec: {hostNetwork: true, serviceAccountName: a, containers: [{image: x, securityContext: {privileged: true}}], volumes: [{name: v, hostPath: {path: /}}]}, gitEnvFrom: [{secretRef: {name: s}}]}"), steps.Defaults{Image: "agent:1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hostNetwork", "serviceAccountName", "privileged", "hostPath", "secretRef"} {
		if !strings.Contains(Text(found), want) {
			t.Errorf("%s is not in %s", want, Text(found))
		}
	}
}

func TestFullNames(t *testing.T) {
	for name, want := range map[string]string{
		"node": "docker.io/library/node:latest", "node:22": "docker.io/library/node:22", "acme/app": "docker.io/acme/app:latest", "localhost/a": "localhost/a:latest",
		"ghcr.io/a/b:1": "ghcr.io/a/b:1", "host:5000/a": "host:5000/a:latest", "docker.io/node": "docker.io/library/node:latest", "index.docker.io/node": "docker.io/library/node:latest",
		"node@" + digest: "docker.io/library/node@" + digest,
	} {
		if _, got := fullName(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestBound(t *testing.T) {
	p := aPolicy(t, "{limits: {container: {memory: 4Gi, nvidia.com/gpu: 1}}}")
	for doc, want := range map[string]string{"{}": "0 4Gi", "{requests: {memory: 1Gi}}": "1Gi 4Gi", "{limits: {memory: 2Gi}}": "0 2Gi"} {
		var r corev1.ResourceRequirements
		if err := yaml.Unmarshal([]byte(doc), &r); err != nil {
			t.Fatal(err)
		}
		if Bound(p, &r); r.Requests.Memory().String()+" "+r.Limits.Memory().String() != want {
			t.Errorf("%s: got %+v, want %s", doc, r, want)
		}
		if len(r.Limits) != 1 {
			t.Errorf("%s: a device for who asked for none: %+v", doc, r.Limits)
		}
	}
}
