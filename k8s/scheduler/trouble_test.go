package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8stesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/simulator"
)

// Outages in mid-burst: everything has its kjob within ten seconds of the end,
// and under two requests a second went out meanwhile.
func TestOutages(t *testing.T) {
	const n = 200
	for _, tt := range []struct {
		name  string
		fault simulator.Fault
		lasts time.Duration
	}{
		{"503 on everything", simulator.Fault{Endpoint: "stacks/*", Status: 503, Until: 30 * time.Second}, 30 * time.Second},
		{"429 on list", simulator.Fault{Endpoint: "stacks_list", Status: 429, Header: map[string]string{"Retry-After": "5"}, Until: 30 * time.Second}, 30 * time.Second},
		{"429 on reserve", simulator.Fault{Endpoint: "stacks_reserve", Status: 429, Header: map[string]string{"Retry-After": "5"}, Until: 30 * time.Second}, 30 * time.Second},
		{"lost replies of reserve", simulator.Fault{Endpoint: "stacks_reserve", Reset: "after", Until: 10 * time.Second}, 10 * time.Second},
		{"garbage", simulator.Fault{Endpoint: "stacks/*", Garbage: "after", Until: 10 * time.Second}, 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				r := w.start("  max-in-flight: 0\n")
				time.Sleep(time.Second)
				w.build(n / 2)
				time.Sleep(time.Second)
				before := w.sim.Counts()
				w.sim.AddFault(tt.fault)
				w.build(n / 2)
				time.Sleep(tt.lasts)
				for e, c := range w.sim.Counts() {
					if c -= before[e]; e.Status >= 429 && c > 2*int(tt.lasts/time.Second) {
						t.Errorf("%s was called %d times in %s", e.Endpoint, c, tt.lasts)
					}
				}
				w.await("every kjob", 10*time.Second, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.made) == n })
				w.await("finished", 30*time.Second, w.finished(n))
				r.end(w)
			})
		})
	}
}

func TestAPIServerOutage(t *testing.T) {
	const n = 200
	inWorld(t, simulator.Config{}, func(w *world) {
		down := false
		w.onCreate = func(*batchv1.Job) (error, error) {
			if down {
				return errTorn, nil
			}
			return nil, nil
		}
		set := func(v bool) { w.mu.Lock(); down = v; w.mu.Unlock() }
		r := w.start("  max-in-flight: 0\n")
		time.Sleep(time.Second)
		set(true)
		w.build(n)
		time.Sleep(time.Second)
		sent := func() int { w.mu.Lock(); defer w.mu.Unlock(); return w.creates }
		before := sent()
		time.Sleep(19 * time.Second)
		if got := sent() - before; got > 40 {
			t.Errorf("%d creates were sent in 19 s of outage", got)
		}
		set(false)
		w.await("every kjob", 10*time.Second, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.made) == n })
		w.await("finished", 30*time.Second, w.finished(n))
		r.end(w)
	})
}

// Two schedulers that know nothing of each other.
func TestTwoSchedulers(t *testing.T) {
	const n = 150
	inWorld(t, simulator.Config{}, func(w *world) {
		turn := 0
		w.runs = func(w *world, p *pod) {
			w.mu.Lock()
			turn++
			mine := turn
			w.mu.Unlock()
			switch mine % 10 {
			case 0:
				exits(75, contract.OutcomeExhausted)(w, p)
			case 5:
				exits(143, contract.OutcomeStopped)(w, p)
			default:
				ran(w, p)
			}
		}
		jobs := w.build(n)
		a, b := w.start("  max-in-flight: 20\n"), w.start("  max-in-flight: 20\n")
		w.await("all finished", 5*time.Minute, w.finished(n))
		if w.most > 40 {
			t.Errorf("there were up to %d unfinished kjobs, want at most 40", w.most)
		}
		for _, j := range jobs {
			for i := range w.kjobs(j.ID) {
				if _, ok := w.made[contract.KjobName(contract.JobID(j.ID), i+1)]; !ok {
					t.Errorf("job %s has %d kjobs, and no attempt %d", j.ID, w.kjobs(j.ID), i+1)
				}
			}
		}
		a.end(w)
		b.end(w)
	})
}

// With a Lease one of them works, the other takes over, and the cap holds.
func TestLease(t *testing.T) {
	const n = 80
	inWorld(t, simulator.Config{}, func(w *world) {
		as := func(who string) func(*Options) {
			return func(o *Options) { o.Lease = &LeaseOptions{Namespace: namespace, Name: "onejob", Identity: who} }
		}
		w.build(n)
		a := w.start("  max-in-flight: 6\n", as("a"))
		time.Sleep(2 * time.Second)
		b := w.start("  max-in-flight: 6\n", as("b"))
		time.Sleep(8 * time.Second)
		if a.leading.Load() == b.leading.Load() {
			t.Errorf("a leads: %t, b leads: %t", a.leading.Load(), b.leading.Load())
		}
		a.end(w)
		w.await("takeover", 6*time.Second, b.leading.Load)
		w.await("all finished", 2*time.Minute, w.finished(n))
		if w.most > 6 {
			t.Errorf("there were up to %d unfinished kjobs, want 6", w.most)
		}
		b.end(w)
	})
}

// What is deleted while nobody leads is known to the next leader: who meant it,
// and how a pod ended; even if Buildkite can't be reached at the takeover for
// longer than deletions are remembered.
func TestDeletedWhileNobodyLeads(t *testing.T) {
	for _, outage := range []time.Duration{0, 2 * cache.RememberFor} {
		t.Run(fmt.Sprintf("outage of %s", outage), func(t *testing.T) { deletedWhileNobodyLeads(t, outage) })
	}
}

func deletedWhileNobodyLeads(t *testing.T, outage time.Duration) {
	inWorld(t, simulator.Config{}, func(w *world) {
		as := func(who string) func(*Options) {
			return func(o *Options) { o.Lease = &LeaseOptions{Namespace: namespace, Name: "onejob", Identity: who} }
		}
		w.runs = func(w *world, p *pod) {
			if p.attempt > 1 {
				ran(w, p)
				return
			}
			w.sleep(time.Hour, p.kill)
		}
		jobs := w.build(2)
		a := w.start("", as("a"))
		time.Sleep(2 * time.Second)
		b := w.start("", as("b"))
		time.Sleep(time.Second)
		a.end(w)
		for i, why := range []string{"ada: wrong branch", ""} {
			w.deleteKjob("onejob-"+jobs[i].ID, why)
		}
		if b.leading.Load() {
			t.Fatal("the other leads already")
		}
		if outage > 0 {
			w.sim.AddFault(simulator.Fault{Endpoint: "*", Status: 503, Until: outage})
		}
		w.await("finished", outage+time.Minute, w.finished(2))
		if got := w.job(jobs[0].ID); w.kjobs(got.ID) != 1 || got.StackFinish == nil || !strings.Contains(got.StackFinish.Detail, "ada: wrong branch") {
			t.Errorf("cancelled: %d kjobs, finish %+v; want none more and the reason", w.kjobs(got.ID), got.StackFinish)
		}
		if got := w.job(jobs[1].ID); w.kjobs(got.ID) != 2 || got.ExitStatus != "0" {
			t.Errorf("deleted: %d kjobs, exit status %s; want a second attempt that ran", w.kjobs(got.ID), got.ExitStatus)
		}
		b.end(w)
	})
}

// A token that is refused stops its queue, and only that.
func TestRefusedToken(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		token := "wrong"
		source := tokenFunc(func() (string, error) { w.mu.Lock(); defer w.mu.Unlock(); return token, nil })
		r := w.start("", func(o *Options) { o.Token = source })
		if err := <-r.done; err == nil {
			t.Error("Run ended well though every queue was refused")
		}
		token = simulator.DefaultAgentToken
		r = w.start("", func(o *Options) { o.Token = source })
		time.Sleep(2 * time.Second)
		if f := r.unready(); len(f) > 0 {
			t.Errorf("not ready: %v", f)
		}
		if err := w.sim.RotateAgentToken("new"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if f := r.unready(); len(f) == 0 {
			t.Error("ready though its token is refused")
		}
		w.mu.Lock()
		token = "new"
		w.mu.Unlock()
		w.await("ready", 3*time.Second, func() bool { return len(r.unready()) == 0 })
		r.end(w)
	})
}

type tokenFunc func() (string, error)

func (f tokenFunc) Token() (string, error) { return f() }

// Refusals of the API server: what would be the same tomorrow ends the job, a
// quota is waited for.
func TestRefusedCreates(t *testing.T) {
	gk := schema.GroupKind{Group: "batch", Kind: "Job"}
	gr := schema.GroupResource{Group: "batch", Resource: "jobs"}
	inWorld(t, simulator.Config{}, func(w *world) {
		w.onCreate = func(k *batchv1.Job) (error, error) { return apierrors.NewInvalid(gk, k.Name, nil), nil }
		job := w.build(1)[0]
		r := w.start("")
		w.await("finished", 5*time.Second, w.finished(1))
		if f := w.job(job.ID).StackFinish; f == nil || f.ExitStatus != -1 {
			t.Errorf("finish: %+v", f)
		}
		quota := true
		w.mu.Lock()
		w.onCreate = func(k *batchv1.Job) (error, error) {
			if quota {
				return apierrors.NewForbidden(gr, k.Name, errQuota), nil
			}
			return nil, nil
		}
		w.mu.Unlock()
		w.build(1)
		time.Sleep(2 * time.Minute)
		w.mu.Lock()
		quota = false
		w.mu.Unlock()
		w.await("finished", 20*time.Second, w.finished(2))
		r.end(w)
	})
}

// Events that can't be read for a moment finish no job whose image is being pulled
// again, however slowly.
func TestUnreadEventsFinishNothing(t *testing.T) {
	const grace = 2 * time.Minute
	for name, fails := range map[string]func(at time.Duration, failed int) bool{
		"for a while":      func(at time.Duration, _ int) bool { return at > grace && at < grace+45*time.Second },
		"twice, far apart": func(at time.Duration, failed int) bool { return at < time.Minute || at > grace && failed == 1 },
	} {
		t.Run(name, func(t *testing.T) { unreadEvents(t, fails) })
	}
}

func unreadEvents(t *testing.T, fails func(at time.Duration, failed int) bool) {
	inWorld(t, simulator.Config{}, func(w *world) {
		began, failed := time.Now(), 0
		w.kube.PrependReactor("list", "events", func(a k8stesting.Action) (bool, runtime.Object, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if of, _ := a.(k8stesting.ListAction).GetListRestrictions().Fields.RequiresExactMatch("involvedObject.kind"); of != "Pod" || !fails(time.Since(began), failed) {
				return false, nil, nil
			}
			failed++
			return true, nil, apierrors.NewServiceUnavailable("later")
		})
		w.runs = func(w *world, p *pod) {
			p.set(func(o *corev1.Pod) { o.Spec.NodeName = "node-1" })
			w.sleep(15*time.Second, p.kill)
			p.pulls("EOF", "Pulling", "Failed", "BackOff")
			w.sleep(12*time.Second, p.kill)
			p.pulls("EOF", "Pulling")
			w.sleep(6*time.Minute, p.kill)
			ran(w, p)
		}
		id := w.build(1)[0].ID
		r := w.start("")
		w.await("the job's end", 10*time.Minute, w.finished(1))
		w.mu.Lock()
		defer w.mu.Unlock()
		if j := w.job(id); j.ExitStatus != "0" || failed == 0 {
			t.Errorf("the job ended with %q; %d reads of Events failed: %q", j.ExitStatus, failed, w.page(id))
		}
		r.end(w)
	})
}

// What Kubernetes said of a kjob before it had a pod isn't told of the pod.
func TestWordsOfTheKjobAreNotThePods(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.podAfter = 25 * time.Second
		w.runs = func(w *world, p *pod) {
			p.set(func(o *corev1.Pod) { o.Spec.NodeName = "node-1" })
			w.sleep(30*time.Second, p.kill)
			ran(w, p)
		}
		id := w.build(1)[0].ID
		r := w.start("")
		w.await("a kjob", 5*time.Second, func() bool { return w.kjobs(id) == 1 })
		w.says("Job", "onejob-"+id, "job-controller", corev1.EventTypeWarning, "FailedCreate", "exceeded quota: none, requested: pods=1")
		w.await("the job's end", 5*time.Minute, w.finished(1))
		told := func(s string) bool { return strings.HasPrefix(s, "started ") } // why it took so long, which it did
		if page := slices.DeleteFunc(w.page(id), told); len(page) != 1 || !strings.Contains(page[0], "Kubernetes can't create the pod yet: exceeded quota") {
			t.Errorf("the page says %q, want one line, of the kjob", page)
		}
		r.end(w)
	})
}

// A job that Kubernetes refused, and that could not be finished while it was ours,
// is not finished for that later: the template may be mended, or another have it.
func TestVerdictIsOfItsReservation(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_finish", Status: 503, Until: time.Minute})
		began, refused := time.Now(), 0
		w.onCreate = func(k *batchv1.Job) (before, after error) {
			if time.Since(began) > 10*time.Second {
				return nil, nil
			}
			refused++
			return apierrors.NewInvalid(schema.GroupKind{Group: "batch", Kind: "Job"}, k.Name, nil), nil
		}
		id := w.build(1)[0].ID
		r := w.start("")
		w.await("the job's end", 5*time.Minute, w.finished(1))
		if j := w.job(id); j.ExitStatus != "0" || refused == 0 {
			t.Errorf("the job ended with %q after %d refusals: %q", j.ExitStatus, refused, w.page(id))
		}
		r.end(w)
	})
}
