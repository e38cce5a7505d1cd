package k8s

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/simulator"
)

func TestWarmWanted(t *testing.T) {
	for _, tt := range []struct {
		name, queue string
		unfinished  int
		want        int
	}{
		{"none", "", 5, 0},
		{"a floor", "  min-agents: 3\n", 0, 3},
		{"a floor that kjobs fill", "  min-agents: 3\n", 2, 1},
		{"a floor that is full", "  min-agents: 3\n", 5, 0},
		{"a number", "  buffer: 4\n", 9, 4},
		{"a share, rounded up", "  buffer: 10%\n", 21, 3},
		{"a share of nothing", "  buffer: 10%\n", 0, 0},
		{"the larger of both", "  min-agents: 10\n  buffer: 4\n", 8, 4},
		{"the other one", "  min-agents: 10\n  buffer: 4\n", 1, 9},
		{"no more than that", "  min-agents: 5000\n", 0, maxWarm},
	} {
		if got := warmWanted(aQueue(t, tt.queue), tt.unfinished); got != tt.want {
			t.Errorf("%s: %d placeholders beside %d, want %d", tt.name, got, tt.unfinished, tt.want)
		}
	}
}

// A placeholder has the template's image, requests and place, and nothing that
// keeps a node from the job's pod, or that needs a job.
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
		k := newWarm(aTemplate(t, "apiVersion: batch/v1\nkind: Job\n"+doc), 2)
		return k.Name, k.Annotations[annotationWarm]
	}
	k := newWarm(aTemplate(t, "apiVersion: batch/v1\nkind: Job\n"+doc), 2)
	pod := k.Spec.Template.Spec
	agent := findAgent(&pod)
	got := []any{
		k.Name, jobIDOf(k.Labels).String(), *k.Spec.BackoffLimit, *k.Spec.TTLSecondsAfterFinished, *pod.TerminationGracePeriodSeconds, pod.PriorityClassName,
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
	if sum := k.Annotations[annotationWarm]; sum == "" || same != sum || other == sum {
		t.Errorf("the hash of its spec is %q, %q again, %q of another", sum, same, other)
	}
}

// No two queues share a name, whatever a Job's name may hold; and it fits.
func TestWarmNames(t *testing.T) {
	long := "a-queue-with-a-name-that-is-longer-than-forty-characters"
	seen := map[string]string{}
	for _, queue := range []string{"linux", "Linux", "linux-1", "a.b", "a_b", "a-b", long + "-1", long + "-2", "ä/ö"} {
		name := warmName(queue, maxWarm)
		if other := seen[name]; other != "" || len(name) > 63 {
			t.Errorf("%s is %s, as is %q", queue, name, other)
		}
		seen[name] = queue
	}
	if got := warmName("linux", 3); got != "onejob-warm-linux-3" {
		t.Errorf("linux is %s", got)
	}
}

// Placeholders follow the template, and go while the queue is refused.
func TestWarmFollows(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		const queue = "- {name: default, min-agents: 3, template: {inline: {spec: {containers: [{name: agent, image: 'runner:"
		images := func() map[string]int {
			list, err := w.kube.BatchV1().Jobs(namespace).List(w.ctx, metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			n := map[string]int{}
			for _, k := range list.Items {
				n[findAgent(&k.Spec.Template.Spec).Image]++
			}
			return n
		}
		want := func(what string, want map[string]int) {
			t.Helper()
			time.Sleep(time.Minute)
			if d := cmp.Diff(want, images()); d != "" {
				t.Errorf("%s (-want +got):\n%s", what, d)
			}
		}
		r, set := w.configured(queue + "1'}]}}}}\n")
		want("at first", map[string]int{"runner:1": 3})
		deletes := w.writes["delete jobs"]
		set(queue + "2'}]}}}}\n")
		want("another template", map[string]int{"runner:2": 3})
		if n := w.writes["delete jobs"] - deletes; n != 3 {
			t.Errorf("%d were deleted for it, want 3", n)
		}
		w.sim.RotateAgentToken("another")
		want("refused", map[string]int{})
		r.end(w)
	})
}
