package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	k8stesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

// client is what the command line asks Buildkite with.
func (w *world) client() *stacks.Client {
	w.Helper()
	c, err := stacks.New(stacks.Config{Endpoint: "http://buildkite.test/v3", Token: stacks.Token(simulator.DefaultAgentToken), Stack: "onejob-default", Queue: "default", Transport: w.sim.Transport(), Attempts: 4})
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *world) template(doc string) *kjob.Template {
	w.Helper()
	t := parsedTemplate(w.T, doc)
	return t
}

// attempt makes a kjob without a scheduler, and waits until its pod has done
// what it does in the first seconds.
func (w *world) attempt(id string, n int) {
	w.Helper()
	job := stacks.Job{ID: contract.JobID(id), Pipeline: "demo", Build: 1, Branch: "main"}
	k, err := kjob.New(job, n, w.template(""), nil)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := w.kube.BatchV1().Jobs(namespace).Create(w.ctx, k, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	time.Sleep(5 * time.Second)
}

func pending(w *world, p *pod) { w.sleep(time.Hour, p.kill) }

// working has the job until it is killed.
func working(w *world, p *pod) {
	p.start()
	if _, err := w.acquire(p.id); err != nil {
		w.Error(err)
	}
	w.sleep(time.Hour, p.kill)
}

func TestReacquire(t *testing.T) {
	stopped := func(_ *world, p *pod) { p.end(143, "Error", &contract.Message{Outcome: contract.OutcomeStopped}) }
	for _, tt := range []struct {
		name  string
		first func(*world, *pod) // what attempt 1 does; nil: there is none
		do    func(w *world, id string, r *operate.Reacquirer)
		force bool
		want  int    // the attempt that is made, 0 for none
		says  string // in the error, or in what was said on the way
		gone  bool   // attempt 1 is deleted
	}{
		{name: "scheduled, no kjob", want: 1},
		{name: "the old kjob is long gone", first: stopped, do: func(w *world, id string, _ *operate.Reacquirer) {
			_ = w.kube.Tracker().Delete(jobsGVR, namespace, "onejob-"+id)
			_ = w.kube.Tracker().Delete(podsGVR, namespace, "onejob-"+id+"-x")
			w.mu.Lock()
			delete(w.made, "onejob-"+id)
			w.mu.Unlock()
		}, want: 1},
		{name: "ended", first: stopped, want: 2},
		{name: "lost", first: func(_ *world, p *pod) { p.start(); p.end(137, "OOMKilled", nil) }, want: 2},
		{name: "runs", first: working, says: "the job is running; Buildkite would refuse it to a second pod (https://buildkite.com/acme/demo/builds/1#"},
		{name: "runs, force", first: working, force: true, says: "the job is running"},
		{name: "over", first: ran, says: "the job is over (finished); retry it on Buildkite"},
		{name: "over, force", first: ran, force: true, says: "the job is over"},
		{name: "cancelled", do: func(w *world, id string, _ *operate.Reacquirer) { _ = w.sim.CancelJob(id) }, force: true, says: "the job is over (canceled)"},
		{name: "pending", first: pending, says: "--force replaces it"},
		{name: "pending, force", first: pending, force: true, want: 2, gone: true},
		{name: "pending, force, dry run", first: pending, force: true, do: func(_ *world, _ string, r *operate.Reacquirer) { r.DryRun = true }},
		{name: "dry run", do: func(_ *world, _ string, r *operate.Reacquirer) { r.DryRun = true }},
		{name: "got the job while it was deleted", first: func(w *world, p *pod) {
			p.start()
			w.sleep(time.Hour, p.kill)
			if _, err := w.acquire(p.id); err != nil {
				w.Error(err)
			}
		}, force: true, says: "the job became running while attempt 1 was being deleted", gone: true},
		{name: "the pod takes its time", first: func(w *world, p *pod) {
			p.start()
			w.sleep(time.Hour, p.kill)
			time.Sleep(40 * time.Second)
		}, force: true, want: 2, says: "waiting until its pod is gone", gone: true},
		{name: "the pod never goes", first: func(w *world, p *pod) {
			p.start()
			w.sleep(time.Hour, nil)
		}, force: true, says: "its old pod was still there after 2m0s", gone: true},
		{name: "a pod without its kjob", first: func(w *world, _ *pod) { w.sleep(time.Minute, nil) }, do: func(w *world, id string, _ *operate.Reacquirer) {
			_ = w.kube.Tracker().Delete(jobsGVR, namespace, "onejob-"+id)
		}, says: "a pod of the job is still there"},
		{name: "unknown", do: func(_ *world, _ string, r *operate.Reacquirer) { r.Client = otherCluster(t) }, says: "Buildkite doesn't know the job in this cluster"},
		{name: "no token, nothing is left", do: func(_ *world, _ string, r *operate.Reacquirer) { r.Client = nil }, want: 1, says: "Buildkite refuses it to the new pod"},
		{name: "no token, ran", first: ran, do: func(_ *world, _ string, r *operate.Reacquirer) { r.Client = nil }, says: "attempt 1 is done: finished, exit status 0; it may have acquired the job, and Buildkite can't be asked: there is no token"},
		{name: "no token, ran, force", first: ran, force: true, do: func(_ *world, _ string, r *operate.Reacquirer) { r.Client = nil }, says: "it may have acquired the job"},
		{name: "no token, lost", first: func(_ *world, p *pod) { p.start(); p.end(137, "OOMKilled", nil) }, do: func(_ *world, _ string, r *operate.Reacquirer) { r.Client = nil }, says: "attempt 1 is lost: it ran out of memory: OOMKilled"},
		{name: "no token, ran, and its pod is collected", first: ran, do: func(w *world, id string, r *operate.Reacquirer) {
			r.Client = nil
			_ = w.kube.Tracker().Delete(podsGVR, namespace, "onejob-"+id+"-x")
		}, says: "attempt 1 is done; it may have acquired the job"},
		{name: "no token, ran, and its exit status is reflected", first: func(_ *world, p *pod) {
			p.end(143, "Error", &contract.Message{Outcome: contract.OutcomeFinished})
		}, do: func(_ *world, _ string, r *operate.Reacquirer) { r.Client = nil }, says: "attempt 1 is done: finished; it may have acquired the job"},
		{name: "no token, stopped before", first: stopped, do: func(_ *world, _ string, r *operate.Reacquirer) { r.Client = nil }, want: 2},
		{name: "503, ran", first: ran, do: func(w *world, _ string, _ *operate.Reacquirer) {
			w.sim.AddFault(simulator.Fault{Endpoint: "stacks/*", Status: 503})
		}, says: "it may have acquired the job"},
		{name: "no token, pending", first: pending, do: func(_ *world, _ string, r *operate.Reacquirer) { r.Client = nil }, says: "Buildkite can't be asked: there is no token"},
		{name: "no token, pending, force", first: pending, force: true, do: func(_ *world, _ string, r *operate.Reacquirer) { r.Client = nil }, says: "Buildkite can't be asked"},
		{name: "503, pending, force", first: pending, force: true, do: func(w *world, _ string, _ *operate.Reacquirer) {
			w.sim.AddFault(simulator.Fault{Endpoint: "stacks/*", Status: 503})
		}, says: "may have the job, and Buildkite can't be asked"},
		{name: "503 in between, force", first: pending, force: true, do: func(w *world, _ string, _ *operate.Reacquirer) {
			w.sim.AddFault(simulator.Fault{Endpoint: "stacks_states", Status: 503, Skip: 2})
		}, says: "asking again after the deletion", gone: true},
		{name: "the reservation fails", do: func(w *world, _ string, _ *operate.Reacquirer) {
			w.sim.AddFault(simulator.Fault{Endpoint: "stacks_reserve", Status: 503})
		}, want: 1},
		{name: "another stack holds it", do: func(w *world, id string, _ *operate.Reacquirer) {
			other, _ := stacks.New(stacks.Config{Endpoint: "http://buildkite.test/v3", Token: stacks.Token(simulator.DefaultAgentToken), Stack: "other", Queue: "default", Transport: w.sim.Transport()})
			if _, err := other.Register(w.ctx, nil); err != nil {
				w.Fatal(err)
			}
			if got, err := other.Reserve(w.ctx, []contract.JobID{contract.JobID(id)}, time.Minute); len(got) != 1 {
				w.Fatal(got, err)
			}
		}, want: 1, says: "another one may hold it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				uids := w.deletedUIDs()
				w.runs = func(w *world, p *pod) {
					if first := tt.first; first != nil {
						w.runs = nil
						first(w, p)
						return
					}
					ran(w, p)
				}
				id := w.build(1)[0].ID
				before := 0
				if tt.first != nil {
					w.attempt(id, 1)
				}
				var said strings.Builder
				r := &operate.Reacquirer{Kube: w.kube, Client: w.client(), Template: w.template(""), Force: tt.force, Progress: func(s string) { said.WriteString(s + "\n") }}
				if tt.do != nil {
					tt.do(w, id, r)
				}
				before = w.kjobs(id)
				k, err := r.Reacquire(w.ctx, contract.JobID(id))
				if err != nil {
					said.WriteString(err.Error())
				}
				switch {
				case tt.want == 0 && w.kjobs(id) != before:
					t.Errorf("%d kjobs were made, want none; said %q", w.kjobs(id)-before, said.String())
				case r.DryRun && (err != nil || len(uids()) > 0):
					t.Errorf("dry run: %v, deleted %v", err, uids())
				case tt.want == 0 && !r.DryRun && err == nil:
					t.Errorf("no error")
				case tt.want > 0 && (err != nil || kjob.AttemptOf(k) != tt.want):
					t.Fatalf("got %v, error %v, want attempt %d", k, err, tt.want)
				case tt.want == 2 && !strings.HasSuffix(k.Annotations[contract.AnnotationStory], ", and a person asked for the next attempt"):
					t.Errorf("the new kjob's story: %q", k.Annotations[contract.AnnotationStory])
				}
				if !strings.Contains(said.String(), tt.says) {
					t.Errorf("said %q, want %q in it", said.String(), tt.says)
				}
				if got := uids(); tt.gone && !slices.Equal(got, []types.UID{"uid-1"}) || !tt.gone && len(got) > 0 {
					t.Errorf("deleted with the preconditions %v, gone: %t", got, tt.gone)
				}
				if tt.want > 0 {
					w.await("finished", time.Minute, w.finished(1))
				}
			})
		})
	}
}

// deletedUIDs are the preconditions of deletions of kjobs.
func (w *world) deletedUIDs() func() []types.UID {
	var mu sync.Mutex
	var uids []types.UID
	w.kube.PrependReactor("delete", "jobs", func(a k8stesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		uid := types.UID("none")
		if p := a.(k8stesting.DeleteActionImpl).DeleteOptions.Preconditions; p != nil && p.UID != nil {
			uid = *p.UID
		}
		uids = append(uids, uid)
		return false, nil, nil
	})
	return func() []types.UID { mu.Lock(); defer mu.Unlock(); return slices.Clone(uids) }
}

// otherCluster knows none of the jobs.
func otherCluster(t *testing.T) *stacks.Client {
	t.Helper()
	sim := simulator.New(simulator.Config{})
	c, err := stacks.New(stacks.Config{Endpoint: "http://buildkite.test/v3", Token: stacks.Token(simulator.DefaultAgentToken), Stack: "onejob-default", Queue: "default", Transport: sim.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The labels and annotations of the job outlive its first kjob, and a listed
// job's are found when there is none.
func TestReacquireKnowsTheJob(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		id := w.build(1)[0].ID
		r := &operate.Reacquirer{Kube: w.kube, Client: w.client(), Template: w.template(""), DryRun: true}
		k, err := r.Reacquire(w.ctx, contract.JobID(id))
		if err != nil {
			t.Fatal(err)
		}
		if got := kjob.JobOf(k); got.Pipeline != "demo" || got.Build != 1 || got.ScheduledAt.IsZero() || k.Annotations[contract.AnnotationJobURL] == "" {
			t.Errorf("the kjob is of %+v, %v", got, k.Annotations)
		}
		r = &operate.Reacquirer{Kube: w.kube, Template: w.template("{spec: {nodeSelector: {build: '{{env.BUILDKITE_BUILD_NUMBER}}'}}}"), DryRun: true}
		if _, err := r.Reacquire(w.ctx, contract.JobID(id)); !errors.Is(err, operate.ErrNotReacquired) || !strings.Contains(err.Error(), "no token") {
			t.Errorf("a template that needs the environment, without a token: %v", err)
		}
	})
}

// A scheduler sees the deletion too and makes the next attempt itself: there is
// one, whoever was first, and the caller is given it.
func TestForceBesideAScheduler(t *testing.T) {
	const n = 20
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			if p.attempt == 1 {
				pending(w, p)
				return
			}
			ran(w, p)
		}
		jobs := w.build(n)
		s, client := w.start(""), w.client()
		time.Sleep(5 * time.Second)
		var wg sync.WaitGroup
		for i, j := range jobs {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 37 * time.Millisecond)
				kube := slow{w.kube, takes(time.Duration(i%2) * 5 * time.Second)} // half of them come second
				r := &operate.Reacquirer{Kube: kube, Client: client, Template: w.template(""), Force: true}
				k, err := r.Reacquire(w.ctx, contract.JobID(j.ID))
				if err != nil {
					t.Errorf("job %s: %v", j.ID, err)
				} else if kjob.AttemptOf(k) != 2 || k.UID == "" {
					t.Errorf("job %s: got %s, want attempt 2", j.ID, k.Name)
				}
			})
		}
		wg.Wait()
		w.await("finished", time.Minute, w.finished(n))
		for _, j := range jobs {
			if got := w.kjobs(j.ID); got != 2 {
				t.Errorf("job %s had %d kjobs, want 2", j.ID, got)
			}
		}
		s.end(w)
	})
}

// A scheduler makes the next attempt when the old one's pod is gone; the old
// kjob's garbage collection may take longer. The caller is given the new one.
func TestForceWhenTheKjobGoesLate(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) { // it has a node, or would be lost by its deletion
			p.set(func(o *corev1.Pod) { o.Spec.NodeName = "node-1" })
			w.sleep(time.Hour, p.kill)
		}
		w.kube.PrependReactor("delete", "jobs", func(a k8stesting.Action) (bool, runtime.Object, error) {
			name := a.(k8stesting.DeleteAction).GetName()
			w.mu.Lock()
			p := w.pods[name]
			w.mu.Unlock()
			p.deleteInForeground()
			w.wg.Go(func() {
				w.sleep(time.Second, nil)
				_ = w.kube.Tracker().Delete(podsGVR, namespace, name+"-x")
				w.sleep(6200*time.Millisecond, nil)
				_ = w.kube.Tracker().Delete(jobsGVR, namespace, name)
			})
			return true, nil, nil
		})
		id := w.build(1)[0].ID
		s := w.start("")
		time.Sleep(5 * time.Second)
		r := &operate.Reacquirer{Kube: w.kube, Client: w.client(), Template: w.template(""), Force: true}
		k, err := r.Reacquire(w.ctx, contract.JobID(id))
		if err != nil || kjob.AttemptOf(k) != 2 || w.kjobs(id) != 2 {
			t.Errorf("got %v, %v, of %d kjobs; want attempt 2 of 2", k, err, w.kjobs(id))
		}
		s.end(w)
	})
}

// Several hands at once make one attempt.
func TestReacquireTwice(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		id := w.build(1)[0].ID
		made, refused := make(chan string, 8), make(chan error, 8)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				r := &operate.Reacquirer{Kube: w.kube, Client: w.client(), Template: w.template("")}
				if k, err := r.Reacquire(w.ctx, contract.JobID(id)); err == nil {
					made <- k.Name
				} else {
					refused <- err
				}
			})
		}
		wg.Wait()
		if len(made) != 1 || w.kjobs(id) != 1 {
			t.Errorf("%d say that they made one of %d kjobs", len(made), w.kjobs(id))
		}
		for range len(refused) {
			if err := <-refused; !errors.Is(err, operate.ErrNotReacquired) {
				t.Errorf("refused with %v", err)
			}
		}
		w.await("finished", time.Minute, w.finished(1))
	})
}

// A scheduler that remembers attempts whose kjobs are gone counts on from them,
// reacquire begins again at 1: still there are never two.
func TestReacquireBesideAMemory(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			w.mu.Lock()
			early := w.uid == 1
			w.mu.Unlock()
			if early {
				w.sleep(300*time.Millisecond, p.kill)
				p.start()
				p.end(75, "Error", &contract.Message{Outcome: contract.OutcomeExhausted})
				return
			}
			w.sleep(5*time.Second, p.kill)
			ran(w, p)
		}
		id := w.build(1)[0].ID
		s := w.start("")
		time.Sleep(3 * time.Second)
		_ = w.kube.Tracker().Delete(jobsGVR, namespace, "onejob-"+id)
		_ = w.kube.Tracker().Delete(podsGVR, namespace, "onejob-"+id+"-x")
		r := &operate.Reacquirer{Kube: w.kube, Client: w.client(), Template: w.template("")}
		if _, err := r.Reacquire(w.ctx, contract.JobID(id)); err != nil {
			t.Fatal(err)
		}
		w.await("finished", time.Minute, w.finished(1))
		time.Sleep(10 * time.Second)
		s.end(w)
	})
}

func TestCancel(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = pending
		uids := w.deletedUIDs()
		job := w.build(1)[0]
		s := w.start("")
		time.Sleep(5 * time.Second)
		id := contract.JobID(job.ID)
		names, err := operate.Cancel(w.ctx, w.kube, namespace, id, "ada", true)
		if err != nil || len(names) != 1 || len(uids()) > 0 {
			t.Fatalf("dry run: %v, %v, deleted %v", names, err, uids())
		}
		// The Job controller writes the status of a young kjob all the time.
		conflicts := 2
		w.kube.PrependReactor("update", "jobs", func(a k8stesting.Action) (bool, runtime.Object, error) {
			k := a.(k8stesting.UpdateAction).GetObject().(*batchv1.Job)
			if conflicts--; conflicts >= 0 {
				return true, nil, conflict(k.Name)
			}
			return false, nil, nil
		})
		if names, err = operate.Cancel(w.ctx, w.kube, namespace, id, "ada: wrong branch", false); err != nil || !slices.Equal(names, []string{"onejob-" + job.ID}) {
			t.Fatalf("cancel: %v, %v", names, err)
		}
		w.await("finished", 20*time.Second, w.finished(1))
		time.Sleep(30 * time.Second)
		if got := uids(); !slices.Equal(got, []types.UID{"uid-1"}) {
			t.Errorf("deleted with the preconditions %v", got)
		}
		if f := w.job(job.ID).StackFinish; f == nil || !strings.Contains(f.Detail, "ada: wrong branch") || w.kjobs(job.ID) != 1 {
			t.Errorf("finish %+v, %d kjobs; want the words and no new attempt", f, w.kjobs(job.ID))
		}
		if names, err = operate.Cancel(w.ctx, w.kube, namespace, id, "ada", false); err != nil || len(names) > 0 {
			t.Errorf("again: %v, %v", names, err)
		}
		s.end(w)
	})
}

// The mark waits for a scheduler, whatever has become of the pod meanwhile.
func TestCancelWithoutAScheduler(t *testing.T) {
	for _, tt := range []struct {
		name string
		pod  func(*world, *pod)
		want string // the exit status
	}{
		{"pending", pending, "-1"},
		{"stopped", func(w *world, p *pod) {
			p.start()
			time.Sleep(10 * time.Second)
			p.end(143, "Error", &contract.Message{Outcome: contract.OutcomeStopped})
		}, "-1"},
		{"runs", func(w *world, p *pod) {
			p.start()
			a, err := w.acquire(p.id)
			if err != nil {
				w.Error(err)
				return
			}
			w.sleep(time.Hour, p.kill)
			a.finish(5)
			p.end(0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished, Received: "SIGTERM"})
		}, "5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = tt.pod
				id := w.build(1)[0].ID
				w.attempt(id, 1)
				if names, err := operate.Cancel(w.ctx, w.kube, namespace, contract.JobID(id), "ada: wrong branch", false); err != nil || len(names) != 1 {
					t.Fatal(names, err)
				}
				time.Sleep(30 * time.Second)
				s := w.start("")
				w.await("finished", 20*time.Second, w.finished(1))
				time.Sleep(30 * time.Second)
				j := w.job(id)
				said := fmt.Sprint(j.Notifications)
				if j.StackFinish != nil {
					said = j.StackFinish.Detail
				}
				if j.ExitStatus != tt.want || !strings.Contains(said, "cancelled in Kubernetes by ada: wrong branch") || w.kjobs(id) != 1 {
					t.Errorf("exit status %s, %d kjobs, it says %q", j.ExitStatus, w.kjobs(id), said)
				}
				if left, err := operate.List(w.ctx, w.kube, namespace, contract.JobID(id)); err != nil || len(left) > 0 && !left[0].Finished {
					t.Errorf("left: %+v, %v", left, err)
				}
				s.end(w)
			})
		})
	}
}

// The mark lands on a lost kjob, which is unfinished for a while yet, as the next
// attempt waits for the API server: it isn't made.
func TestCancelWhileAnAttemptIsUnderWay(t *testing.T) {
	for name, sent := range map[string]bool{"before its create": false, "its create fails": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				held := true
				w.onCreate = func(k *batchv1.Job) (error, error) {
					if held && kjob.AttemptOf(k) == 2 {
						return unavailable(), nil
					}
					return nil, nil
				}
				config := ""
				if !sent { // it waits for its environment
					config = "  trusted-pipelines: true\n  template: {inline: {apiVersion: batch/v1, kind: Job, spec: {template: {spec: {containers: [{name: agent, image: \"x:{{env.BUILDKITE_BUILD_NUMBER}}\"}]}}}}}\n"
				}
				w.runs = first(func(w *world, p *pod) {
					if !sent {
						w.sim.AddFault(simulator.Fault{Endpoint: "stacks_job", Status: 503, Until: 10 * time.Second})
					}
					p.setKjob(func(k *batchv1.Job) { k.Annotations["test/lost"] = "yes" })
					_ = w.kube.Tracker().Delete(podsGVR, namespace, p.kjob+"-x")
					w.sleep(20*time.Second, p.kill)
					p.finishKjob(false)
				})
				id := w.build(1)[0].ID
				r := w.start(config)
				time.Sleep(5 * time.Second)
				if names, err := operate.Cancel(w.ctx, w.kube, namespace, contract.JobID(id), "ada", false); err != nil || len(names) != 1 {
					t.Errorf("cancel: %v, %v", names, err)
				}
				time.Sleep(5 * time.Second)
				w.mu.Lock()
				held = false
				w.mu.Unlock()
				w.await("finished", time.Minute, w.finished(1))
				time.Sleep(time.Minute)
				if f := w.job(id).StackFinish; f == nil || f.Detail != "cancelled in Kubernetes by ada" || w.kjobs(id) != 1 {
					t.Errorf("finish %+v, %d kjobs; want the words and no new attempt", f, w.kjobs(id))
				}
				r.end(w)
			})
		})
	}
}
