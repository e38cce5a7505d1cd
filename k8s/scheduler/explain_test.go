package scheduler

import (
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/simulator"
)

// says records an Event, or that it happened again, as a controller or the
// kubelet does.
func (w *world) says(kind, name, who, kindOf, reason, message string) {
	w.Helper()
	w.said(time.Now(), kind, name, who, kindOf, reason, message)
}

// said is says, of a moment before.
func (w *world) said(at time.Time, kind, name, who, kindOf, reason, message string) {
	w.Helper()
	now := metav1.NewTime(at.Truncate(time.Second))
	e := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "." + reason}, InvolvedObject: corev1.ObjectReference{Kind: kind, Name: name},
		Type: kindOf, Reason: reason, Message: message, Source: corev1.EventSource{Component: who}, FirstTimestamp: now, LastTimestamp: now,
	}
	_, err := w.kube.CoreV1().Events(namespace).Create(w.ctx, e, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = w.kube.CoreV1().Events(namespace).Update(w.ctx, e, metav1.UpdateOptions{})
	}
	if err != nil {
		w.Error(err)
	}
}

func (w *world) explain(id string, asking bool) operate.Story {
	w.Helper()
	q := configuredQueue(w.T, "")
	client := w.client()
	if !asking {
		client = nil
	}
	s, err := operate.Explain(w.ctx, w.kube, client, namespace, contract.JobID(id), PolicyOf(q, time.Minute))
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// wrote puts an Event of a scheduler's there.
func (w *world) wrote(id, reason string, d decide.Decision) {
	e := events.New(namespace, "onejob-"+id, "", true, reason, d.Text, d)
	if _, err := w.kube.CoreV1().Events(namespace).Create(w.ctx, e, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
}

// A job with three attempts, told in the order of time though the times of
// Kubernetes are in whole seconds: the first one's kjob is gone.
func TestExplainTellsTheStory(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			w.sleep(300*time.Millisecond, p.kill)
			p.start()
			began := time.Now()
			if p.attempt < 3 {
				w.sleep(200*time.Millisecond, p.kill)
				p.end(143, "Error", &contract.Message{Outcome: contract.OutcomeStopped, Received: "SIGTERM", Reason: "the node is drained"})
				return
			}
			a, err := w.acquire(p.id)
			if err != nil {
				w.Error(err)
				return
			}
			w.sleep(3*time.Second, p.kill)
			a.finish(7)
			seven := 7
			p.end(0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &seven, Tries: map[string]int{"register": 1, "acquire": 3, "chunks": 9}, LogChunksFailed: 2, Phases: []contract.Phase{
				{Name: "acquire", Start: began, Seconds: 0.1}, {Name: "run", Start: began.Add(100 * time.Millisecond), Seconds: 2.9},
			}})
		}
		job := w.build(1)[0]
		r := w.start("")
		w.await("finished", time.Minute, w.finished(1))
		time.Sleep(5 * time.Second)
		name := "onejob-" + job.ID
		_ = w.kube.Tracker().Delete(jobsGVR, namespace, name)
		_ = w.kube.Tracker().Delete(podsGVR, namespace, name+"-x")
		w.wholeSeconds()
		s := w.explain(job.ID, true)
		_ = w.kube.Tracker().Delete(jobsGVR, namespace, name+"-2")
		_ = w.kube.Tracker().Delete(jobsGVR, namespace, name+"-3")
		late := w.explain(job.ID, true) // the kjobs' time to live is over, the Events' isn't
		r.end(w)

		if n := len(late.Lines); n != 2 || !strings.HasPrefix(late.Lines[1].What, "NewAttempt: attempt 2 was stopped") || late.Now != "nothing: the job is finished, and its Kubernetes Jobs are gone" {
			t.Errorf("without kjobs: now %q, %d lines: %v; want those of both gone attempts", late.Now, n, late.Lines)
		}
		var lines []string
		for i, l := range s.Lines {
			lines = append(lines, l.Who+": "+l.What)
			if i > 0 && l.Time.Truncate(time.Second).Before(s.Lines[i-1].Time.Truncate(time.Second)) {
				t.Errorf("%q at %s is after %q at %s", l.What, l.Time, s.Lines[i-1].What, s.Lines[i-1].Time)
			}
		}
		text := strings.Join(lines, "\n")
		at := 0
		for _, want := range []string{
			"buildkite: made the job, or the one that uploaded it",
			"onejob: NewAttempt: attempt 1 was stopped before it acquired the job: the node is drained",
			"onejob: made " + name + "-2 for attempt 2",
			"kubernetes: assigned the pod to node node-1", "kubelet: started the container",
			"runner: stopped: the node is drained; it was sent SIGTERM", "kubelet: the container ended with 143 Error",
			"onejob: NewAttempt: attempt 2 was stopped",
			"onejob: made " + name + "-3 for attempt 3",
			"kubelet: started the container", "runner: acquire, for 0.1 s", "runner: run, for 2.9 s", "runner: finished, exit status 7; acquire after 3 tries; 2 chunks of the log are missing\n",
			"kubelet: the container ended with 0 Completed", "kubernetes: " + name + "-3: Complete",
		} {
			i := strings.Index(text[at:], want)
			if i < 0 {
				t.Fatalf("%q is missing, or told too early, in\n%s", want, text)
			}
			at += i
		}
		if s.State != "finished" || s.URL == "" || s.Now != "nothing: the job is finished" || len(s.Attempts) != 2 {
			t.Errorf("state %q, page %q, now %q, %d attempts", s.State, s.URL, s.Now, len(s.Attempts))
		}
	})
}

// wholeSeconds makes the times of what is stored what they are after a round
// trip to an API server.
func (w *world) wholeSeconds() {
	cut := func(ts ...*metav1.Time) {
		for _, t := range ts {
			t.Time = t.Truncate(time.Second)
		}
	}
	ks, _ := w.kube.BatchV1().Jobs(namespace).List(w.ctx, metav1.ListOptions{})
	for _, k := range ks.Items {
		cut(&k.CreationTimestamp)
		for i := range k.Status.Conditions {
			cut(&k.Status.Conditions[i].LastTransitionTime)
		}
		_ = w.kube.Tracker().Update(jobsGVR, &k, namespace)
	}
	ps, _ := w.kube.CoreV1().Pods(namespace).List(w.ctx, metav1.ListOptions{})
	for _, p := range ps.Items {
		for i := range p.Status.Conditions {
			cut(&p.Status.Conditions[i].LastTransitionTime)
		}
		for _, c := range p.Status.ContainerStatuses {
			if s := c.State.Running; s != nil {
				cut(&s.StartedAt)
			}
			if s := c.State.Terminated; s != nil {
				cut(&s.StartedAt, &s.FinishedAt)
			}
		}
		_ = w.kube.Tracker().Update(podsGVR, &p, namespace)
	}
	es, _ := w.kube.CoreV1().Events(namespace).List(w.ctx, metav1.ListOptions{})
	for _, e := range es.Items {
		cut(&e.LastTimestamp)
		_ = w.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("events"), &e, namespace)
	}
}

// What is being waited for, in each of the places where a job can be.
func TestExplainNow(t *testing.T) {
	waits := func(reason, message string) func(*world, *pod) {
		return func(w *world, p *pod) {
			p.set(func(o *corev1.Pod) {
				o.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: contract.AgentContainer, Image: "a:b", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}
			})
			w.sleep(time.Hour, p.kill)
		}
	}
	ends := func(code int, m contract.Message) func(*world, *pod) {
		return func(_ *world, p *pod) { p.start(); p.end(code, "Error", &m) }
	}
	// goes deletes a kjob in foreground, of a pod with a grace, while its job can be had.
	goes := func(grace int64) func(*world, string) {
		return func(w *world, id string) {
			w.mu.Lock()
			p := w.pods["onejob-"+id]
			w.mu.Unlock()
			p.setKjob(func(k *batchv1.Job) {
				now := metav1.Now()
				k.DeletionTimestamp, k.Finalizers = &now, []string{metav1.FinalizerDeleteDependents}
				k.Spec.Template.Spec.TerminationGracePeriodSeconds = &grace
			})
		}
	}
	for _, tt := range []struct {
		name    string
		runs    func(*world, *pod) // nil: there is no kjob
		do      func(w *world, id string)
		offline bool
		after   time.Duration
		now     []string
		advice  string
	}{
		{name: "no kjob", now: []string{"waits for a free slot, or for a scheduler"}, advice: "max-in-flight"},
		{name: "no kjob, offline", offline: true, now: []string{"there is no Kubernetes Job, and Buildkite's state is not known: no token"}, advice: "--config"},
		{name: "no kjob, over", do: func(w *world, id string) { _ = w.sim.CancelJob(id) }, now: []string{"the job is canceled and has no Kubernetes Job"}},
		{name: "no kjob, a quota", do: func(w *world, id string) {
			w.wrote(id, events.Waiting, decide.Decision{Reason: decide.ReasonNotCreated, Text: "whatever it says"})
		}, now: []string{"its Kubernetes Job is whatever it says"}, advice: "fix the cause"},
		{name: "no kjob, which waited for a node", do: func(w *world, id string) {
			w.wrote(id, events.Waiting, decide.Decision{Reason: decide.ReasonPending, Text: "waiting to be created: exceeded quota: jobs"})
		}, now: []string{"waits for a free slot"}, advice: "max-in-flight"},
		{name: "no kjob, a quota, offline", offline: true, do: func(w *world, id string) {
			w.says("Job", "onejob-"+id, contract.ManagedBy, corev1.EventTypeWarning, events.Waiting, "waiting to be created: exceeded quota: jobs")
		}, now: []string{"state is not known: no token", "onejob's last Event about it: waiting to be created: exceeded quota"}, advice: "--config"},
		{name: "no kjob, refused", do: func(w *world, id string) {
			w.says("Job", "onejob-"+id, contract.ManagedBy, corev1.EventTypeWarning, events.Finished, "Kubernetes refused the Job")
			_ = w.sim.CancelJob(id)
		}, now: []string{"nothing: the job is canceled: Kubernetes refused the Job"}, advice: "then retry the job"},
		{name: "no kjob any more", do: func(w *world, id string) {
			w.says("Job", "onejob-"+id, "job-controller", corev1.EventTypeNormal, "SuccessfulCreate", "Created pod")
			w.says("Job", "onejob-"+id+"-2", "job-controller", corev1.EventTypeNormal, "Completed", "Job completed")
			_ = w.sim.CancelJob(id)
		}, now: []string{"nothing: the job is canceled, and its Kubernetes Jobs are gone"}, advice: "nothing"},
		{name: "no pod, a quota", runs: func(*world, *pod) {}, do: func(w *world, id string) {
			_ = w.kube.Tracker().Delete(podsGVR, namespace, "onejob-"+id+"-x")
			w.says("Job", "onejob-"+id, "job-controller", corev1.EventTypeWarning, "FailedCreate", "exceeded quota: pods")
		}, after: 30 * time.Second, now: []string{"waiting to start: Kubernetes can't create the pod yet: exceeded quota: pods"}, advice: "pending-timeout"},
		{name: "image", runs: waits("ErrImagePull", "manifest unknown"), do: func(w *world, id string) {
			w.says("Pod", "onejob-"+id+"-x", "kubelet", corev1.EventTypeWarning, "Failed", "manifest unknown")
		}, after: 20 * time.Second, now: []string{"waiting to start: ErrImagePull (image a:b): check that it exists and that the pod may pull it. manifest unknown"}, advice: "image-grace"},
		{name: "image, without an event", runs: waits("ErrImagePull", "manifest unknown"), after: 20 * time.Second, now: []string{"waiting to start: ErrImagePull"}},
		{name: "image, for too long", runs: waits("ErrImagePull", "manifest unknown"), do: func(w *world, id string) {
			w.says("Pod", "onejob-"+id+"-x", "kubelet", corev1.EventTypeWarning, "Failed", "manifest unknown")
		}, after: 3 * time.Minute, now: []string{"the job will be finished: the pod can't start: ErrImagePull", "manifest unknown"}, advice: "fix the cause"},
		{name: "runs", runs: working, now: []string{"the runner is working"}},
		{name: "runs, offline", runs: working, offline: true, now: []string{"the runner is working"}},
		{name: "told to stop, and its node is dead", runs: func(w *world, p *pod) {
			p.start()
			p.set(func(o *corev1.Pod) {
				now := metav1.Now()
				o.DeletionTimestamp = &now
				o.Status.Conditions = append(o.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByTaintManager"})
			})
			w.sleep(time.Hour, p.kill)
		}, after: time.Minute, now: []string{"waiting for the pod to end: it was told to stop before it acquired the job; if node node-1 is gone for good, delete it (kubectl delete node). Reason: DeletionByTaintManager"}, advice: "out-of-service"},
		{name: "cancelled, and its runner waits", runs: func(w *world, p *pod) { p.start(); w.sleep(time.Hour, p.kill) }, do: func(w *world, id string) {
			if _, err := operate.Cancel(w.ctx, w.kube, namespace, contract.JobID(id), "ada", false); err != nil {
				w.Error(err)
			}
		}, now: []string{"the job will be finished: cancelled in Kubernetes by ada"}},
		{name: "over, the pod takes its leave", runs: func(w *world, p *pod) {
			p.start()
			a, err := w.acquire(p.id)
			if err != nil {
				w.Error(err)
				return
			}
			a.finish(0)
			w.sleep(time.Hour, p.kill)
		}, now: []string{"waiting for the pod to end: the job is finished"}},
		{name: "is being deleted, in its pod's grace", runs: pending, do: goes(600), after: 5 * time.Minute, now: []string{"the last attempt is deleting"}},
		{name: "is being deleted, after its pod's grace", runs: pending, do: goes(20), after: 100 * time.Second, now: []string{"waiting for the deleted Kubernetes Job of attempt 1 to go"}},
		{name: "stopped", runs: ends(143, contract.Message{Outcome: contract.OutcomeStopped, Reason: "drained"}), now: []string{"a new attempt will be made: attempt 1 was stopped before it acquired the job: drained"}, advice: "reacquire"},
		{name: "locked", runs: func(_ *world, p *pod) {
			at := time.Now().Add(time.Minute)
			p.start()
			p.end(28, "Error", &contract.Message{Outcome: contract.OutcomeLocked, NotBefore: &at})
		}, now: []string{"a new attempt will be made: attempt 1 found the job locked; not before 00:01:0"}},
		{name: "exhausted, offline", runs: ends(75, contract.Message{Outcome: contract.OutcomeExhausted}), offline: true, now: []string{"Buildkite's state of the job decides what comes next"}, advice: "token"},
		{name: "stopped, and its node's clock is ahead", runs: func(w *world, p *pod) {
			ends(143, contract.Message{Outcome: contract.OutcomeStopped, Reason: "drained"})(w, p)
			p.set(func(o *corev1.Pod) {
				o.Status.ContainerStatuses[0].State.Terminated.FinishedAt = metav1.NewTime(time.Now().Add(time.Minute))
			})
		}, now: []string{"a new attempt will be made: attempt 1 was stopped before it acquired the job: drained"}},
		{name: "evicted, and nobody says when", runs: func(_ *world, p *pod) {
			p.set(func(o *corev1.Pod) { o.Status.Phase, o.Status.Reason = corev1.PodFailed, "Evicted" })
		}, now: []string{"a new attempt will be made: the pod of attempt 1 was lost before it acquired the job: Evicted"}},
		{name: "another agent has it", runs: func(w *world, p *pod) {
			p.set(func(o *corev1.Pod) { o.Spec.NodeName = "node-1" })
			if _, err := w.acquire(p.id); err != nil {
				w.Error(err)
			}
			waits("ImagePullBackOff", "manifest unknown")(w, p)
		}, do: func(w *world, id string) {
			w.says("Pod", "onejob-"+id+"-x", "kubelet", corev1.EventTypeWarning, "Failed", "manifest unknown")
		}, after: 2 * time.Minute, now: []string{"another agent seems to have the job; pod"}, advice: "nothing"},
		{name: "over, and its pod may have run it", runs: func(w *world, p *pod) {
			p.set(func(o *corev1.Pod) { o.Spec.NodeName = "node-1" })
			a, err := w.acquire(p.id)
			if err != nil {
				w.Error(err)
				return
			}
			a.finish(0)
			w.sleep(time.Hour, p.kill)
		}, now: []string{"the last attempt is pending"}, advice: "nothing"},
		{name: "config", runs: ends(78, contract.Message{Outcome: contract.OutcomeConfig, Reason: "bad flag"}), now: []string{"the job will be finished: attempt 1 could not run", "bad flag"}},
		{name: "lost", runs: func(_ *world, p *pod) { p.start(); p.end(137, "OOMKilled", nil) }, now: []string{"a new attempt will be made: the pod of attempt 1 was lost", "OOMKilled"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = tt.runs
				id := w.build(1)[0].ID
				if _, err := w.client().Register(w.ctx, nil); err != nil {
					t.Fatal(err)
				}
				if tt.runs != nil {
					w.attempt(id, 1)
				}
				if tt.do != nil {
					tt.do(w, id)
				}
				time.Sleep(tt.after)
				s := w.explain(id, !tt.offline)
				for _, want := range tt.now {
					if !strings.Contains(s.Now, want) {
						t.Errorf("now %q, want %q in it", s.Now, want)
					}
				}
				if !strings.Contains(s.Advice, tt.advice) {
					t.Errorf("advice %q, want %q in it", s.Advice, tt.advice)
				}
			})
		})
	}
}

// `onejob jobs`: every kjob in its phase, and the pods that have none.
func TestRows(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		jobs := w.build(6)
		does := map[contract.JobID]func(*world, *pod){
			contract.JobID(jobs[0].ID): ran,
			contract.JobID(jobs[1].ID): working,
			contract.JobID(jobs[2].ID): pending,
			contract.JobID(jobs[3].ID): func(_ *world, p *pod) {
				p.start()
				p.end(75, "Error", &contract.Message{Outcome: contract.OutcomeExhausted, Reason: "no network"})
			},
			contract.JobID(jobs[4].ID): func(_ *world, p *pod) { p.start(); p.end(137, "OOMKilled", nil) },
			contract.JobID(jobs[5].ID): func(w *world, p *pod) { p.start(); w.sleep(time.Hour, nil) },
		}
		w.runs = func(w *world, p *pod) { does[p.id](w, p) }
		for _, j := range jobs {
			w.attempt(j.ID, 1)
		}
		_ = w.kube.Tracker().Delete(jobsGVR, namespace, "onejob-"+jobs[5].ID)
		rows, err := operate.List(w.ctx, w.kube, namespace, "")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rows {
			got = append(got, strings.Join([]string{r.Phase, r.Reason, r.Node}, "|"))
			if r.JobID == "" || r.Attempt != 1 || r.Queue != "default" {
				t.Errorf("row %+v", r)
			}
		}
		want := []string{
			"done|finished, exit status 0|node-1", "running||node-1", "pending||", "ended|exhausted: no network|node-1",
			"lost|it ran out of memory: OOMKilled, exit code 137|node-1", "running|its Kubernetes Job is gone; the pod counts for max-in-flight until it is gone too|node-1",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if rows, err = operate.List(w.ctx, w.kube, namespace, contract.JobID(jobs[2].ID)); err != nil || len(rows) != 1 {
			t.Errorf("of one job: %d rows, %v", len(rows), err)
		}
		w.attempt(jobs[5].ID, 1) // a kjob of the name that the orphan's had
		if rows, err = operate.List(w.ctx, w.kube, namespace, contract.JobID(jobs[5].ID)); err != nil || len(rows) != 2 {
			t.Errorf("an orphan beside a kjob of its kjob's name: %+v, %v; want both", rows, err)
		}
	})
}
