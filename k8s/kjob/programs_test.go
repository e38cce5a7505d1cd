package kjob

import (
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/onejob-dev/onejob/contract"
)

// TestProgramsByImageVolume: the command has onejob's programs of the agent's image, as that
// is pulled, and nothing else of it; nobody copies, and the runner is told so.
func TestProgramsByImageVolume(t *testing.T) {
	const template = `spec: {containers: [{name: agent, image: "reg/agent:v1", imagePullPolicy: Always, lifecycle: {postStart: {exec: {command: [mine]}}}}]}`
	pod, err := ofImage(t, template, "  programs: image-volume", "node:22")
	if err != nil {
		t.Fatal(err)
	}
	agent, command := FindAgent(pod), &pod.Containers[1]
	v := pod.Volumes[len(pod.Volumes)-1]
	if v.Name != "onejob-programs" || v.Image == nil || v.Image.Reference != "reg/agent:v1" || v.Image.PullPolicy != corev1.PullAlways {
		t.Errorf("the volume is %+v", v)
	}
	m := command.VolumeMounts[len(command.VolumeMounts)-1]
	if m.Name != v.Name || m.MountPath != "/onejob/bin" || m.SubPath != "usr/local/bin" || !m.ReadOnly {
		t.Errorf("the mount is %+v", m)
	}
	for _, m := range agent.VolumeMounts {
		if m.Name == v.Name {
			t.Errorf("the runner has %+v", m)
		}
	}
	if len(pod.InitContainers) != 0 || agent.Lifecycle.PostStart.Exec.Command[0] != "mine" {
		t.Errorf("something copies: %+v, %+v", pod.InitContainers, agent.Lifecycle)
	}
	if env(agent, contract.EnvStepPrograms) != "image-volume" || env(agent, contract.EnvContractVersion) != "3" || env(command, contract.EnvStepPrograms) != "" {
		t.Errorf("they are told %+v and %+v", agent.Env, command.Env)
	}
	if err := checkAdmissible(&batchv1.Job{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: *pod}}}); err != nil {
		t.Error(err)
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &metav1.ObjectMeta{}, pod) {
		if !r.Allowed {
			t.Errorf("restricted refuses it: %s: %s", r.ForbiddenReason, r.ForbiddenDetail)
		}
	}
	alone, err := ofImage(t, template, "  programs: image-volume", "")
	if err != nil || len(alone.Containers) != 1 || env(FindAgent(alone), contract.EnvContractVersion) != "1" {
		t.Errorf("a pod with one container: %+v, %v", alone, err)
	}
}

// TestStepsVolumeOfPrograms: a step can't have a volume of that name, nor mount the queue's,
// nor put anything in its place.
func TestStepsVolumeOfPrograms(t *testing.T) {
	tpl, err := Parse(nil, aQueue(t, "  programs: image-volume\n  steps: pod\n  policy: {volumes: [image, emptyDir]}"))
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []struct{ name, plugin string }{
		{"a volume of that name", `{"podSpec":{"containers":[{"image":"x"}],"volumes":[{"name":"onejob-programs","emptyDir":{}}]}}`},
		{"the queue's, in a sidecar", `{"sidecars":[{"image":"x","volumeMounts":[{"name":"onejob-programs","mountPath":"/p"}]}]}`},
		{"something in its place", `{"podSpec":{"containers":[{"image":"x","volumeMounts":[{"name":"v","mountPath":"/onejob/bin"}]}],"volumes":[{"name":"v","emptyDir":{}}]}}`},
	} {
		if k, err := New(aJob(), 1, tpl, map[string]string{"BUILDKITE_PLUGINS": `[{"kubernetes":` + of.plugin + `}]`}); err == nil {
			t.Errorf("%s: %+v", of.name, k.Spec.Template.Spec)
		}
	}
	k, err := New(aJob(), 1, tpl, map[string]string{"BUILDKITE_PLUGINS": `[{"kubernetes":{"podSpec":{"containers":[{"name":"a","image":"x"},{"name":"b","image":"y"}]}}}]`})
	if err != nil {
		t.Fatal(err)
	}
	spec := &k.Spec.Template.Spec
	for _, c := range spec.Containers {
		n := 0
		for _, m := range c.VolumeMounts {
			if m.Name == contract.StepPrograms {
				n++
			}
		}
		if want := contract.IsCommand(c.Name); (n == 1) != want {
			t.Errorf("%s mounts the programs %d times", c.Name, n)
		}
	}
	if got := env(FindAgent(spec), contract.EnvContractVersion); got != "3" {
		t.Errorf("the contract is of version %s", got)
	}
}
