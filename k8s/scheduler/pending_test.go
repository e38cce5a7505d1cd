package scheduler

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// What is on its way to its start is counted where it is, as long as it is there, and
// the gauges go back to nothing.
func TestPendingGauges(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		var n atomic.Int32
		w.runs = func(w *world, p *pod) {
			switch n.Add(1) {
			case 1:
				p.set(func(o *corev1.Pod) {
					o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "no node has room"}}
				})
			case 2:
				p.set(func(o *corev1.Pod) {
					o.Spec.NodeName = "node-1"
					o.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: contract.AgentContainer, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}}}
				})
			case 3:
				p.set(func(o *corev1.Pod) { o.Spec.NodeName = "node-1" })
			}
			if w.sleep(5*time.Minute, p.kill) {
				ran(w, p)
			}
		}
		w.build(3)
		r := w.start("  image-grace: 10m\n")
		time.Sleep(4 * time.Minute)
		want := map[string]float64{
			"reserved default not_created": 0, "created default suspended": 0, "created default no_pod": 0, "created default pending": 1,
			"scheduled default image": 1, "scheduled default container": 0, "scheduled default pending": 1,
		}
		counted := func() map[string]float64 { return r.metric("onejob_jobs_pending") }
		if d := cmp.Diff(want, counted()); d != "" {
			t.Errorf("while they pend (-want +got):\n%s", d)
		}
		for at, v := range r.metric("onejob_jobs_pending_oldest_seconds") {
			if waits := counted()[at] > 0; waits != (v > 230 && v < 245) || !waits && v != 0 {
				t.Errorf("%s: the oldest is %v s old", at, v)
			}
		}
		w.await("finished", 5*time.Minute, w.finished(3))
		time.Sleep(5 * time.Second)
		for at, v := range counted() {
			if v != 0 {
				t.Errorf("%s: %v when all is over", at, v)
			}
		}
		r.end(w)
	})
}

// A job whose kjob the API server doesn't take yet pends, too.
func TestPendingWithoutAKjob(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.onCreate = func(*batchv1.Job) (before, after error) {
			return apierrors.NewForbidden(batchv1.Resource("jobs"), "a", nil), nil // as a quota's
		}
		w.build(1)
		r := w.start("")
		time.Sleep(2 * time.Minute)
		if got := r.metric("onejob_jobs_pending")["reserved default not_created"]; got != 1 {
			t.Errorf("%v pend, want 1", got)
		}
		if got := r.metric("onejob_jobs_pending_oldest_seconds")["reserved default not_created"]; got < 60 {
			t.Errorf("for %v s", got)
		}
		r.end(w)
	})
}

// The gauges of placeholders tell how many should run, and how many do.
func TestPlaceholderGauges(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r, _ := w.configured("- {name: default, min-agents: 2}\n")
		time.Sleep(time.Minute)
		if d := cmp.Diff(map[string]float64{"wanted default": 2, "running default": 0}, r.metric("onejob_placeholders")); d != "" {
			t.Errorf("without pods (-want +got):\n%s", d)
		}
		list, err := w.kube.BatchV1().Jobs(namespace).List(w.ctx, metav1.ListOptions{})
		if err != nil || len(list.Items) != 2 {
			t.Fatalf("%d placeholders, %v", len(list.Items), err)
		}
		k := list.Items[0]
		running := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: k.Name + "-x", Namespace: namespace, Labels: k.Spec.Template.Labels, UID: "p"},
			Spec:       corev1.PodSpec{NodeName: "node-1"},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
				Name: contract.AgentContainer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
			}}},
		}
		if err := w.kube.Tracker().Create(podsGVR, running, namespace); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if d := cmp.Diff(map[string]float64{"wanted default": 2, "running default": 1}, r.metric("onejob_placeholders")); d != "" {
			t.Errorf("with one pod (-want +got):\n%s", d)
		}
		r.end(w)
	})
}

// A pod that takes its time to leave isn't held: only the setting has one stay.
func TestPodsThatLeaveAreNotHeld(t *testing.T) {
	for set, want := range map[string]float64{"": 0, "  hold: 10m\n": 1} {
		inWorld(t, simulator.Config{}, func(w *world) {
			w.runs = func(w *world, p *pod) {
				p.start()
				a, err := w.acquire(p.id)
				if err != nil {
					w.Error(err)
					return
				}
				a.finish(1)
				w.sleep(3*time.Minute, p.kill)
				one := 1
				p.end(0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &one})
			}
			r := w.start(set)
			w.build(1)
			time.Sleep(time.Minute + 30*time.Second)
			if got := r.metric("onejob_jobs_held")["default"]; got != want {
				t.Errorf("with %q %v jobs are held, want %v", set, got, want)
			}
			r.end(w)
		})
	}
}
