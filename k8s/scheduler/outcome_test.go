package scheduler

import (
	"errors"
	"flag"
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
	"k8s.io/apimachinery/pkg/runtime"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/simulator"
)

// first makes the first attempt end otherwise than by running; later ones run.
func first(f func(w *world, p *pod)) func(*world, *pod) {
	return func(w *world, p *pod) {
		if p.attempt > 1 {
			ran(w, p)
			return
		}
		w.sleep(300*time.Millisecond, p.kill)
		p.start()
		w.sleep(200*time.Millisecond, p.kill)
		f(w, p)
	}
}

func exits(code int, o contract.Outcome) func(*world, *pod) {
	return first(func(_ *world, p *pod) {
		p.end(code, "Error", &contract.Message{Outcome: o, Reason: "because of the test"})
	})
}

// pulls has the pod's image fail, by its status, and the kubelet say what it does.
func (p *pod) pulls(message string, events ...string) {
	p.set(func(o *corev1.Pod) {
		o.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: contract.AgentContainer, Image: "a:b", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: message}}}}
	})
	for _, e := range events {
		p.w.says("Pod", p.kjob+"-x", "kubelet", corev1.EventTypeNormal, e, message)
	}
}

var outcomeWords = flag.Bool("outcomes.words", true, "TestOutcomes looks at what the page says")

// decided are the decisions that are counted, and the Events by their codes.
func (w *world) decided(r *running) string {
	families, err := r.metrics.Registry.Gather()
	if err != nil {
		w.Fatal(err)
	}
	n := map[string]int{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if f.GetName() == "onejob_decisions_total" {
				n[strings.Join(labels, "/")] = int(m.GetCounter().GetValue())
			}
		}
	}
	list, err := w.kube.CoreV1().Events(namespace).List(w.ctx, metav1.ListOptions{})
	if err != nil {
		w.Fatal(err)
	}
	for _, e := range list.Items {
		if e.Source.Component == contract.ManagedBy {
			n[e.Reason+"/"+string(events.Told(e).Reason)+"/"+string(events.Told(e).Topic)]++
		}
	}
	return fmt.Sprint(n) // in order
}

// What becomes of a job when its first attempt ends in each of the ways there
// are: how many kjobs, how soon, and what the job's page says.
func TestOutcomes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		runs   func(*world, *pod)
		kjobs  int
		exit   string
		within time.Duration
		says   string // in the finish detail or a notification
	}{
		{name: "143 stopped", runs: exits(143, contract.OutcomeStopped), kjobs: 2, exit: "0", within: 6 * time.Second},
		{name: "130 interrupted", runs: exits(130, contract.OutcomeStopped), kjobs: 2, exit: "0", within: 6 * time.Second},
		{name: "75 exhausted", runs: exits(75, contract.OutcomeExhausted), kjobs: 2, exit: "0", within: 12 * time.Second, says: "could not reach Buildkite: because of the test"},
		{name: "28 locked, not before", runs: first(func(_ *world, p *pod) {
			at := time.Now().Add(20 * time.Second)
			p.end(28, "Error", &contract.Message{Outcome: contract.OutcomeLocked, NotBefore: &at})
		}), kjobs: 2, exit: "0", within: 30 * time.Second},
		{name: "27 rejected, though offered", runs: exits(27, contract.OutcomeRejected), kjobs: 2, exit: "0", within: 90 * time.Second, says: "was refused the job"},
		{name: "77 refused, ours accepted", runs: exits(77, contract.OutcomeRefused), kjobs: 2, exit: "0", within: 12 * time.Second, says: "token refused"},
		{name: "78 config", runs: exits(78, contract.OutcomeConfig), kjobs: 1, exit: "-1", within: 4 * time.Second, says: "another pod would fail in the same way: because of the test"},
		{name: "lost before", runs: first(func(_ *world, p *pod) { p.end(137, "OOMKilled", nil) }), kjobs: 2, exit: "0", within: 6 * time.Second, says: "OOMKilled"},
		{name: "a container that can't be started", runs: func(_ *world, p *pod) {
			p.start()
			p.end(128, "StartError", nil)
		}, kjobs: 3, exit: "-1", within: 20 * time.Second, says: "the container could not be started in 3 pods in a row: StartError, exit code 128"},
		{name: "a container that can't be started, once, after two evictions", runs: func(w *world, p *pod) {
			switch p.start(); p.attempt {
			case 1, 2:
				p.end(137, "Evicted", nil)
			case 3:
				p.end(128, "StartError", nil)
			default:
				ran(w, p)
			}
		}, kjobs: 4, exit: "0", within: time.Minute, says: "StartError"},
		{name: "an image that is not the runner's", runs: func(_ *world, p *pod) {
			p.start()
			p.end(0, "Completed", nil)
		}, kjobs: 1, exit: "-1", within: 10 * time.Second, says: "attempt 1 ended with exit code 0 and no termination message, so it did not run onejob-agent"},
		{name: "never had a node", runs: func(w *world, p *pod) {
			if p.attempt > 1 {
				ran(w, p)
				return
			}
			w.sleep(time.Second, p.kill)
			p.setKjob(func(k *batchv1.Job) { k.Annotations["test/lost"] = "yes" })
			_ = w.kube.Tracker().Delete(podsGVR, namespace, p.kjob+"-x")
			w.sleep(20*time.Second, p.kill) // PodGC takes its time
			p.finishKjob(false)
		}, kjobs: 2, exit: "0", within: 6 * time.Second, says: "was lost before it acquired the job"},
		{name: "invalid image name", runs: func(w *world, p *pod) {
			p.set(func(o *corev1.Pod) {
				o.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: contract.AgentContainer, Image: "a::b", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "InvalidImageName", Message: "couldn't parse image"}}}}
			})
			w.sleep(time.Hour, p.kill)
		}, kjobs: 1, exit: "-1", within: 6 * time.Second, says: "(image a::b): check the name"},
		{name: "image not found", runs: func(w *world, p *pod) {
			p.pulls("not found", "Pulling", "Failed", "BackOff")
			w.sleep(time.Hour, p.kill)
		}, kjobs: 1, exit: "-1", within: 2*time.Minute + 10*time.Second, says: "the pod can't start: ErrImagePull (image a:b): check that it exists and that the pod may pull it. not found"},
		{name: "image, a broken pull and then a slow one", runs: func(w *world, p *pod) {
			p.pulls("EOF", "Pulling", "Failed", "BackOff")
			w.sleep(12*time.Second, p.kill)
			p.pulls("EOF", "Pulling")
			w.sleep(6*time.Minute, p.kill)
			ran(w, p)
		}, kjobs: 1, exit: "0", within: 7 * time.Minute, says: "waiting to start: image a:b is being pulled again (a large image takes time), after ErrImagePull: EOF"},
		{name: "image, broken pulls, the second one late", runs: func(w *world, p *pod) {
			p.pulls("EOF", "Pulling", "Failed", "BackOff")
			w.sleep(12*time.Second, p.kill)
			p.pulls("EOF", "Pulling")
			w.sleep(6*time.Minute, p.kill)
			p.pulls("connection reset", "Failed")
			w.sleep(time.Hour, p.kill)
		}, kjobs: 1, exit: "-1", within: 7 * time.Minute, says: "the pod can't start: ErrImagePull (image a:b): check that it exists and that the pod may pull it. connection reset"},
		{name: "a volume that was late, and then a slow image", runs: func(w *world, p *pod) {
			p.set(func(o *corev1.Pod) { o.Spec.NodeName = "node-1" })
			p.w.says("Pod", p.kjob+"-x", "kubelet", corev1.EventTypeWarning, "FailedMount", `configmap "kube-root-ca.crt" not found`)
			w.sleep(15*time.Second, p.kill)
			p.w.says("Pod", p.kjob+"-x", "kubelet", corev1.EventTypeNormal, "Pulling", "a:b")
			w.sleep(6*time.Minute, p.kill)
			ran(w, p)
		}, kjobs: 1, exit: "0", within: 7 * time.Minute, says: "node node-1 is preparing its containers (a large image takes time)"},
		{name: "unschedulable", runs: func(w *world, p *pod) {
			p.set(func(o *corev1.Pod) {
				o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available: 3 Insufficient cpu."}}
			})
			w.sleep(time.Hour, p.kill)
		}, kjobs: 1, exit: "-1", within: 16 * time.Minute, says: "3 Insufficient cpu"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = tt.runs
				job := w.build(1)[0]
				r := w.start("")
				took := w.await("finished", tt.within, w.finished(1))
				time.Sleep(10 * time.Second)
				got := w.job(job.ID)
				if got.ExitStatus != tt.exit || w.kjobs(job.ID) != tt.kjobs {
					t.Errorf("exit status %s with %d kjobs after %s, want %s with %d", got.ExitStatus, w.kjobs(job.ID), took, tt.exit, tt.kjobs)
				}
				var said strings.Builder
				for _, n := range got.Notifications {
					said.WriteString(n.Detail + "\n")
				}
				if got.StackFinish != nil {
					said.WriteString(got.StackFinish.Detail)
				}
				t.Logf("decided: %s: %s", tt.name, w.decided(r))
				if *outcomeWords && !strings.Contains(said.String(), tt.says) {
					t.Errorf("the page says %q, want %q in it", said.String(), tt.says)
				}
				if held := r.queues["default"].claims.held(); held != 0 {
					t.Errorf("%d slots are held at the end", held)
				}
				r.end(w)
			})
		})
	}
}

// A job that never ran is not said to have run in its last pod when it is over.
func TestOverBeforeItRan(t *testing.T) {
	for _, tt := range []struct {
		name, config string
		then         func(w *world, id string)
		want         int // lines on its page
	}{
		{"at the cap", "  max-attempts: 2\n", func(*world, string) {}, 1},
		{"cancelled before its next attempt", "", func(w *world, id string) { _ = w.sim.CancelJob(id) }, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = func(w *world, p *pod) {
					w.sleep(300*time.Millisecond, p.kill)
					p.start()
					p.end(137, "OOMKilled", nil)
				}
				id := w.build(1)[0].ID
				r := w.start(tt.config)
				time.Sleep(4 * time.Second)
				tt.then(w, id)
				time.Sleep(time.Minute)
				page := w.page(id)
				if w.kjobs(id) != 2 || len(page) != tt.want || slices.ContainsFunc(page, func(l string) bool { return !strings.Contains(l, decide.LostBefore) }) {
					t.Errorf("%d kjobs, and the page says %q; want two, and %d lines about pods that were lost before", w.kjobs(id), page, tt.want)
				}
				r.end(w)
			})
		})
	}
}

// A pod that runs and doesn't take its job is talked of: on the job's page, once,
// and by explain.
func TestNeverAcquires(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = first(func(w *world, p *pod) { w.sleep(24*time.Hour, p.kill) })
		id := w.build(1)[0].ID
		r := w.start("  pending-timeout: 5m\n")
		time.Sleep(4 * time.Minute)
		if page := w.page(id); len(page) != 0 {
			t.Errorf("the page says %q after four minutes, want nothing", page)
		}
		time.Sleep(5 * time.Hour)
		want := "pod onejob-" + id + "-x has been running for more than 5m0s but has not acquired the job"
		if page := w.page(id); len(page) != 1 || !strings.HasPrefix(page[0], want) || w.kjobs(id) != 1 {
			t.Errorf("%d kjobs, and the page says %q; want one, and %q once", w.kjobs(id), page, want)
		}
		if n := w.sim.Count("stacks_states"); n > 2*int(5*time.Hour/stateEvery) {
			t.Errorf("%d questions for its state", n)
		}
		if s := w.explain(id, true); !strings.Contains(s.Now, "has not acquired the job") || !strings.Contains(s.Advice, "the pod's log") {
			t.Errorf("explain says %q, %q", s.Now, s.Advice)
		}
		_ = w.sim.CancelJob(id)
		r.end(w)
	})
}

// Another agent's job is not finished for a pod that was refused it and whose
// message is lost.
func TestLostMessage(t *testing.T) {
	inWorld(t, simulator.Config{FinishHeld: []string{"default"}}, func(w *world) {
		w.runs = first(func(w *world, p *pod) {
			a, err := w.acquire(p.id) // another agent
			if err != nil {
				w.Error(err)
				return
			}
			p.end(contract.ExitRejected, "Error", nil)
			w.sleep(20*time.Second, nil)
			a.finish(0)
		})
		job := w.build(1)[0]
		r := w.start("  lost-jobs: finish\n")
		w.await("finished", time.Minute, w.finished(1))
		if got := w.job(job.ID); got.ExitStatus != "0" || got.StackFinish != nil || w.kjobs(job.ID) != 1 {
			t.Errorf("%d kjobs, exit status %s, finish %+v; want the other agent's 0", w.kjobs(job.ID), got.ExitStatus, got.StackFinish)
		}
		r.end(w)
	})
}

// A pod that is lost while its job runs is not followed by another.
func TestLostWhileRunning(t *testing.T) {
	inWorld(t, simulator.Config{HeartbeatTimeout: 30 * time.Second}, func(w *world) {
		w.runs = first(func(w *world, p *pod) {
			if _, err := w.acquire(p.id); err != nil {
				w.Error(err)
			}
			p.end(137, "OOMKilled", nil)
		})
		job := w.build(1)[0]
		r := w.start("")
		time.Sleep(3 * time.Second)
		if ns := w.job(job.ID).Notifications; len(ns) == 0 || !strings.Contains(ns[0].Detail, "OOMKilled, exit code 137") {
			t.Errorf("the page says %v, want the container's end", ns)
		}
		w.await("lost", time.Minute, func() bool { return w.job(job.ID).State.Terminal() })
		time.Sleep(time.Minute)
		if got := w.kjobs(job.ID); got != 1 {
			t.Errorf("%d kjobs, want 1", got)
		}
		r.end(w)
	})
}

// A runner that leaves with its job's exit status means nothing of its own by it.
func TestReflectedExitStatus(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		status := contract.ExitRefused
		w.runs = first(func(w *world, p *pod) {
			a, err := w.acquire(p.id)
			if err != nil {
				w.Error(err)
				return
			}
			a.finish(status)
			p.end(status, "Error", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &status})
		})
		jobs := w.build(3)
		r := w.start("")
		w.await("finished", time.Minute, w.finished(3))
		time.Sleep(10 * time.Second)
		q := r.queues["default"]
		q.standing.mu.Lock()
		refusals := q.standing.refusals
		q.standing.mu.Unlock()
		if refusals != 0 {
			t.Errorf("%d refused tokens are counted, want none", refusals)
		}
		for _, j := range jobs {
			if page := w.page(j.ID); len(page) != 0 || w.kjobs(j.ID) != 1 {
				t.Errorf("%d kjobs, and the page says %q; want one, and nothing", w.kjobs(j.ID), page)
			}
		}
		rows, err := operate.List(w.ctx, w.kube, namespace, contract.JobID(jobs[0].ID))
		if err != nil || len(rows) != 1 || rows[0].Phase != "done" {
			t.Errorf("the rows are %+v, %v; want one that is done", rows, err)
		}
		r.end(w)
	})
}

// What onejob leaves to Buildkite is in an Event, too, and in the metrics: once.
func TestLeftToBuildkite(t *testing.T) {
	status := 137
	for _, tt := range []struct {
		name           string
		then           func(w *world, p *pod, a *agent)
		action, reason string // empty: the attempt isn't over
		event          string
	}{
		{"the finish is refused", func(_ *world, p *pod, _ *agent) { p.end(137, "OOMKilled", nil) }, "finish", "pod_lost_running",
			"JobLost: the pod was lost while the job ran in it; onejob does not run the job again: OOMKilled, exit code 137"},
		{"not run", func(_ *world, p *pod, a *agent) {
			a.finish(1)
			p.end(contract.ExitNotRun, "Error", &contract.Message{Outcome: contract.OutcomeRunnerError, Reason: "so it says"})
		}, "none", "not_run", "JobLost: attempt 1 acquired the job but its end was not reported; onejob does not run it again: so it says"},
		{"a process was killed", func(_ *world, p *pod, a *agent) {
			a.finish(status)
			p.end(0, "OOMKilled", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &status})
		}, "none", "finished", "JobNotice: a process of the job was killed because the container ran out of memory (OOMKilled); the limit is in the queue's template: raise limits.memory"},
		{"stopped", func(w *world, p *pod, _ *agent) {
			p.set(func(o *corev1.Pod) { now := metav1.Now(); o.DeletionTimestamp = &now })
			w.sleep(time.Hour, p.kill)
		}, "", "", "JobNotice: Kubernetes stopped the pod in which the job ran: the pod was deleted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{HeartbeatTimeout: time.Hour}, func(w *world) {
				w.runs = first(func(w *world, p *pod) {
					a, err := w.acquire(p.id)
					if err != nil {
						w.Error(err)
						return
					}
					w.sleep(time.Second, p.kill)
					tt.then(w, p, a)
				})
				job := w.build(1)[0]
				r := w.start("  lost-jobs: finish\n")
				time.Sleep(5 * time.Minute)
				events, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-"+job.ID)
				if err != nil || len(events) != 1 || events[0].Reason+": "+events[0].Message != tt.event || events[0].Type != corev1.EventTypeWarning {
					t.Errorf("the Events %+v, %v; want one warning, %q", events, err, tt.event)
				}
				want := 1
				if tt.action == "" {
					want = 0
				} else if n := testutil.ToFloat64(r.metrics.decisions.WithLabelValues("default", tt.action, tt.reason)); n != 1 {
					t.Errorf("%s/%s is counted %v times, want once", tt.action, tt.reason, n)
				}
				if n := testutil.CollectAndCount(r.metrics.decisions); n != want {
					t.Errorf("%d kinds of decisions are counted, want %d", n, want)
				}
				r.end(w)
			})
		})
	}
}

// By default a job that an agent had is Buildkite's to end, as the agent's loss, to which
// retry rules for -1 apply and none for stack_error; its page has the reason at once.
func TestLostWhileRunningIsLeft(t *testing.T) {
	inWorld(t, simulator.Config{FinishHeld: []string{"default"}}, func(w *world) {
		w.runs = first(func(w *world, p *pod) {
			if _, err := w.acquire(p.id); err != nil {
				w.Error(err)
			}
			p.end(137, "OOMKilled", nil)
		})
		job := w.build(1)[0]
		r := w.start("")
		time.Sleep(10 * time.Second)
		if page := w.page(job.ID); len(page) != 1 || !strings.Contains(page[0], "OOMKilled, exit code 137") || !strings.Contains(page[0], "Buildkite ends it") {
			t.Errorf("the page says %q, want why and who ends it", page)
		}
		time.Sleep(4 * time.Minute)
		if got := w.job(job.ID); !got.State.Terminal() || got.ExitStatus != "-1" || got.SignalReason != "" || got.StackFinish != nil || w.kjobs(job.ID) != 1 {
			t.Errorf("the job is %s, exit status %s, reason %q, finish %+v, %d kjobs; want it lost with -1", got.State, got.ExitStatus, got.SignalReason, got.StackFinish, w.kjobs(job.ID))
		}
		r.end(w)
	})
}

// A pod that dies between the grant and the start costs the job nothing: Buildkite takes
// it back, and there is another attempt.
func TestLostBeforeTheStart(t *testing.T) {
	inWorld(t, simulator.Config{FinishHeld: []string{"default"}}, func(w *world) {
		w.runs = first(func(w *world, p *pod) {
			if _, err := w.acquireOnly(p.id); err != nil {
				w.Error(err)
			}
			p.end(137, "OOMKilled", nil)
		})
		job := w.build(1)[0]
		r := w.start("  lost-jobs: finish\n")
		w.await("finished", time.Minute, w.finished(1))
		if got := w.job(job.ID); got.ExitStatus != "0" || got.StackFinish != nil || w.kjobs(job.ID) != 2 {
			t.Errorf("exit status %s, finish %+v, %d kjobs; want the second attempt's 0", got.ExitStatus, got.StackFinish, w.kjobs(job.ID))
		}
		r.end(w)
	})
}

// Where Buildkite lets a stack finish a job that an agent holds, its retry rules
// apply at once: the container's end was seen.
func TestLostWhileRunningIsFinished(t *testing.T) {
	inWorld(t, simulator.Config{HeartbeatTimeout: time.Hour, FinishHeld: []string{"default"}}, func(w *world) {
		w.runs = first(func(w *world, p *pod) {
			if _, err := w.acquire(p.id); err != nil {
				w.Error(err)
			}
			p.end(137, "OOMKilled", nil)
		})
		job := w.build(1)[0]
		r := w.start("  lost-jobs: finish\n")
		w.await("finished", 6*time.Second, func() bool { return w.job(job.ID).State.Terminal() })
		if got := w.job(job.ID); got.ExitStatus != "137" || got.StackFinish == nil || !strings.Contains(got.StackFinish.Detail, "OOMKilled, exit code 137") {
			t.Errorf("exit status %s, finish %+v; want the container's", got.ExitStatus, got.StackFinish)
		}
		time.Sleep(time.Minute)
		if got := w.kjobs(job.ID); got != 1 {
			t.Errorf("%d kjobs, want 1", got)
		}
		r.end(w)
	})
}

func TestCancelledWhilePending(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) { w.sleep(time.Hour, p.kill) } // no node
		w.build(20)
		r := w.start("")
		time.Sleep(20 * time.Second)
		if err := w.sim.CancelBuild(1); err != nil {
			t.Fatal(err)
		}
		w.await("deleted", 5*time.Second, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.deleted) == 20 })
		time.Sleep(10 * time.Second)
		if len(w.made) != 20 {
			t.Errorf("%d kjobs, want 20", len(w.made))
		}
		r.end(w)
	})
}

// Another agent has a job whose pod waits on its node for an image: its status may
// be late, so the kjob stays until the kubelet says since then that the pod waits,
// or the job is over. Its reader is told.
func TestTakenWhileTheImageIsPulled(t *testing.T) {
	for _, then := range []string{"silent", "late", "again"} {
		t.Run(then, func(t *testing.T) {
			inWorld(t, simulator.Config{HeartbeatTimeout: time.Hour}, func(w *world) {
				taken := make(chan struct{})
				w.runs = func(w *world, p *pod) {
					p.set(func(o *corev1.Pod) { o.Spec.NodeName = "node-1" })
					p.pulls("EOF", "Pulling", "Failed", "BackOff")
					w.sleep(time.Hour, taken)
					w.sleep(10*time.Second, p.kill)
					p.pulls("EOF", "BackOff") // at once, and perhaps from before
					at := time.Now().Add(2 * time.Second)
					w.sleep(20*time.Second, p.kill)
					switch then {
					case "late": // as when the node was cut off since
						w.said(at, "Pod", p.kjob+"-x", "kubelet", corev1.EventTypeNormal, "BackOff", "EOF")
					case "again":
						p.pulls("EOF", "BackOff")
					}
					w.sleep(time.Hour, p.kill)
				}
				id := w.build(1)[0].ID
				r := w.start("")
				time.Sleep(2 * time.Second)
				a, err := w.acquire(contract.JobID(id))
				if err != nil {
					t.Fatal(err)
				}
				close(taken)
				time.Sleep(20 * time.Second)
				deleted := func() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.deleted) }
				if deleted() != 0 {
					t.Errorf("deleted %v before the kubelet said anything", w.deleted)
				}
				if then == "again" {
					w.await("deleted", time.Minute, func() bool { return deleted() == 1 })
				} else {
					time.Sleep(20 * time.Minute)
					page := w.page(id)
					if len(page) != 1 || !strings.Contains(page[0], "another agent seems to have the job; pod onejob-"+id+"-x waits on node node-1. onejob keeps the pod until its node reports again (image a:b)") || deleted() != 0 {
						t.Errorf("the page says %q, deleted %v; want the line that another agent has it, and nothing deleted", page, w.deleted)
					}
				}
				a.finish(0)
				w.await("deleted", 2*heldEvery, func() bool { return deleted() == 1 })
				r.end(w)
			})
		})
	}
}

// A job whose end was reported, and that Buildkite offers all the same, isn't
// run twice; its reader and the metrics are told, once.
func TestFinishedAndOfferedAgain(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		job := w.build(1)[0]
		r := w.start("")
		w.await("finished", time.Minute, w.finished(1))
		time.Sleep(5 * time.Second)
		if err := w.sim.OfferAgain(job.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := w.kjobs(job.ID); n != 1 {
			t.Errorf("%d kjobs, want 1", n)
		}
		if ns := w.job(job.ID).Notifications; len(ns) != 1 || !strings.Contains(ns[0].Detail, "offers the job again; onejob leaves it alone") {
			t.Errorf("the page says %v, want that it was offered again", ns)
		}
		for _, reason := range []string{"finished", "offered_again"} {
			if n := testutil.ToFloat64(r.metrics.decisions.WithLabelValues("default", "none", reason)); n != 1 {
				t.Errorf("none/%s is counted %v times, want once", reason, n)
			}
		}
		if err := w.sim.CancelJob(job.ID); err != nil {
			t.Fatal(err)
		}
		r.end(w)
	})
}

// A pending pod's job stays reserved for as long as it takes.
func TestReservationIsRenewed(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			if w.sleep(10*time.Minute, p.kill) {
				ran(w, p)
			}
		}
		job := w.build(1)[0]
		r := w.start("")
		time.Sleep(2 * time.Second)
		for range 500 {
			if s := w.job(job.ID).State; s != simulator.StateReserved {
				t.Fatalf("the job is %s, want reserved", s)
			}
			time.Sleep(time.Second)
		}
		w.await("finished", 3*time.Minute, w.finished(1))
		r.end(w)
	})
}

// A kjob that is deleted by hand before its pod has the job, be it that of the
// first attempt or of one that the finished kjob of another is still there of.
func TestDeletedByHand(t *testing.T) {
	for _, attempt := range []int{1, 2} {
		for _, why := range []string{"", "ada: wrong branch"} {
			t.Run(fmt.Sprintf("attempt %d %s", attempt, why), func(t *testing.T) { deletedByHand(t, attempt, why) })
		}
	}
}

func deletedByHand(t *testing.T, attempt int, why string) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			switch {
			case p.attempt < attempt:
				exits(contract.ExitExhausted, contract.OutcomeExhausted)(w, p)
			case p.attempt == attempt:
				w.sleep(time.Hour, p.kill)
			default:
				ran(w, p)
			}
		}
		job := w.build(1)[0]
		name := contract.KjobName(contract.JobID(job.ID), attempt)
		r := w.start("")
		w.await("made", 20*time.Second, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.pods[name] != nil })
		time.Sleep(2 * time.Second)
		w.deleteKjob(name, why)
		took := w.await("finished", time.Minute, w.finished(1))
		time.Sleep(time.Minute)
		got := w.job(job.ID)
		switch {
		case why == "" && (w.kjobs(job.ID) != attempt+1 || got.ExitStatus != "0" || took < decide.Backoff(attempt)):
			t.Errorf("%d kjobs, exit status %s after %s; want one more attempt that ran, %s after the deletion", w.kjobs(job.ID), got.ExitStatus, took, decide.Backoff(attempt))
		case why != "" && (w.kjobs(job.ID) != attempt || got.StackFinish == nil || !strings.Contains(got.StackFinish.Detail, why)):
			t.Errorf("%d kjobs, finish %+v; want none more and the reason", w.kjobs(job.ID), got.StackFinish)
		}
		want, action := "NewAttempt: the Kubernetes Job of attempt "+fmt.Sprint(attempt)+" was deleted before it acquired the job", "attempt/kubernetes_job_deleted"
		if why != "" {
			want, action = "JobFinished: cancelled in Kubernetes by "+why, "finish/cancelled"
		}
		did, reason, _ := strings.Cut(action, "/")
		if n := testutil.ToFloat64(r.metrics.decisions.WithLabelValues("default", did, reason)); n != 1 {
			t.Errorf("%s is counted %v times, want once", action, n)
		}
		if _, text, _ := strings.Cut(want, ": "); why == "" && !slices.ContainsFunc(got.Notifications, func(n simulator.Notification) bool { return n.Detail == text }) {
			t.Errorf("the page says %+v, want %q", got.Notifications, text)
		}
		r.end(w)
		// The Event is all that is left of the kjob.
		events, _ := w.kube.CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{})
		if !slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
			return e.InvolvedObject.Name == name && e.Reason+": "+e.Message == want
		}) {
			t.Errorf("no Event %q on %s in %+v", want, name, events.Items)
		}
	})
}

// A kjob that seems suspended beside its pod may have been resumed: the two
// informers know nothing of each other.
func TestSuspendedIsDeletedAsItWasSeen(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) { p.start(); w.sleep(time.Hour, p.kill) }
		job := w.build(1)[0]
		var only *metav1.Preconditions
		w.kube.PrependReactor("delete", "jobs", func(a k8stesting.Action) (bool, runtime.Object, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			only = a.(k8stesting.DeleteActionImpl).DeleteOptions.Preconditions
			return true, nil, conflict("onejob-" + job.ID)
		})
		r := w.start("")
		time.Sleep(2 * time.Second)
		w.mu.Lock()
		p := w.pods["onejob-"+job.ID]
		w.mu.Unlock()
		p.setKjob(func(k *batchv1.Job) { k.Spec.Suspend, k.ResourceVersion = ptr.To(true), "17" })
		time.Sleep(2 * time.Second)
		w.mu.Lock()
		if only == nil || only.UID == nil || only.ResourceVersion == nil || *only.ResourceVersion != "17" {
			t.Errorf("deleted with the preconditions %v, want the UID and the version that was seen", only)
		}
		w.mu.Unlock()
		if n := w.kjobs(job.ID); n != 1 {
			t.Errorf("%d kjobs, want the one that changed meanwhile", n)
		}
		p.stop()
		r.stop()
		<-r.done
	})
}

// Placeholders come and go; somebody else's Job with the queue's label is none.
func TestWarmPlaceholders(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		theirs := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "theirs", Namespace: namespace, Labels: map[string]string{contract.LabelQueue: "default"}}}
		if err := w.kube.Tracker().Create(jobsGVR, theirs, namespace); err != nil {
			t.Fatal(err)
		}
		r := w.start("  min-agents: 3\n")
		warm := func() (n int) {
			for _, k := range r.stores[namespace].KjobsIn("default") {
				if k.ID == "" && k.Name != theirs.Name {
					n++
				}
			}
			return n
		}
		w.await("three placeholders", 10*time.Second, func() bool { return r.synced.Load() && warm() == 3 })
		w.runs = func(w *world, p *pod) { w.sleep(20*time.Second, p.kill); ran(w, p) }
		w.build(2)
		w.await("one placeholder", 10*time.Second, func() bool { return warm() == 1 })
		w.await("finished", time.Minute, w.finished(2))
		w.await("three placeholders", 15*time.Second, func() bool { return warm() == 3 })
		if r.stores[namespace].Kjob(theirs.Name) == nil {
			t.Error("somebody else's Job was deleted")
		}
		r.end(w)
	})
}

// A Role that leaves Events out, and a store of Events that is down: there are
// fewer words, but the pod that never starts is still ended in time.
func TestEventsUnread(t *testing.T) {
	for name, refusal := range map[string]error{
		"forbidden": apierrors.NewForbidden(corev1.Resource("events"), "", errors.New("no rule")),
		"down":      apierrors.NewInternalError(errors.New("etcdserver: the store of events is down")),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.kube.PrependReactor("list", "events", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, refusal })
				w.runs = func(w *world, p *pod) { w.sleep(time.Hour, p.kill) }
				job := w.build(1)[0]
				r := w.start("  pending-timeout: 1m\n")
				w.await("finished", 2*time.Minute, w.finished(1))
				if f := w.job(job.ID).StackFinish; f == nil || !strings.Contains(f.Detail, "did not start within") {
					t.Errorf("finished with %+v, want that the pod didn't start", f)
				}
				r.end(w)
			})
		})
	}
}

// A node dies before a pod on it has started, and nobody says so of the node: no
// build fails for that. Whoever looks at the job's page learns what to do, and
// once it is done the job runs.
func TestDeadNodeFailsNoBuild(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		deleted := make(chan struct{})
		w.runs = func(w *world, p *pod) {
			if p.attempt > 1 {
				ran(w, p)
				return
			}
			p.set(func(o *corev1.Pod) { o.Spec.NodeName = "node-7" })
			w.sleep(5*time.Minute, p.kill)
			now := metav1.Now()
			p.set(func(o *corev1.Pod) {
				o.DeletionTimestamp = &now
				o.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByTaintManager", Message: "Taint manager"}}
			})
			<-deleted
			p.set(func(o *corev1.Pod) { o.Status.Phase, o.Status.Reason = corev1.PodFailed, "DeletionByPodGC" })
			p.setKjob(func(k *batchv1.Job) { k.Annotations["test/lost"] = "yes" })
			_ = w.kube.Tracker().Delete(podsGVR, namespace, p.kjob+"-x")
			w.sleep(time.Second, p.kill)
			p.finishKjob(false)
		}
		id := w.build(1)[0].ID
		r := w.start("")
		time.Sleep(time.Hour)
		var said strings.Builder
		for _, n := range w.job(id).Notifications {
			said.WriteString(n.Detail + "\n")
		}
		if j := w.job(id); j.StackFinish != nil || w.kjobs(id) != 1 {
			t.Errorf("finished with %+v, %d kjobs; want the job to wait", j.StackFinish, w.kjobs(id))
		}
		for _, want := range []string{"waiting to start: node node-7 is preparing its containers", "if node node-7 is gone for good, delete it (kubectl delete node). Reason: DeletionByTaintManager, Taint manager"} {
			if !strings.Contains(said.String(), want) {
				t.Errorf("the page says %q, want %q in it", said.String(), want)
			}
		}
		close(deleted)
		w.await("finished", 10*time.Second, w.finished(1))
		if j := w.job(id); j.ExitStatus != "0" || w.kjobs(id) != 2 {
			t.Errorf("exit status %s with %d kjobs, finished with %+v", j.ExitStatus, w.kjobs(id), j.StackFinish)
		}
		r.end(w)
	})
}
