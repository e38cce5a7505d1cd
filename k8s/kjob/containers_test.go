package kjob

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// TestSeveralCommands: each container with a command is one of the job's, by its number and
// its name, and a runner that would run the first alone refuses the pod.
func TestSeveralCommands(t *testing.T) {
	k, err := ofPluginStep(t, "spec: {containers: [{name: agent, resources: {limits: {nvidia.com/gpu: '1'}}}]}", "", "", `
podSpec:
  containers:
  - {name: lint, image: "node:22", command: [npm run lint], env: [{name: WORD, value: a}]}
  - {image: "golang:1", resources: {requests: {cpu: 10m}}}
podSpecPatch: {containers: [{name: container-1, image: "golang:2", command: [go test]}]}
`)
	if err != nil {
		t.Fatal(err)
	}
	pod := &k.Spec.Template.Spec
	agent := FindAgent(pod)
	var got []string
	for _, c := range pod.Containers[1:] {
		gpu := c.Resources.Limits["nvidia.com/gpu"]
		got = append(got, fmt.Sprintf("%s %s %q %s gpu=%s cpu=%s", c.Name, c.Image, env(&c, "BUILDKITE_COMMAND"), strings.Join(c.Command, " "), gpu.String(), c.Resources.Requests.Cpu()))
		if s := c.SecurityContext; s == nil || *s.AllowPrivilegeEscalation || env(&c, contract.EnvStepDir) != contract.StepDir {
			t.Errorf("%s: %+v", c.Name, c)
		}
	}
	want := []string{
		`command-lint node:22 "npm run lint" /onejob/bin/onejob-step run gpu=1 cpu=250m`,
		`command-container-1 golang:2 "go test" /onejob/bin/onejob-step run 1 gpu=0 cpu=10m`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := env(agent, contract.EnvCommands); got != "lint=node:22 container-1=golang:2" {
		t.Errorf("the runner is told %q", got)
	}
	if got := env(agent, contract.EnvContractVersion); got != fmt.Sprint(contract.VersionPlugin) {
		t.Errorf("the pod has version %s of the contract", got)
	}
	k, err = ofPluginStep(t, "", "", "", "{podSpec: {containers: [{name: lint, image: x}]}}")
	if err != nil {
		t.Fatal(err)
	}
	pod = &k.Spec.Template.Spec
	if got := pod.Containers[1].Name + env(FindAgent(pod), contract.EnvCommands) + env(FindAgent(pod), contract.EnvContractVersion); got != "command1" {
		t.Errorf("one container: got %s", got)
	}
}

// TestContainersByPatch: what a patch adds runs beside the job, with the rights of the
// queue's own containers, and nothing of the runner's.
func TestContainersByPatch(t *testing.T) {
	k, err := ofPluginStep(t, `
spec:
  containers: [{name: agent, env: [{name: KEY, valueFrom: {secretKeyRef: {name: git, key: key}}}]}]`, "", "", `
podSpecPatch:
  initContainers:
  - {name: setup, image: "setup:1", command: [a]}
  - {name: db, image: "postgres:17", restartPolicy: Always}
  containers:
  - {name: proxy, image: "envoy:1", command: [envoy], args: [-c, x]}
sidecars: [{name: cache, image: "redis:7"}]
`)
	if err != nil {
		t.Fatal(err)
	}
	pod := &k.Spec.Template.Spec
	names := func(cs []corev1.Container) (out []string) {
		for _, c := range cs {
			out = append(out, c.Name)
		}
		return out
	}
	if got := names(pod.Containers); !slices.Equal(got, []string{"agent", "command", "proxy"}) {
		t.Errorf("containers %v", got)
	}
	inits := names(pod.InitContainers)
	if !slices.Contains(inits, "setup") || !slices.Contains(inits, "db") || inits[len(inits)-1] != "cache" {
		t.Errorf("init containers %v", inits)
	}
	proxy := pod.Containers[2]
	if got := strings.Join(slices.Concat(proxy.Command, proxy.Args), " "); got != "envoy -c x" {
		t.Errorf("it runs %q", got)
	}
	for _, c := range append(slices.Clone(pod.InitContainers), proxy) {
		s := c.SecurityContext
		if s == nil || *s.AllowPrivilegeEscalation || c.Resources.Limits.Memory().String() != "2Gi" {
			t.Errorf("%s has %+v and %v", c.Name, s, c.Resources)
		}
		for _, m := range c.VolumeMounts {
			t.Errorf("%s mounts %s", c.Name, m.Name)
		}
		for _, e := range c.Env {
			t.Errorf("%s has %s", c.Name, e.Name)
		}
	}
	if got := env(FindAgent(pod), contract.EnvContractVersion); got != "1" {
		t.Errorf("the pod has version %s of the contract", got)
	}
}

// TestCheckoutEnv: the variables of the checkout are files in the runner's container, and
// none of them in its environment; the command and the sidecars have gitEnvFrom as theirs.
func TestCheckoutEnv(t *testing.T) {
	k, err := ofPluginStep(t, "", "policy: {secrets: [git, key]}", "", `
gitEnvFrom: [{secretRef: {name: git, optional: true}}]
checkout: {envFrom: [{prefix: GIT_, secretRef: {name: key}}, {configMapRef: {name: settings}}]}
sidecars: [{name: db, image: "postgres:17"}]
`)
	if err != nil {
		t.Fatal(err)
	}
	pod := &k.Spec.Template.Spec
	agent := FindAgent(pod)
	if got, want := env(agent, contract.EnvCheckoutEnv), "GIT_=/buildkite/checkout-env/0 =/buildkite/checkout-env/1 =/buildkite/checkout-env/2"; got != want {
		t.Errorf("the runner is told %q, want %q", got, want)
	}
	if got := env(agent, contract.EnvContractVersion); got != fmt.Sprint(contract.VersionPlugin) {
		t.Errorf("the pod has version %s of the contract", got)
	}
	if len(agent.EnvFrom) > 0 {
		t.Errorf("the runner's environment is %+v", agent.EnvFrom)
	}
	var got []string
	for _, m := range agent.VolumeMounts {
		i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		switch v := pod.Volumes[i]; {
		case v.Secret != nil:
			got = append(got, fmt.Sprintf("%s %s %v %v", m.MountPath, v.Secret.SecretName, m.ReadOnly, v.Secret.Optional != nil && *v.Secret.Optional))
		case v.ConfigMap != nil:
			got = append(got, fmt.Sprintf("%s %s %v", m.MountPath, v.ConfigMap.Name, m.ReadOnly))
		}
	}
	want := []string{"/buildkite/checkout-env/0 key true false", "/buildkite/checkout-env/1 settings true", "/buildkite/checkout-env/2 git true true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	i := slices.IndexFunc(agent.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == contract.CheckoutKeysDir })
	if i < 0 {
		t.Error("the runner has no folder for keys")
	} else if v := pod.Volumes[slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == agent.VolumeMounts[i].Name })]; v.EmptyDir == nil || v.EmptyDir.Medium != corev1.StorageMediumMemory {
		t.Errorf("the folder for keys is %+v, and not in memory", v)
	}
	for _, c := range []corev1.Container{pod.Containers[1], pod.InitContainers[0]} {
		if len(c.EnvFrom) != 1 || c.EnvFrom[0].SecretRef.Name != "git" {
			t.Errorf("%s has %+v", c.Name, c.EnvFrom)
		}
		for _, m := range c.VolumeMounts {
			if strings.HasPrefix(m.MountPath, "/buildkite") {
				t.Errorf("%s mounts %s", c.Name, m.MountPath)
			}
		}
	}
}

// TestTooEarly: where the agents check a job before they run anything of it, the kubelet
// starts nothing of it before.
func TestTooEarly(t *testing.T) {
	template := func(env string) string { return "spec: {containers: [{name: agent, env: [" + env + "]}]}" }
	const (
		inits  = "{podSpec: {containers: [{image: x}], initContainers: [{name: setup, image: x}]}}"
		plain  = "{podSpec: {containers: [{image: x, command: [scripts/a]}, {image: x, livenessProbe: {httpGet: {port: 80}}}]}}"
		verify = "{name: BUILDKITE_AGENT_VERIFICATION_JWKS_FILE, value: /keys/a.json}"
		noEval = "{name: BUILDKITE_NO_COMMAND_EVAL, value: 'true'}"
	)
	for _, tt := range []struct{ name, env, plugin, want string }{
		{"an init container", noEval, inits, "initContainers[setup]: the agents of this queue check a job before they run anything of it (BUILDKITE_NO_COMMAND_EVAL in the queue's template), and this container would run before that: take it out, or put it into the queue's template"},
		{"where signatures are verified", verify, inits, "initContainers[setup]: the agents of this queue check a job before they run anything of it (BUILDKITE_AGENT_VERIFICATION_JWKS_FILE in"},
		{"both", noEval + ", " + verify, inits, "(BUILDKITE_NO_COMMAND_EVAL, BUILDKITE_AGENT_VERIFICATION_JWKS_FILE in"},
		{"whose value is elsewhere", "{name: BUILDKITE_NO_COMMAND_EVAL, valueFrom: {configMapKeyRef: {name: a, key: b}}}", inits, "initContainers[setup]: "},
		{"a sidecar", noEval, "{sidecars: [{name: db, image: x}]}", "sidecars[db]: "},
		{"an init container by patch", noEval, "{podSpecPatch: {initContainers: [{name: i, image: x}]}}", "initContainers[i]: "},
		{"a container by patch", noEval, "{podSpecPatch: {containers: [{name: more, image: x}]}}", "containers[more]: "},
		{"a hook of the kubelet's", verify, "{podSpec: {containers: [{image: x, lifecycle: {postStart: {exec: {command: [a]}}}}]}}", "containers[container-0].lifecycle.postStart: "},
		{"a probe", verify, "{podSpec: {containers: [{image: x, startupProbe: {exec: {command: [a]}}}]}}", "containers[container-0].startupProbe: "},
		{"what waits for the runner", noEval + ", " + verify, plain, ""},
		{"only a warning", verify + ", {name: BUILDKITE_AGENT_JOB_VERIFICATION_NO_SIGNATURE_BEHAVIOR, value: warn}", inits, ""},
		{"turned off", "{name: BUILDKITE_NO_COMMAND_EVAL, value: 'false'}", inits, ""},
		{"nothing is checked", "", inits, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ofPluginStep(t, template(tt.env), "", "", tt.plugin)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestMetadataOfStep: a step's keys, as far as the policy lets it have them, are over the
// template's, and never over ours.
func TestMetadataOfStep(t *testing.T) {
	const evict = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	k, err := ofPluginStep(t, "{metadata: {annotations: {team: queue, cost: queue}}, spec: {}}", "policy: {metadata: ['**']}", "", `
podSpec: {containers: [{image: x}]}
metadata: {labels: {app.kubernetes.io/name: web, team: step}, annotations: {`+evict+`: "true", team: step}}`)
	if err != nil {
		t.Fatal(err)
	}
	pod := k.Spec.Template
	got := []string{pod.Labels["app.kubernetes.io/name"], k.Labels["app.kubernetes.io/name"], pod.Labels["team"], pod.Annotations[evict], pod.Annotations["team"], pod.Annotations["cost"]}
	if want := []string{"onejob-agent", "onejob-agent", "step", "true", "step", "queue"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	k, err = ofPluginStep(t, "", "", "", "{podSpec: {containers: [{image: x}]}}")
	if err != nil || k.Spec.Template.Annotations[evict] != "false" {
		t.Errorf("by default an autoscaler may evict it: %v", err)
	}
}
