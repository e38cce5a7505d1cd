package kjob

import (
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/onejob-dev/onejob/contract"
)

// ofImage is the kjob of a step with an image, from a queue's template.
func ofImage(t *testing.T, template, queue, image string) (*corev1.PodSpec, error) {
	t.Helper()
	tpl, err := Parse([]byte(template), aQueue(t, queue))
	if err != nil {
		t.Fatal(err)
	}
	k, err := New(aJob(), 1, tpl, map[string]string{"BUILDKITE_IMAGE": image})
	if err != nil {
		return nil, err
	}
	return &k.Spec.Template.Spec, nil
}

// TestCommandContainer: the image of a step gets the command's container, and nothing
// that the template gives to the runner alone.
func TestCommandContainer(t *testing.T) {
	pod, err := ofImage(t, `
spec:
  shareProcessNamespace: true
  initContainers: [{name: db, image: "postgres:16", restartPolicy: Always}]
  containers:
  - name: agent
    env: [{name: KEY, valueFrom: {secretKeyRef: {name: git, key: key}}}]
    envFrom: [{secretRef: {name: more}}]
    resources: {requests: {cpu: "2", memory: 1Gi, example.com/gpu: "1"}, limits: {memory: 4Gi, example.com/gpu: "1"}}
    volumeMounts: [{name: keys, mountPath: /keys}, {name: claim, mountPath: /cache}]
  volumes: [{name: keys, secret: {secretName: git-key}}, {name: claim, persistentVolumeClaim: {claimName: cache}}]
`, "", "node:22")
	if err != nil {
		t.Fatal(err)
	}
	if len(pod.Containers) != 2 || len(pod.InitContainers) != 1 {
		t.Fatalf("%d containers, init containers %+v", len(pod.Containers), pod.InitContainers)
	}
	if pod.ShareProcessNamespace != nil {
		t.Error("the command could see the runner's processes")
	}
	agent, command := FindAgent(pod), &pod.Containers[1]
	if command.Name != contract.CommandContainer || command.Image != "node:22" || strings.Join(command.Command, " ") != "/onejob/bin/onejob-step run" {
		t.Errorf("%s runs %v in %s", command.Name, command.Command, command.Image)
	}
	if l := agent.Lifecycle; &pod.Containers[0] != agent || l == nil || l.PostStart == nil || strings.Join(l.PostStart.Exec.Command, " ") != "onejob-step copy" {
		t.Errorf("what brings the programs before the command starts is %+v", l)
	}
	for _, e := range command.Env {
		if e.ValueFrom != nil || e.Name == contract.EnvToken {
			t.Errorf("the command's container has %+v", e)
		}
	}
	mounts := map[string]string{}
	for _, m := range command.VolumeMounts {
		mounts[m.MountPath] = m.Name
	}
	if len(command.EnvFrom) > 0 || len(mounts) != 5 || mounts["/builds"] == "" || mounts["/onejob"] == "" || mounts["/keys"] != "" || mounts["/cache"] != "" {
		t.Errorf("the command's container has %+v and %v", command.EnvFrom, mounts)
	}
	s := command.SecurityContext
	if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem != nil || len(s.Capabilities.Drop) != 1 {
		t.Errorf("its security context is %+v", s)
	}
	if got := env(agent, contract.EnvImage) + " " + env(agent, contract.EnvStepDir) + " " + env(command, contract.EnvStepDir); got != "node:22 /onejob /onejob" {
		t.Errorf("they are told %q", got)
	}
	if cpu, gpu := command.Resources.Requests.Cpu().String(), command.Resources.Limits["example.com/gpu"]; cpu != "2" || gpu.String() != "1" || !command.Resources.Limits.StorageEphemeral().IsZero() {
		t.Errorf("the command's resources are %+v", command.Resources)
	}
	_, twice := agent.Resources.Limits["example.com/gpu"]
	if agent.Resources.Requests.Cpu().String() != "20m" || agent.Resources.Requests.Memory().String() != "64Mi" || twice || agent.Resources.Limits.Memory().String() != "4Gi" {
		t.Errorf("the runner's resources are %+v", agent.Resources)
	}
	if err := checkAdmissible(&batchv1.Job{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: *pod}}}); err != nil {
		t.Error(err)
	}
}

// TestProgramsByInitContainer: a template that has something else done first has the
// programs brought before that.
func TestProgramsByInitContainer(t *testing.T) {
	pod, err := ofImage(t, `spec: {containers: [{name: agent, lifecycle: {postStart: {exec: {command: [mine]}}, preStop: {sleep: {seconds: 1}}}}]}`, "", "node:22")
	if err != nil {
		t.Fatal(err)
	}
	agent := FindAgent(pod)
	if len(pod.InitContainers) != 1 || pod.InitContainers[0].Name != contract.StepInit || pod.InitContainers[0].Image != agent.Image {
		t.Fatalf("the programs come from %+v", pod.InitContainers)
	}
	if c := pod.InitContainers[0]; len(c.VolumeMounts) != 1 || c.VolumeMounts[0].MountPath != contract.StepDir || env(&c, contract.EnvStepDir) != contract.StepDir {
		t.Errorf("it has %+v %+v", c.VolumeMounts, c.Env)
	}
	if agent.Lifecycle.PostStart.Exec.Command[0] != "mine" || agent.Lifecycle.PreStop == nil {
		t.Errorf("the template's own is %+v", agent.Lifecycle)
	}
}

func env(c *corev1.Container, name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// TestOneContainer: if the agent container has the step's image already, there is no second
// container; in a plain queue the runner refuses another image.
func TestOneContainer(t *testing.T) {
	for _, tt := range []struct{ name, template, queue, image, honoured string }{
		{"no image", "", "", "", "agent"},
		{"the template's own", `spec: {containers: [{name: agent, image: "registry.local/agent:v1"}]}`, "", "registry.local/agent:v1", "registry.local/agent:v1"},
		{"a template that takes it", `spec: {containers: [{name: agent, image: "{{env.BUILDKITE_IMAGE}}"}]}`, "  trusted-pipelines: true\n", "node:22", "node:22"},
		{"a plain queue", `spec: {containers: [{name: agent, image: "registry.local/agent:v1"}]}`, "  steps: plain\n", "node:22", "registry.local/agent:v1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pod, err := ofImage(t, tt.template, tt.queue, tt.image)
			if err != nil {
				t.Fatal(err)
			}
			if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 || env(&pod.Containers[0], contract.EnvStepDir) != "" {
				t.Errorf("%d containers, %d init containers", len(pod.Containers), len(pod.InitContainers))
			}
			if got := env(&pod.Containers[0], contract.EnvImage); !strings.Contains(got, tt.honoured) {
				t.Errorf("the runner honours %q, want %q", got, tt.honoured)
			}
		})
	}
}

// TestCommandContainerIsRestricted: a namespace with the strictest level of Pod Security
// takes the shipped pod of a step with an image.
func TestCommandContainerIsRestricted(t *testing.T) {
	pod, err := ofImage(t, "", "", "node:22")
	if err != nil {
		t.Fatal(err)
	}
	all, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &metav1.ObjectMeta{}, pod) {
		if !r.Allowed {
			t.Errorf("%s: %s", r.ForbiddenReason, r.ForbiddenDetail)
		}
	}
}

// TestRequestsCountOnce: the pod of a step with an image requests the template's resources
// and the runner's small share, in whichever form the template has them.
func TestRequestsCountOnce(t *testing.T) {
	for resources, want := range map[string]string{
		"{requests: {cpu: '2', memory: 1Gi}}":               "2020m 1088Mi",
		"{requests: null, limits: {cpu: '2', memory: 1Gi}}": "2020m 1088Mi", // a limit is a request, to Kubernetes
		"{requests: {cpu: 5m, memory: 16Mi}}":               "10m 32Mi",
	} {
		pod, err := ofImage(t, "spec: {containers: [{name: agent, resources: "+resources+"}]}", "", "node:22")
		if err != nil {
			t.Fatal(err)
		}
		var cpu, memory resource.Quantity
		for _, c := range pod.Containers {
			for name, sum := range map[corev1.ResourceName]*resource.Quantity{corev1.ResourceCPU: &cpu, corev1.ResourceMemory: &memory} {
				amount, ok := c.Resources.Requests[name]
				if !ok {
					amount = c.Resources.Limits[name]
				}
				sum.Add(amount)
			}
		}
		if got := cpu.String() + " " + memory.String(); got != want {
			t.Errorf("%s: the pod asks for %s, want %s", resources, got, want)
		}
	}
}

// TestNoImagesName: a step's image: that isn't an image name is an error of New, which ends
// the job before there is a pod.
func TestNoImagesName(t *testing.T) {
	for _, image := range []string{"node:22 --privileged", " node:22", "node\n22", "no\x00de", "docker://node:22", "$(BUILDKITE_BRANCH)", "Node:22", "node:22@", "../x", strings.Repeat("x", 513)} {
		if _, err := ofImage(t, "", "", image); err == nil || len(err.Error()) > 200 || !strings.Contains(err.Error(), "the step's image: ") {
			t.Errorf("%.20q: %v", image, err)
		}
	}
}

// TestPathsOfVariables: a folder whose path has a variable is the same for the command. If
// the command may not have the variable, it doesn't get the folder.
func TestPathsOfVariables(t *testing.T) {
	const template = `
spec:
  containers:
  - name: agent
    env:
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: WORD, value: w}
    - {name: KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}
    volumeMounts: [{name: e, mountPath: /w, subPathExpr: $(POD)/$(WORD)}, {name: e, mountPath: /s, subPathExpr: $(KEY)}]
  volumes: [{name: e, emptyDir: {}}]
`
	pod, err := ofImage(t, template, "", "node:22")
	if err != nil {
		t.Fatal(err)
	}
	c := pod.Containers[1]
	var paths []string
	for _, m := range c.VolumeMounts {
		paths = append(paths, m.MountPath)
	}
	names := map[string]bool{}
	for _, e := range c.Env {
		names[e.Name] = true
	}
	if !slices.Contains(paths, "/w") || slices.Contains(paths, "/s") || !names["POD"] || !names["WORD"] || names["KEY"] {
		t.Errorf("mounts %v, variables %v", paths, names)
	}
}

// TestEnvOfAttempt: the next attempt that a person makes, without a token, has the pod of the
// attempt before it.
func TestEnvOfAttempt(t *testing.T) {
	tpl := aTemplate(t, "")
	for _, image := range []string{"", "node:22"} {
		k, err := New(aJob(), 1, tpl, map[string]string{"BUILDKITE_IMAGE": image})
		if err != nil {
			t.Fatal(err)
		}
		if got := EnvOf(k)["BUILDKITE_IMAGE"]; got != image {
			t.Errorf("%q, want %q", got, image)
		}
	}
	if EnvOf(nil) != nil {
		t.Error("no attempt has an environment")
	}
}
