package scheduler

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/simulator"
)

// initFails is a pod whose init container ends so; its agent container never runs.
func initFails(p *pod, node, name string, code int32, message string) {
	p.set(func(o *corev1.Pod) {
		o.Spec.NodeName, o.Status.Phase = node, corev1.PodFailed
		o.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: name, State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error", Message: message, FinishedAt: metav1.Now()},
		}}}
		o.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "agent", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}}}
	})
	p.setKjob(func(k *batchv1.Job) { k.Annotations["test/lost"] = "yes" })
	if p.w.sleep(800*time.Millisecond, p.kill) {
		p.finishKjob(false)
	}
}

// A failure that each pod repeats isn't tried ten times, whoever leads by then.
func TestFailureThatRepeats(t *testing.T) {
	for _, tt := range []struct {
		name    string
		restart bool
	}{{"", false}, {"another scheduler", true}} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = func(w *world, p *pod) {
					w.sleep(10*time.Second, p.kill)
					initFails(p, "node-"+string(rune('0'+p.attempt)), "fetch", 3, "+ git clone\nfetching\n\nfatal: no such host: git.example\nbye\n")
				}
				id := w.build(1)[0].ID
				r := w.start("")
				if tt.restart {
					w.await("a second kjob", time.Minute, func() bool { return w.kjobs(id) == 2 })
					r.end(w)
					r = w.start("")
				}
				w.await("the job's end", 2*time.Minute, w.finished(1))
				const want = "container fetch ended with exit code 3 in two pods (the last one on node node-2) before the runner started; another pod would fail in the same way. Check this container in the queue's template. Its last output: fetching | fatal: no such host: git.example | bye"
				if f := w.job(id).StackFinish; f == nil || f.ExitStatus != -1 || f.Detail != want {
					t.Errorf("finished with %+v\nwant %q", f, want)
				}
				if n := w.kjobs(id); n != 2 {
					t.Errorf("%d kjobs, want two", n)
				}
				r.end(w)
			})
		})
	}
}

// Failures that differ may end well.
func TestFailuresThatDiffer(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			switch p.attempt {
			case 1:
				initFails(p, "node-1", "fetch", 3, "")
			case 2:
				initFails(p, "node-1", "fetch", 4, "")
			case 3:
				initFails(p, "node-1", "unpack", 3, "")
			default:
				ran(w, p)
			}
		}
		id := w.build(1)[0].ID
		r := w.start("")
		w.await("the job's end", 5*time.Minute, w.finished(1))
		if got := w.job(id).ExitStatus; got != "0" || w.kjobs(id) != 4 {
			t.Errorf("it ended with %q after %d kjobs: %q", got, w.kjobs(id), w.page(id))
		}
		r.end(w)
	})
}
