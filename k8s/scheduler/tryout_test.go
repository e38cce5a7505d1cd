package scheduler

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/simulator"
)

// invalid is what the API server says of each kjob of a template that it refuses.
func invalid(k *batchv1.Job) error {
	return apierrors.NewInvalid(batchv1.SchemeGroupVersion.WithKind("Job").GroupKind(), k.Name, field.ErrorList{field.Invalid(field.NewPath("spec"), "x", "not here")})
}

// A queue whose template the API server refuses takes no job and isn't ready; it
// serves them when the API server takes it. No job fails for it, be it that it was so
// from the start or came later, as a policy does.
func TestTemplateThatTheAPIServerRefuses(t *testing.T) {
	for _, fromTheStart := range []bool{true, false} {
		inWorld(t, simulator.Config{}, func(w *world) {
			refuses := fromTheStart
			refused := func(k *batchv1.Job) error {
				if !refuses {
					return nil
				}
				return invalid(k)
			}
			w.onDryRun = refused
			w.onCreate = func(k *batchv1.Job) (error, error) { return refused(k), nil }
			var made []simulator.Job // its pod waits when the policy comes, longer than a reservation
			if !fromTheStart {
				w.podAfter = 90 * time.Second
				made = w.build(1)
			}
			r := w.start("")
			for _, j := range made {
				w.await("created", time.Minute, func() bool { return w.kjobs(j.ID) == 1 })
			}
			w.mu.Lock()
			before := w.creates
			refuses = true
			w.mu.Unlock()
			ids := w.build(20)
			time.Sleep(10 * time.Second)
			w.mu.Lock()
			first := w.creates
			w.mu.Unlock()
			time.Sleep(55 * time.Second)
			for _, j := range made {
				if got := w.job(j.ID); got.State != "reserved" {
					t.Errorf("the job that was there before is %s while its pod waits", got.State)
				}
			}
			time.Sleep(20 * time.Minute)
			w.mu.Lock()
			later := w.creates
			w.mu.Unlock()
			if later != first || fromTheStart && first > before {
				t.Errorf("%d creates at once and %d later, want none but of the first jobs that meet a policy", first-before, later-first)
			}
			for _, j := range ids {
				if got := w.job(j.ID); got.State != "scheduled" && got.State != "reserved" {
					t.Errorf("job %s is %s", j.ID, got.State)
				}
			}
			for _, j := range made {
				if got := w.job(j.ID); got.State != "finished" || got.ExitStatus != "0" || w.kjobs(j.ID) != 1 {
					t.Errorf("the job that was there before is %s, with %q", got.State, got.ExitStatus)
				}
			}
			faults := strings.Join(r.unready(), "\n")
			if !strings.Contains(faults, "queue default is stopped: creating Kubernetes Jobs: the API server refuses every job that the queue's template makes: Job.batch is invalid: spec: Invalid value") {
				t.Errorf("ready: %q", faults)
			}
			if got := r.metric("onejob_queue_ready"); got["default"] != 0 {
				t.Errorf("onejob_queue_ready is %v", got)
			}
			if n := len(w.eventsOf("default")); n != 1 {
				t.Errorf("%d Events: %q", n, w.eventsOf("default"))
			}
			w.mu.Lock()
			refuses = false
			w.mu.Unlock()
			w.await("finished", 4*time.Minute, w.finished(len(ids)+len(made)))
			if f := r.unready(); len(f) > 0 {
				t.Errorf("not ready: %v", f)
			}
			r.end(w)
		})
	}
}

// A queue that takes no job, for its template's or its namespace's sake, is looked at all
// the same: what waits is counted, how long it waits, and a job that no queue takes is
// told so, once, whichever of two queues that are the same one at Buildkite is stopped.
func TestStoppedQueueIsLookedAt(t *testing.T) {
	for name, refusal := range map[string]error{
		"template":  invalid(&batchv1.Job{}),
		"namespace": apierrors.NewNotFound(corev1.Resource("namespaces"), namespace),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				refuses := true
				w.onCreate = func(k *batchv1.Job) (error, error) {
					if refuses && k.Labels[contract.LabelQueue] != "default" {
						return refusal, nil
					}
					return nil, nil
				}
				w.onDryRun = func(k *batchv1.Job) error { err, _ := w.onCreate(k); return err }
				r := w.start("  tags: [os=mac]\n- {name: __default__, tags: [os=linux]}\n")
				ids := w.buildWith("os=linux", 2)
				w.await("stopped", time.Minute, func() bool { return len(r.unready()) > 0 })
				time.Sleep(10 * time.Minute)
				big := w.buildWith("gpu=t4", 1)[0]
				mac := w.buildWith("os=mac", 1)[0]
				w.await("taken by the queue that is served", time.Minute, func() bool { return w.job(mac).State == simulator.StateFinished })
				time.Sleep(3 * time.Minute)
				if told := w.page(big); len(told) != 1 || !strings.Contains(told[0], noQueueTakes) {
					t.Errorf("the page of a job that no queue takes says %q", told)
				}
				if n := r.metric("onejob_queue_jobs")["__default__"]; n < 2 || n > 3 { // one may be reserved, as the namespace's probe
					t.Errorf("onejob_queue_jobs is %v, want the 3 that wait", n)
				}
				if s := r.metric("onejob_queue_oldest_wait_seconds")["__default__"]; s < 12*60 {
					t.Errorf("the oldest waits for %v s, want those 13 minutes and more", s)
				}
				if n := r.metric("onejob_queue_unmatched_jobs")["__default__"]; n != 1 {
					t.Errorf("%v unmatched jobs are counted, want 1", n)
				}
				if len(r.unready()) == 0 || w.kjobs(ids[0])+w.kjobs(ids[1]) > 0 {
					t.Errorf("the queue is served: %q", r.unready())
				}
				w.mu.Lock()
				refuses = false
				w.mu.Unlock()
				w.await("finished", 4*time.Minute, w.finished(3))
				r.end(w)
			})
		})
	}
}

// What the API server says of one job, or for now, or can't say, stops no queue.
func TestRefusalsThatAreNotTheTemplates(t *testing.T) {
	for name, says := range map[string]error{
		"a quota that is full":       apierrors.NewForbidden(batchv1.Resource("jobs"), "x", errors.New("exceeded quota: q")),
		"a webhook that is down":     apierrors.NewInternalError(errors.New(`failed calling webhook "w": connection refused`)),
		"a webhook without dry runs": apierrors.NewBadRequest(`admission webhook "w" does not support dry run`),
		"no answer":                  errors.New("connection refused"),
		"nothing of others":          nil,
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.onDryRun = func(*batchv1.Job) error { return says }
				ids := w.build(2)
				bad := ids[0].ID
				w.onCreate = func(k *batchv1.Job) (error, error) {
					if string(kjob.IDOf(k.Labels)) == bad {
						return invalid(k), nil
					}
					return nil, nil
				}
				r := w.start("")
				w.await("finished", 2*time.Minute, w.finished(2))
				if j := w.job(bad); j.ExitStatus != "-1" {
					t.Errorf("the job that is refused alone ended with %q", j.ExitStatus)
				}
				if f := r.unready(); len(f) > 0 {
					t.Errorf("not ready: %v", f)
				}
				r.end(w)
			})
		})
	}
}

// A policy may refuse the job that is tried, and let all others in.
func TestTryoutThatAPolicyRefuses(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		var bad string
		policy := func(k *batchv1.Job) error {
			if id := kjob.IDOf(k.Labels); id == contract.SampleJobID || string(id) == bad {
				return apierrors.NewForbidden(batchv1.Resource("jobs"), k.Name, errors.New("ValidatingAdmissionPolicy 'teams' with binding 'x' denied request: the pipeline isn't registered"))
			}
			return nil
		}
		w.onDryRun = policy
		w.onCreate = func(k *batchv1.Job) (error, error) { return policy(k), nil }
		r := w.start("")
		w.build(3)
		w.await("finished", time.Minute, w.finished(3))
		if f := r.unready(); len(f) > 0 {
			t.Errorf("not ready: %v", f)
		}
		w.mu.Lock()
		bad = w.build(1)[0].ID // looks as if the template were to blame
		w.mu.Unlock()
		w.await("stopped", time.Minute, func() bool { return len(r.unready()) > 0 })
		w.mu.Lock()
		bad = ""
		w.mu.Unlock()
		w.await("finished", 2*time.Minute, w.finished(4))
		w.await("ready", time.Minute, func() bool { return len(r.unready()) == 0 })
		r.end(w)
	})
}

// A dry run that was let through as the one try of an outage says how it went.
func TestTryoutIsTheOneTry(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		away bool
	}{
		{"taken", nil, false},
		{"refused", apierrors.NewForbidden(batchv1.Resource("jobs"), "x", errors.New("a policy")), false},
		{"unanswered", unavailable(), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := fake.NewSimpleClientset() //nolint:staticcheck // as in the world
				client.PrependReactor("create", "jobs", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, tt.err })
				var b kube.Breaker
				b.Unanswered(time.Time{})
				time.Sleep(kube.BreakerMax)
				if b.Wait() != 0 {
					t.Fatal("no try is let through")
				}
				_, _ = askOf(t.Context(), client, &b, parsedTemplate(t, ""), false)
				wait := b.Wait()
				if (b.Away() > 0) != tt.away || (wait > 0) != tt.away || wait > 2*kube.BreakerFirst+kube.BreakerFirst {
					t.Errorf("away for %s, the next try in %s", b.Away(), wait)
				}
			})
		})
	}
}
