package scheduler

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	"k8s.io/client-go/rest"
	restfake "k8s.io/client-go/rest/fake"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/simulator"
)

// letIn is the Job controller's share in keeping a pod out: while its kjob is
// suspended, and while a quota of pods is used up, of which it tells in Events at
// growing intervals. It reports false if the kjob goes first.
func (w *world) letIn(p *pod) bool {
	for suspended, tries := false, 0; ; {
		o, err := w.kube.Tracker().Get(jobsGVR, namespace, p.kjob)
		if err != nil {
			return false
		}
		k := o.(*batchv1.Job)
		switch is := k.Spec.Suspend != nil && *k.Spec.Suspend; {
		case is:
			if !suspended {
				p.setCondition(batchv1.JobCondition{Type: batchv1.JobSuspended, Status: corev1.ConditionTrue, Reason: "JobSuspended", Message: "Job suspended"})
			}
			suspended, tries = true, 0
		case suspended:
			suspended = false
			if !w.sleep(w.resumeLag, p.kill) {
				return false
			}
			p.setCondition(batchv1.JobCondition{Type: batchv1.JobSuspended, Status: corev1.ConditionFalse, Reason: "JobResumed", Message: "Job resumed"})
			p.setKjob(func(k *batchv1.Job) { k.Status.StartTime = ptr.To(metav1.Now()) })
		case !w.overQuota():
			return true
		default:
			tries++
			w.says("Job", p.kjob, "job-controller", corev1.EventTypeWarning, "FailedCreate", fmt.Sprintf("pods %q is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1", p.kjob))
		}
		if !w.sleep(min(100*time.Millisecond<<min(tries, 10), time.Minute), p.kill) {
			return false
		}
	}
}

func (p *pod) setCondition(c batchv1.JobCondition) {
	c.LastTransitionTime = metav1.Now()
	p.setKjob(func(k *batchv1.Job) {
		kept := k.Status.Conditions[:0]
		for _, o := range k.Status.Conditions {
			if o.Type != c.Type {
				kept = append(kept, o)
			}
		}
		k.Status.Conditions = append(kept, c)
		if c.Status == corev1.ConditionTrue {
			k.Status.StartTime = nil
		}
	})
}

// podsLeft are the pods that count in a quota.
func (w *world) podsLeft() (n int) {
	list, _ := w.kube.Tracker().List(podsGVR, corev1.SchemeGroupVersion.WithKind("Pod"), namespace)
	for _, p := range list.(*corev1.PodList).Items {
		if p.Status.Phase == corev1.PodPending || p.Status.Phase == corev1.PodRunning {
			n++
		}
	}
	return n
}

func (w *world) overQuota() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.quota > 0 && w.podsLeft() >= w.quota
}

// otherPod is somebody else's.
func (w *world) otherPod() {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: namespace}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	_ = w.kube.Tracker().Create(podsGVR, p, namespace)
}

func (w *world) suspend(id string, yes bool) {
	w.mu.Lock()
	p := w.pods["onejob-"+id]
	w.mu.Unlock()
	p.setKjob(func(k *batchv1.Job) { k.Spec.Suspend = &yes })
}

// staysReserved watches that a job is ours for a time.
func (w *world) staysReserved(id string, d time.Duration) {
	w.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
		if s := w.job(id).State; s != simulator.StateReserved {
			w.Fatalf("the job is %s, want it reserved all the while", s)
		}
	}
}

// hasPage wants the page of a job to have a line, in order, with each of these words.
func (w *world) hasPage(id string, words ...string) {
	w.Helper()
	lines := w.page(id)
	for _, word := range words {
		found := false
		for _, l := range lines {
			found = found || strings.Contains(l, word)
		}
		if !found {
			w.Errorf("the page says %q, want %q in it", lines, word)
		}
	}
}

const suspended = "  pending-timeout: 20s\n  template: {inline: {apiVersion: batch/v1, kind: Job, metadata: {labels: {kueue.x-k8s.io/queue-name: ci}}, spec: {suspend: true}}}\n"

// Time while a kjob is suspended is no time to start: its job is kept, its page says
// who holds it, and the time begins when it is let in, also for a scheduler that
// comes later, and where the Job controller is slow to notice.
func TestSuspendedIsNoTimeToStart(t *testing.T) {
	for _, tt := range []struct {
		name    string
		lag     time.Duration
		restart bool
	}{{"", 0, false}, {"the Job controller is slow", 10 * time.Second, false}, {"another scheduler", 0, true}} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.resumeLag = tt.lag
				w.runs = func(w *world, p *pod) { w.sleep(9*time.Second, p.kill); ran(w, p) }
				id := w.build(1)[0].ID
				r := w.start(suspended)
				w.await("a kjob", 5*time.Second, func() bool { return w.kjobs(id) == 1 })
				time.Sleep(2 * time.Second)
				w.staysReserved(id, 3*time.Minute)
				w.hasPage(id, "waiting to start: the Kubernetes Job is suspended and waits to be admitted (queue ci of Kueue)")
				if tt.restart {
					r.end(w)
					r = w.start(suspended)
					w.staysReserved(id, 10*time.Second)
				}
				w.explains(id, "waits to be admitted (queue ci of Kueue), since ", "pending-timeout begins when it is admitted")
				w.suspend(id, false)
				w.await("the job's end", time.Minute, w.finished(1))
				if j := w.job(id); j.ExitStatus != "0" || w.kjobs(id) != 1 {
					t.Errorf("it ended with %q and %d kjobs: %q", j.ExitStatus, w.kjobs(id), w.page(id))
				}
				r.end(w)
			})
		})
	}
}

// A kjob that is suspended again before it has a pod is kept out again, and its time
// to start is whole each time; when that is over it ends as ever.
func TestSuspendedAgain(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.quota = 1 // so that a kjob that is let in has no pod yet
		w.runs = func(w *world, p *pod) { w.sleep(time.Hour, p.kill) }
		id := w.build(1)[0].ID
		r := w.start(suspended)
		w.await("a kjob", 5*time.Second, func() bool { return w.kjobs(id) == 1 })
		w.otherPod()
		for range 3 {
			time.Sleep(15 * time.Second)
			w.suspend(id, false)
			time.Sleep(12 * time.Second)
			w.suspend(id, true)
		}
		w.staysReserved(id, time.Minute)
		_ = w.kube.Tracker().Delete(podsGVR, namespace, "other")
		w.suspend(id, false)
		w.staysReserved(id, 15*time.Second)
		took := w.await("the job's end", time.Minute, w.finished(1))
		if f := w.job(id).StackFinish; f == nil || !strings.Contains(f.Detail, "the pod did not start within 20s") || took > 10*time.Second {
			t.Errorf("after %s: %+v", took, f)
		}
		r.end(w)
	})
}

// A job whose pod a quota keeps out waits for as long as it takes, and so do a
// hundred whose Events a new scheduler hasn't read yet.
func TestQuotaIsNoTimeToStart(t *testing.T) {
	const n = 100
	inWorld(t, simulator.Config{}, func(w *world) {
		w.quota = 1
		w.otherPod()
		jobs := w.build(n)
		const conf = "  pending-timeout: 30s\n"
		r := w.start(conf)
		w.await("a kjob each", time.Minute, func() bool { return w.created() == n })
		time.Sleep(2 * time.Minute)
		r.end(w)
		r = w.start(conf)
		time.Sleep(2 * time.Minute)
		if done := w.sim.JobsIn()[simulator.StateFinished]; done > 0 {
			t.Fatalf("%d jobs were finished while the quota kept their pods out", done)
		}
		w.mu.Lock()
		w.quota = 0
		w.mu.Unlock()
		w.await("all done", 10*time.Minute, w.finished(n))
		told := 0
		for _, j := range jobs {
			if w.job(j.ID).ExitStatus != "0" {
				t.Fatalf("a job ended with %q: %q", w.job(j.ID).ExitStatus, w.page(j.ID))
			}
			if strings.Contains(strings.Join(w.page(j.ID), "\n"), "Kubernetes can't create the pod yet: pods ") {
				told++
			}
		}
		if told != n {
			t.Errorf("%d pages tell of the quota, want %d", told, n)
		}
		if got := w.created(); got != n {
			t.Errorf("%d kjobs for %d jobs", got, n)
		}
		r.end(w)
	})
}

// A quota of Jobs keeps out no less than one of pods.
func TestQuotaOfJobsIsNoTimeToStart(t *testing.T) {
	for text, want := range map[string]string{"  pending-timeout: 20s\n": "0", "  pending-timeout: 1h\n  suspended-timeout: 60s\n": "-1"} {
		inWorld(t, simulator.Config{}, func(w *world) {
			began := time.Now()
			w.onCreate = func(k *batchv1.Job) (before, after error) {
				if time.Since(began) > 3*time.Minute {
					return nil, nil
				}
				return apierrors.NewForbidden(schema.GroupResource{Group: "batch", Resource: "jobs"}, k.Name, errQuota), nil
			}
			id := w.build(1)[0].ID
			r := w.start(text)
			w.await("the job's end", 5*time.Minute, w.finished(1))
			if got := w.job(id).ExitStatus; got != want {
				t.Errorf("%q: it ended with %q, want %q: %q", text, got, want, w.page(id))
			}
			if f := w.job(id).StackFinish; f != nil && !strings.Contains(f.Detail, "did not accept the Job within 1m0s: ") {
				t.Errorf("%+v", f)
			}
			r.end(w)
		})
	}
}

// The build of a kjob that is kept out is cancelled: its kjob goes at once.
func TestCancelledWhileKeptOut(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		id := w.build(1)[0].ID
		r := w.start(suspended)
		w.await("a kjob", 5*time.Second, func() bool { return w.kjobs(id) == 1 })
		time.Sleep(time.Minute)
		if err := w.sim.CancelJob(id); err != nil {
			t.Fatal(err)
		}
		w.await("its kjob is gone", 5*time.Second, func() bool { return w.kjobsLeft() == 0 })
		r.end(w)
	})
}

// Who wants an end to that says so.
func TestSuspendedTimeout(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		id := w.build(1)[0].ID
		r := w.start(suspended + "  suspended-timeout: 10m\n")
		w.await("a kjob", 5*time.Second, func() bool { return w.kjobs(id) == 1 })
		time.Sleep(2 * time.Second)
		w.staysReserved(id, 9*time.Minute)
		w.await("the job's end", time.Minute+10*time.Second, w.finished(1))
		const want = "Kubernetes did not admit the pod within 10m0s (suspended-timeout): the Kubernetes Job is suspended and waits to be admitted (queue ci of Kueue)"
		if f := w.job(id).StackFinish; f == nil || f.Detail != want {
			t.Errorf("finished with %+v, want %q", f, want)
		}
		w.await("its kjob is gone", 10*time.Second, func() bool { return w.kjobsLeft() == 0 })
		r.end(w)
	})
}

// Where there is Kueue, the page has its words.
func TestKueueSaysWhatItWaitsFor(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		asked := map[string]int{}
		k := kueued{w.kube, &restfake.RESTClient{NegotiatedSerializer: scheme.Codecs.WithoutConversion(), Client: restfake.CreateHTTPClient(func(r *http.Request) (*http.Response, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			asked[r.URL.Path]++
			var body any
			switch r.URL.Path {
			case "/apis/kueue.x-k8s.io":
				body = metav1.APIGroup{PreferredVersion: metav1.GroupVersionForDiscovery{Version: "v1beta1"}}
			case "/apis/kueue.x-k8s.io/v1beta1/namespaces/builds/workloads":
				body = map[string]any{"items": []any{map[string]any{"status": map[string]any{"conditions": []metav1.Condition{
					{Type: "QuotaReserved", Status: metav1.ConditionFalse, Reason: "Pending", Message: "couldn't assign flavors to pod set main: insufficient unused quota for cpu"},
				}}}}}
			}
			b, _ := json.Marshal(body)
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(b))}, nil
		})}}
		id := w.build(1)[0].ID
		r := w.start(suspended, func(o *Options) { o.Kube, o.Lean = k, w.kube })
		w.await("its page says so", 30*time.Second, func() bool { return len(w.page(id)) > 0 })
		time.Sleep(2 * time.Minute)
		w.hasPage(id, "waits to be admitted: Kueue: couldn't assign flavors to pod set main: insufficient unused quota for cpu")
		if n := len(w.page(id)); n != 1 {
			t.Errorf("the page has %d lines, want one: %q", n, w.page(id))
		}
		w.mu.Lock()
		if got := asked["/apis/kueue.x-k8s.io"]; got != 1 {
			t.Errorf("asked %d times for Kueue's version", got)
		}
		w.mu.Unlock()
		r.end(w)
	})
}

// kueued is a cluster with Kueue.
type kueued struct {
	kube.Client
	rest *restfake.RESTClient
}

func (k kueued) BatchV1() batchclient.BatchV1Interface {
	return kueuedBatch{k.Client.BatchV1(), k.rest}
}

type kueuedBatch struct {
	batchclient.BatchV1Interface
	rest *restfake.RESTClient
}

func (b kueuedBatch) RESTClient() rest.Interface { return b.rest }

// What Kueue lets in and takes back, before its runner has the job, is no attempt that
// failed, however often it does.
func TestPreemptedByKueue(t *testing.T) {
	const times = 24
	inWorld(t, simulator.Config{}, func(w *world) {
		preempted := map[string]bool{}
		w.runs = func(w *world, p *pod) {
			w.mu.Lock()
			enough := len(preempted) >= times
			preempted[p.kjob] = true
			w.mu.Unlock()
			if enough {
				ran(w, p)
				return
			}
			w.sleep(2*time.Second, p.kill)
			yes := true
			p.setKjob(func(k *batchv1.Job) { k.Spec.Suspend = &yes })
			_ = w.kube.Tracker().Delete(podsGVR, namespace, p.kjob+"-x") // the Job controller stops it
			w.sleep(time.Hour, p.kill)
		}
		w.wg.Go(func() { // Kueue lets each in, once
			for w.sleep(time.Second, nil) {
				w.mu.Lock()
				var fresh []*pod
				for _, p := range w.pods {
					if !preempted[p.kjob] {
						fresh = append(fresh, p)
					}
				}
				w.mu.Unlock()
				for _, p := range fresh {
					no := false
					p.setKjob(func(k *batchv1.Job) { k.Spec.Suspend = &no })
				}
			}
		})
		id := w.build(1)[0].ID
		r := w.start(suspended + "  max-attempts: 3\n")
		w.await("finished", 20*time.Minute, w.finished(1))
		if got := w.job(id); got.ExitStatus != "0" || w.kjobs(id) != times+1 {
			t.Errorf("it ended with %q after %d Kubernetes Jobs, want 0 after %d: %q", got.ExitStatus, w.kjobs(id), times+1, w.page(id))
		}
		r.end(w)
	})
}

// explains wants explain to say these words of what is waited for, and to advise that.
func (w *world) explains(id, words, advice string) {
	w.Helper()
	s := w.explain(id, true)
	if !strings.Contains(s.Now, words) || !strings.Contains(s.Advice, advice) {
		w.Errorf("explain says %q and %q, want %q and %q", s.Now, s.Advice, words, advice)
	}
}

// Kueue's waitForPodsReady evicts a kjob whose pod no node fits, before pending-timeout
// ends the job. Each attempt is a new Workload, so that Kueue's own limit never counts.
func TestEvictedTimeAndAgain(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			no, yes := false, true
			p.setKjob(func(k *batchv1.Job) { k.Spec.Suspend = &no })
			w.sleep(5*time.Minute, p.kill)
			p.setKjob(func(k *batchv1.Job) { k.Spec.Suspend = &yes })
			_ = w.kube.Tracker().Delete(podsGVR, namespace, p.kjob+"-x")
			w.sleep(time.Hour, p.kill)
		}
		id := w.build(1)[0].ID
		r := w.start("  max-attempts: 3\n  pending-timeout: 10m\n")
		w.await("the job's end", 4*time.Hour, w.finished(1))
		if f := w.job(id).StackFinish; f == nil || !strings.Contains(f.Detail, "gave up after 30 attempts") || w.kjobs(id) > 30 {
			t.Errorf("%d kjobs, %+v", w.kjobs(id), f)
		}
		r.end(w)
	})
}
