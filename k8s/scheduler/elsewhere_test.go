package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// An attempt after those that failed for their nodes would rather have another,
// beside what the template wants, though the first kjob is gone and the scheduler
// another one by then.
func TestTriedElsewhere(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			fails := func(o contract.Outcome) {
				p.start()
				p.set(func(o *corev1.Pod) { o.Spec.NodeName = fmt.Sprint("bad-", p.attempt) })
				p.end(o.ExitCode(), "Error", &contract.Message{Outcome: o, Reason: "because"})
			}
			switch p.attempt {
			case 1:
				fails(contract.OutcomeUntrusted)
			case 2:
				fails(contract.OutcomeUnready)
			case 3:
				fails(contract.OutcomeExhausted)
			default:
				ran(w, p)
			}
		}
		id := w.build(1)[0].ID
		const config = "  template: {inline: {spec: {affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: [{key: disk, operator: In, values: [ssd]}]}}]}}}}}\n"
		r := w.start(config)
		w.await("a second kjob", time.Minute, func() bool { return w.kjobs(id) == 2 })
		r.end(w)
		_ = w.kube.Tracker().Delete(jobsGVR, namespace, "onejob-"+id)
		r = w.start(config)
		w.await("passed", 5*time.Minute, w.finished(1))
		isnt := func(node string) corev1.NodeSelectorRequirement {
			return corev1.NodeSelectorRequirement{Key: "metadata.name", Operator: corev1.NodeSelectorOpNotIn, Values: []string{node}}
		}
		templates := corev1.PreferredSchedulingTerm{Weight: 1, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "disk", Operator: corev1.NodeSelectorOpIn, Values: []string{"ssd"}}}}}
		elsewhere := func(fields ...corev1.NodeSelectorRequirement) *corev1.Affinity {
			return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
				templates, {Weight: 100, Preference: corev1.NodeSelectorTerm{MatchFields: fields}},
			}}}
		}
		for attempt, want := range map[int]*corev1.Affinity{
			2: elsewhere(isnt("bad-1")), 3: elsewhere(isnt("bad-1"), isnt("bad-2")), 4: elsewhere(isnt("bad-1"), isnt("bad-2")),
		} {
			k, err := w.kube.BatchV1().Jobs(namespace).Get(w.ctx, contract.KjobName(contract.JobID(id), attempt), metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, k.Spec.Template.Spec.Affinity); diff != "" {
				t.Errorf("attempt %d (-want +got):\n%s", attempt, diff)
			}
		}
		if got := w.job(id).ExitStatus; got != "0" {
			t.Errorf("it ended with %q", got)
		}
		r.end(w)
	})
}

// A pod of which the node can't start a container has a successor that would rather have
// another node; the page says what the first one lacked.
func TestNodeCantStartAContainer(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			if p.attempt > 1 {
				ran(w, p)
				return
			}
			p.set(func(o *corev1.Pod) {
				o.Spec.NodeName = "old"
				o.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: contract.AgentContainer, Image: "a:b", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerError", Message: "no such thing here"}}}}
			})
			w.sleep(time.Hour, p.kill)
		}
		id := w.build(1)[0].ID
		r := w.start("")
		w.await("finished", 3*time.Minute, w.finished(1))
		k, err := w.kube.BatchV1().Jobs(namespace).Get(w.ctx, contract.KjobName(contract.JobID(id), 2), metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Annotations[contract.AnnotationNodeFaults]; got != "old=start" || k.Spec.Template.Spec.Affinity == nil {
			t.Errorf("node faults are %q, affinity %v; want it to avoid old", got, k.Spec.Template.Spec.Affinity)
		}
		if page := strings.Join(w.page(id), "\n"); w.job(id).ExitStatus != "0" || w.kjobs(id) != 2 || !strings.Contains(page, "no such thing here") {
			t.Errorf("exit status %q with %d kjobs; the page:\n%s", w.job(id).ExitStatus, w.kjobs(id), page)
		}
		r.end(w)
	})
}
