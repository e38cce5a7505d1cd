package kjob

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/onejob-dev/onejob/k8s/config"
)

// A trial pulls each image once, where the template's pods would, runs nothing of them,
// and is nobody's job; a namespace that takes the pods takes the trial.
func TestTrial(t *testing.T) {
	c, err := config.Parse([]byte(`
queues:
- name: default
  trusted-pipelines: true
  template: {inline: {apiVersion: batch/v1, kind: Job, metadata: {labels: {kueue.x-k8s.io/queue-name: ci}}, spec: {template: {spec: {nodeSelector: {pool: ci}, imagePullSecrets: [{name: pull}],
    initContainers: [{name: first, image: same}, {name: tool, image: "tool:{{env.TOOL}}"}, {name: other, image: other, args: [x], restartPolicy: Always}], containers: [{name: agent, image: same}]}}}}}
`), "builds")
	if err != nil {
		t.Fatal(err)
	}
	template, err := Load(t.Context(), nil, c.Queues[0])
	if err != nil {
		t.Fatal(err)
	}
	trial, unknown, err := Trial(template, "onejob-doctor-x")
	if err != nil {
		t.Fatal(err)
	}
	pod := trial.Spec.Template.Spec
	var images []string
	for _, c := range pod.Containers {
		images = append(images, c.Image)
		if len(c.Args) > 0 || len(c.Env) > 0 || len(c.VolumeMounts) > 0 || c.Command[0] != "/onejob-doctor-runs-nothing" {
			t.Errorf("container %s runs something: %+v", c.Name, c)
		}
	}
	if strings.Join(images, " ") != "same other" || strings.Join(unknown, " ") != "tool" {
		t.Errorf("images %v, unknown %v", images, unknown)
	}
	if pod.NodeSelector["pool"] != "ci" || pod.ImagePullSecrets[0].Name != "pull" || pod.RestartPolicy != corev1.RestartPolicyNever || len(pod.Volumes) > 0 {
		t.Errorf("pod: %+v", pod)
	}
	for _, labels := range []map[string]string{trial.Labels, trial.Spec.Template.Labels} {
		for key := range labels {
			if strings.HasPrefix(key, "onejob.dev/") {
				t.Errorf("it has the label %s of a job", key)
			}
		}
	}
	if trial.Labels["kueue.x-k8s.io/queue-name"] != "ci" || *trial.Spec.TTLSecondsAfterFinished == 0 || *trial.Spec.ActiveDeadlineSeconds == 0 {
		t.Errorf("labels %v, spec %+v", trial.Labels, trial.Spec)
	}

	plain, err := Load(t.Context(), nil, config.Queue{Name: "default", Namespace: "builds"})
	if err != nil {
		t.Fatal(err)
	}
	if trial, _, err = Trial(plain, "x"); err != nil {
		t.Fatal(err)
	}
	all, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &trial.Spec.Template.ObjectMeta, &trial.Spec.Template.Spec) {
		if !r.Allowed {
			t.Errorf("a restricted namespace refuses the trial: %s %s", r.ForbiddenReason, r.ForbiddenDetail)
		}
	}
}
