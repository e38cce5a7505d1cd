package kjob

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A placeholder has the template's image, requests and place. It has nothing that needs a
// job, or that delays its preemption by a job's pod.
func TestNewWarm(t *testing.T) {
	doc := `
spec:
  activeDeadlineSeconds: 600
  template:
    metadata: {labels: {team: ci}}
    spec:
      terminationGracePeriodSeconds: 120
      priorityClassName: urgent
      nodeSelector: {pool: ci}
      initContainers: [{name: helper, image: helper, restartPolicy: Always}]
      containers: [{name: agent, image: 'runner:1', env: [{name: A, value: b}], resources: {requests: {cpu: "2"}}}]
`
	of := func(doc string) (string, string) {
		k := NewPlaceholder(aTemplate(t, "apiVersion: batch/v1\nkind: Job\n"+doc), 2)
		return k.Name, k.Annotations[AnnotationPlaceholder]
	}
	k := NewPlaceholder(aTemplate(t, "apiVersion: batch/v1\nkind: Job\n"+doc), 2)
	pod := k.Spec.Template.Spec
	agent := FindAgent(&pod)
	got := []any{
		k.Name, IDOf(k.Labels).String(), *k.Spec.BackoffLimit, *k.Spec.TTLSecondsAfterFinished, *pod.TerminationGracePeriodSeconds, pod.PriorityClassName,
		pod.NodeSelector["pool"], agent.Image, agent.Resources.Requests.Cpu().String(), agent.Command, agent.Args, len(agent.Env) + len(pod.InitContainers) + len(pod.Volumes),
	}
	want := []any{
		"onejob-warm-default-2", "", int32(0), int32(0), int64(0), "onejob-warm",
		"ci", "runner:1", "2", []string{"sleep"}, []string{"600"}, 0,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("a placeholder (-want +got):\n%s", d)
	}
	_, same := of(doc)
	_, other := of(doc + "      tolerations: [{key: gpu}]\n")
	if sum := k.Annotations[AnnotationPlaceholder]; sum == "" || same != sum || other == sum {
		t.Errorf("the hash of its spec is %q, %q again, %q of another", sum, same, other)
	}
}

// Two queues don't share a placeholder's name, and the name is valid for a Job.
func TestWarmNames(t *testing.T) {
	long := "a-queue-with-a-name-that-is-longer-than-forty-characters"
	seen := map[string]string{}
	for _, queue := range []string{"linux", "Linux", "linux-1", "a.b", "a_b", "a-b", long + "-1", long + "-2", "ä/ö"} {
		name := PlaceholderName(queue, "", MaxWarm)
		if other := seen[name]; other != "" || len(name) > 63 {
			t.Errorf("%s is %s, as is %q", queue, name, other)
		}
		seen[name] = queue
	}
	if got := PlaceholderName("linux", "", 3); got != "onejob-warm-linux-3" {
		t.Errorf("linux is %s", got)
	}
}
