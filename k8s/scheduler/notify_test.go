package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/simulator"
)

// A refusal whose words change with each try is told a few times, and leaves
// room for what comes later.
func TestChangingWordsAreToldAFewTimes(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		full, tries := true, 0
		w.onCreate = func(k *batchv1.Job) (before, after error) {
			if !full {
				return nil, nil
			}
			tries++
			return apierrors.NewForbidden(schema.GroupResource{Group: "batch", Resource: "jobs"}, k.Name, fmt.Errorf("exceeded quota: used: %d", tries)), nil
		}
		w.runs = exits(contract.ExitExhausted, contract.OutcomeExhausted)
		r := w.start("")
		job := w.build(1)[0]
		w.await("the first words, at once", 10*time.Second, func() bool { return len(w.job(job.ID).Notifications) == 1 })
		time.Sleep(10 * time.Minute)
		w.mu.Lock()
		full = false
		seen := tries
		w.mu.Unlock()
		w.await("finished", 5*time.Minute, w.finished(1))
		waits, others := 0, 0
		for _, n := range w.job(job.ID).Notifications {
			if strings.Contains(n.Detail, "exceeded quota") {
				waits++
			} else {
				others++
			}
		}
		if waits < 2 || waits > maxWaits || seen < 2*maxWaits || others == 0 {
			t.Errorf("%d refusals were told %d times, and %d other things", seen, waits, others)
		}
		found := 0
		es, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-"+job.ID)
		for _, e := range es {
			if e.Reason == events.Waiting {
				found++
			}
		}
		if err != nil || found != 1 {
			t.Errorf("%d refusals are %d Events, %v; want 1", seen, found, err)
		}
		r.end(w)
	})
}

// However much was told before of waits and attempts, the job's reader learns how
// it ended, and so does who looks at the cluster.
func TestAllWaitsLeaveRoomForTheEnd(t *testing.T) {
	inWorld(t, simulator.Config{HeartbeatTimeout: time.Hour}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			for i := range maxWaits {
				p.set(func(o *corev1.Pod) {
					o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: fmt.Sprintf("0/%d nodes", i)}}
				})
				w.sleep(waitsEvery+decide.NoticeAfter, p.kill)
			}
			p.start()
			if p.attempt < 10 {
				p.end(contract.ExitExhausted, "Error", &contract.Message{Outcome: contract.OutcomeExhausted, Reason: "no network"})
				return
			}
			if _, err := w.acquire(p.id); err != nil {
				w.Error(err)
			}
			p.end(137, "OOMKilled", nil)
		}
		id := w.build(1)[0].ID
		r := w.start("  lost-jobs: finish\n")
		w.await("the last attempt", 3*time.Hour, func() bool { return w.kjobs(id) == 10 })
		time.Sleep(10 * time.Minute)
		const end = "the pod was lost while the job ran in it; onejob does not run the job again: OOMKilled, exit code 137"
		page := w.page(id)
		if len(page) != maxTold+1 || page[maxTold] != end {
			t.Errorf("the page has %d lines, want %d and at its end %q: %q", len(page), maxTold+1, end, page)
		}
		events, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-"+id+"-10")
		if err != nil || len(events) != 1 || events[0].Reason != "JobLost" || events[0].Message != end {
			t.Errorf("the Events %+v, %v; want one with the same words", events, err)
		}
		r.end(w)
	})
}

// shortOfMemory is a job that fails, and of which only Kubernetes knows why.
func shortOfMemory(w *world, p *pod) {
	a, err := w.acquire(p.id)
	if err != nil {
		w.Error(err)
		return
	}
	status := 137
	a.finish(status)
	p.end(0, "OOMKilled", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &status})
}

// What a leader has told and counted the next ones don't tell and count again.
func TestToldOnceByAllLeaders(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = first(shortOfMemory)
		id := w.build(1)[0].ID
		for leader := range 3 {
			r := w.start("")
			time.Sleep(time.Minute)
			if page := w.page(id); len(page) != 1 || !strings.Contains(page[0], "OOMKilled") {
				t.Errorf("leader %d: the page says %q, want one line", leader, page)
			}
			events, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-"+id)
			if err != nil || len(events) != 1 {
				t.Errorf("leader %d: the Events %+v, %v; want one", leader, events, err)
			}
			want := 0
			if leader == 0 {
				want = 1
			}
			if n := testutil.CollectAndCount(r.metrics.decisions); n != want {
				t.Errorf("leader %d: %d kinds of decisions are counted, want %d", leader, n, want)
			}
			r.end(w)
		}
	})
}

// Nor what a job waits for, which `kubectl describe` shows of its kjob.
func TestWaitIsToldOnceByAllLeaders(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(_ *world, p *pod) {
			p.set(func(o *corev1.Pod) {
				o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes"}}
			})
		}
		id := w.build(1)[0].ID
		const wait = "waiting to start: 0/3 nodes"
		for leader := range 3 {
			r := w.start("")
			time.Sleep(2 * time.Minute)
			if page := w.page(id); !slices.Equal(page, []string{wait}) {
				t.Errorf("leader %d: the page says %q, want %q", leader, page, wait)
			}
			found, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-"+id)
			if err != nil || len(found) != 1 || found[0].Reason != events.Waiting || found[0].Message != wait {
				t.Errorf("leader %d: the Events %+v, %v; want one with the same words", leader, found, err)
			}
			r.end(w)
		}
	})
}

// A leader of another release has other words for the same: its pages don't get them
// again. Another thing of the same attempt is news.
func TestOtherWordsAreNoNews(t *testing.T) {
	reword := func(w *world) {
		list, err := w.kube.CoreV1().Events(namespace).List(w.ctx, metav1.ListOptions{})
		if err != nil || len(list.Items) == 0 {
			w.Fatalf("Events: %+v, %v", list, err)
		}
		for i := range list.Items {
			list.Items[i].Message = "in the words of the release before"
			if _, err := w.kube.CoreV1().Events(namespace).Update(w.ctx, &list.Items[i], metav1.UpdateOptions{}); err != nil {
				w.Fatal(err)
			}
		}
	}
	waits := func(why string) func(*corev1.Pod) {
		return func(o *corev1.Pod) {
			o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: why}}
		}
	}
	placed := func(o *corev1.Pod) { o.Status.Conditions, o.Spec.NodeName = nil, "node-1" }
	for _, tt := range []struct {
		name string
		runs func(*world, *pod)
		then func(*corev1.Pod)
		want int // lines, with the second leader's
	}{
		{"an end", first(shortOfMemory), nil, 1},
		{"a wait", func(_ *world, p *pod) { p.set(waits("0/3 nodes")) }, nil, 1},
		{"a wait that goes on in Kubernetes' other words", func(_ *world, p *pod) { p.set(waits("0/3 nodes")) }, waits("0/4 nodes"), 1},
		{"a wait for something else", func(_ *world, p *pod) { p.set(waits("0/3 nodes")) }, placed, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = tt.runs
				id := w.build(1)[0].ID
				r := w.start("")
				time.Sleep(2 * time.Minute)
				if page := w.page(id); len(page) != 1 {
					t.Fatalf("the page says %q, want one line", page)
				}
				r.end(w)
				reword(w)
				if tt.then != nil {
					w.mu.Lock()
					p := w.pods["onejob-"+id]
					w.mu.Unlock()
					p.set(tt.then)
				}
				r = w.start("")
				time.Sleep(2 * time.Minute)
				if page := w.page(id); len(page) != tt.want {
					t.Errorf("the page says %q, want %d lines", page, tt.want)
				}
				r.end(w)
			})
		})
	}
}

// A leader whose words Buildkite never got has told nothing: the next one does.
func TestToldByTheNextLeader(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_notify", Status: 503, Until: time.Minute})
		w.runs = first(shortOfMemory)
		id := w.build(1)[0].ID
		r := w.start("")
		time.Sleep(30 * time.Second)
		r.end(w)
		if page := w.page(id); len(page) != 0 {
			t.Fatalf("the page says %q already", page)
		}
		r = w.start("")
		w.await("told", 2*time.Minute, func() bool { return len(w.page(id)) == 1 })
		r.end(w)
	})
}
