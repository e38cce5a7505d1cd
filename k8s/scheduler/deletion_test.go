package scheduler

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/simulator"
)

// deleteInForeground is `kubectl delete job --cascade=foreground`: the kjob goes
// after its pod.
func (p *pod) deleteInForeground() {
	now := metav1.Now()
	p.setKjob(func(k *batchv1.Job) {
		k.DeletionTimestamp, k.Finalizers = &now, []string{metav1.FinalizerDeleteDependents}
	})
	p.set(func(o *corev1.Pod) { o.DeletionTimestamp = &now })
}

// page is the notifications on a job's page.
func (w *world) page(id string) (lines []string) {
	for _, n := range w.job(id).Notifications {
		lines = append(lines, n.Detail)
	}
	return lines
}

// A kjob that is deleted in foreground while its pod's node is dead stays for
// ever, and its job waits: its page says for what.
func TestDeletedInForegroundOnADeadNode(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			p.set(func(o *corev1.Pod) { o.Spec.NodeName = "node-7" })
			w.sleep(5*time.Second, p.kill)
			p.deleteInForeground()
			w.sleep(24*time.Hour, p.kill)
		}
		id := w.build(1)[0].ID
		r := w.start("  pending-timeout: 1m\n")
		time.Sleep(5 * time.Hour)
		want := "waiting for the deleted Kubernetes Job of attempt 1 to go: pod onejob-" + id + "-x is still there; if node node-7 is gone for good, delete it (kubectl delete node)"
		if got := w.page(id); len(got) != 1 || got[0] != want {
			t.Errorf("the page says %q, want %q", got, want)
		}
		if n := w.kjobs(id); n != 1 {
			t.Errorf("%d kjobs, want the one that is being deleted", n)
		}
		r.end(w)
	})
}

// Who deletes the kjob of a job that runs is told of on its page at once, while
// its pod is still there: the runner's own word may never come.
func TestDeletedWhileItRuns(t *testing.T) {
	for _, tt := range []struct {
		name   string
		delete func(w *world, p *pod)
		alone  bool // nobody leads, and nobody who does later has seen it
	}{
		{name: "in foreground", delete: func(_ *world, p *pod) { p.deleteInForeground() }},
		{name: "in background", delete: deleteInBackground},
		{name: "in background, and no scheduler lives to tell", delete: deleteInBackground, alone: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{HeartbeatTimeout: time.Hour}, func(w *world) {
				id, p, r := w.deleteRunning(tt.alone, tt.delete)
				time.Sleep(3 * time.Second)
				if got := w.page(id); len(got) != 1 || got[0] != "the Kubernetes Job was deleted while the job ran in its pod" {
					t.Errorf("the page says %q, want that the kjob was deleted", got)
				}
				events, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-"+id)
				if err != nil || len(events) != 1 || events[0].Reason != "JobNotice" || !strings.Contains(events[0].Message, "deleted while the job ran") {
					t.Errorf("the Events %+v, %v; want one that says so", events, err)
				}
				if n := w.kjobs(id); n != 1 {
					t.Errorf("%d kjobs, want 1", n)
				}
				p.stop()
				r.end(w)
			})
		})
	}
}

// A runner that is killed when its kjob is deleted, before it can report, leaves
// its job to onejob.
func TestDeletedAndKilled(t *testing.T) {
	const want = "the Kubernetes Job was deleted while the job ran in its pod; the pod was lost while the job ran in it; onejob does not run the job again: OOMKilled, exit code 137"
	for _, tt := range []struct {
		name   string
		delete func(w *world, p *pod)
		alone  bool // nobody leads, and nobody who does later has seen it
		held   bool // Buildkite lets us finish what an agent has
	}{
		{name: "in foreground", delete: func(_ *world, p *pod) { p.deleteInForeground() }, held: true},
		{name: "in background", delete: deleteInBackground, held: true},
		{name: "in background, and Buildkite keeps the job", delete: deleteInBackground},
		{name: "in background, and no scheduler lives to tell", delete: deleteInBackground, alone: true, held: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conf := simulator.Config{HeartbeatTimeout: time.Hour}
			if tt.held {
				conf.FinishHeld = []string{"default"}
			}
			inWorld(t, conf, func(w *world) {
				id, p, r := w.deleteRunning(tt.alone, tt.delete)
				time.Sleep(30 * time.Second)
				p.end(137, "OOMKilled", nil)
				p.stop()
				time.Sleep(10 * time.Second)
				got := w.job(id)
				if tt.held && (got.ExitStatus != "137" || got.StackFinish == nil || got.StackFinish.Detail != want) {
					t.Errorf("exit status %q, finish %+v; want 137 and %q", got.ExitStatus, got.StackFinish, want)
				}
				if page := w.page(id); !tt.held && page[len(page)-1] != want {
					t.Errorf("the page says %q, want %q", page, want)
				}
				if n := w.kjobs(id); n != 1 {
					t.Errorf("%d kjobs, want 1", n)
				}
				r.end(w)
			})
		})
	}
}

// deleteInBackground is kubectl's default: the kjob goes first, and its pod's
// grace begins.
func deleteInBackground(w *world, p *pod) {
	_ = w.kube.Tracker().Delete(jobsGVR, namespace, contract.KjobName(p.id, p.attempt))
	now := metav1.Now()
	p.set(func(o *corev1.Pod) { o.DeletionTimestamp = &now })
}

// deleteRunning has a job's kjob deleted while its pod runs it; alone is without
// a scheduler that would see it.
func (w *world) deleteRunning(alone bool, del func(*world, *pod)) (id string, p *pod, r *running) {
	w.runs = first(func(w *world, p *pod) {
		if _, err := w.acquire(p.id); err != nil {
			w.Error(err)
		}
		w.sleep(time.Hour, p.kill)
	})
	id = w.build(1)[0].ID
	r = w.start("  lost-jobs: finish\n")
	time.Sleep(3 * time.Second)
	if alone {
		r.end(w)
	}
	w.mu.Lock()
	p = w.pods["onejob-"+id]
	w.mu.Unlock()
	del(w, p)
	if alone {
		r = w.start("  lost-jobs: finish\n")
	}
	return id, p, r
}
