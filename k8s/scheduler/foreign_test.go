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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

// endsSaying ends the pod as a job can that writes the termination message itself
// and then kills its runner.
func (p *pod) endsSaying(text string) {
	p.set(func(o *corev1.Pod) {
		o.Status.Phase = corev1.PodFailed
		o.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: contract.AgentContainer, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 137, Reason: "Error", Message: text, StartedAt: metav1.Now(), FinishedAt: metav1.Now()}}}}
	})
	p.setKjob(func(k *batchv1.Job) { k.Annotations["test/lost"] = "yes" })
	if p.w.sleep(800*time.Millisecond, p.kill) {
		p.finishKjob(false)
	}
}

// nulls are what Rails with PostgreSQL answers to a NUL in a text.
var nulls = simulator.Fault{Endpoint: "stacks/*", Contains: `\u0000`, Status: 500}

// What one job writes into its message keeps no other's page from saying why it
// waits, whether Buildkite can't take it or something in between.
func TestForgedMessageHoldsUpNoOther(t *testing.T) {
	for _, tt := range []struct {
		name, reason string
		fault        simulator.Fault
		told         bool // the forger's own page says something too
	}{
		{"a NUL", `\u0000forged`, nulls, true},
		{"a text that Buildkite can't take", `poison`, simulator.Fault{Endpoint: "stacks_notify", Contains: "poison", Status: 500}, false},
		{"a text that a proxy refuses", `poison`, simulator.Fault{Endpoint: "stacks_notify", Contains: "poison", Status: 403, Body: "<html>blocked"}, false},
		{"a text that a proxy hangs up on", `poison`, simulator.Fault{Endpoint: "stacks_notify", Contains: "poison", Reset: "before"}, false},
		{"a text that is forbidden", `poison`, simulator.Fault{Endpoint: "stacks_notify", Contains: "poison", Status: 403}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.sim.AddFault(tt.fault)
				forger := ""
				w.runs = func(w *world, p *pod) {
					if p.id.String() != forger {
						p.pulls("no such image")
						w.sleep(time.Hour, p.kill)
						return
					}
					p.start()
					if _, err := w.acquire(p.id); err != nil {
						w.Error(err)
					}
					p.endsSaying(`{"contract":1,"outcome":"rejected","exit_code":27,"reason":"` + tt.reason + `"}`)
				}
				forger = w.build(1)[0].ID
				r := w.start("  image-grace: 1h\n")
				time.Sleep(10 * time.Second)
				other := w.build(1)[0].ID
				w.await("the other's page says why", 30*time.Second, func() bool {
					return slices.ContainsFunc(w.page(other), func(line string) bool { return strings.Contains(line, "no such image") })
				})
				for range 5 { // and others come and go
					w.build(1)
					time.Sleep(20 * time.Second)
				}
				if said := len(w.page(forger)) > 0; said != tt.told {
					t.Errorf("the forger's page: %q", w.page(forger))
				}
				found, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-"+forger)
				if err != nil || len(found) != 1 || found[0].Reason != events.Notice {
					t.Errorf("the forger's Events: %+v, %v; want one", found, err)
				}
				if n := testutil.ToFloat64(r.metrics.dropped.WithLabelValues("default")); n > 0 == tt.told {
					t.Errorf("%v dropped", n)
				}
				if f := r.unready(); len(f) > 0 {
					t.Errorf("not ready: %v", f)
				}
				r.end(w)
			})
		})
	}
}

// A finish that Buildkite can't take ends the job all the same, in plain words, and
// holds up no other's; the Event has the words.
func TestForgedFinish(t *testing.T) {
	for _, tt := range []struct {
		name, message string
		fault         simulator.Fault
		plain         bool
	}{
		{"a NUL", "x\x00y", nulls, false},
		{"a text that Buildkite can't take", "poison", simulator.Fault{Endpoint: "stacks_finish", Contains: "poison", Status: 500}, true},
		{"a text that a proxy refuses", "poison", simulator.Fault{Endpoint: "stacks_finish", Contains: "poison", Status: 403, Body: "<html>blocked"}, true},
		{"a text that is not accepted", "poison", simulator.Fault{Endpoint: "stacks_finish", Contains: "poison", Status: 422}, true},
		{"an endpoint that is away", "x", simulator.Fault{Endpoint: "stacks_finish", Status: 503, Until: 20 * time.Second}, false},
		{"a Buildkite that is away", "x", simulator.Fault{Endpoint: "stacks/*", Status: 503, Until: time.Minute}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{FinishHeld: []string{"default"}, HeartbeatTimeout: time.Hour}, func(w *world) {
				good := false
				w.runs = func(w *world, p *pod) {
					p.start()
					if _, err := w.acquire(p.id); err != nil {
						w.Error(err)
					}
					text := tt.message
					if good {
						text = "killed"
					}
					p.endsSaying(text)
				}
				r := w.start("  lost-jobs: finish\n")
				time.Sleep(time.Second)
				w.sim.AddFault(tt.fault)
				forgers := w.build(30)
				time.Sleep(5 * time.Second)
				w.mu.Lock()
				good = true
				w.mu.Unlock()
				others := w.build(5)
				if tt.fault.Until == 0 {
					w.await("the others are finished", 20*time.Second, func() bool {
						return !slices.ContainsFunc(others, func(j simulator.Job) bool { return w.job(j.ID).StackFinish == nil })
					})
				}
				time.Sleep(10 * time.Minute)
				for _, j := range append(forgers, others...) {
					f := w.job(j.ID).StackFinish
					if f == nil {
						t.Errorf("job %s is not finished: %+v", j.ID, w.job(j.ID))
						continue
					}
					plain := tt.plain && slices.ContainsFunc(forgers, func(o simulator.Job) bool { return o.ID == j.ID })
					if f.Detail == plainText != plain {
						t.Errorf("finished with %q", f.Detail)
					}
					found, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-"+j.ID)
					var reasons []string
					for _, e := range found {
						if reasons = append(reasons, e.Reason); !strings.Contains(e.Message, "exit code 137, ") {
							t.Errorf("the Event %s says %q", e.Reason, e.Message)
						}
					}
					want := []string{events.Finished}
					if plain && tt.fault.Status == 422 { // the first refusal is told: Buildkite may go on to refuse
						want = []string{events.Lost, events.Finished}
					}
					if !slices.Equal(reasons, want) || err != nil {
						t.Errorf("the Events %q, %v; want %q", reasons, err, want)
					}
				}
				if n := w.sim.Count("stacks_finish"); n > 4*len(forgers)+len(others)+60 {
					t.Errorf("%d finishes were sent for %d jobs", n, len(forgers)+len(others))
				}
				r.end(w)
			})
		})
	}
}

// One job's refusal isn't the queue's: others go on at full speed.
func TestOneJobsRefusal(t *testing.T) {
	for _, fault := range []simulator.Fault{
		{Endpoint: "stacks_finish", Status: 403},
		{Endpoint: "stacks_finish", Status: 401},
		{Endpoint: "stacks_finish", Status: 403, Body: "<html>blocked"},
	} {
		t.Run(fmt.Sprint(fault.Status, fault.Body), func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				bad := w.build(1)[0].ID
				fault.JobID = bad
				w.sim.AddFault(fault)
				w.runs = func(w *world, p *pod) {
					if p.id.String() != bad {
						ran(w, p)
						return
					}
					p.pulls("no such image")
					w.sleep(time.Hour, p.kill)
				}
				r := w.start("  image-grace: 1s\n")
				w.await("a finish that is refused", time.Minute, func() bool { return w.sim.Count("stacks_finish") > 0 })
				unready := 0
				stop := make(chan struct{})
				w.wg.Go(func() {
					for w.sleep(100*time.Millisecond, stop) {
						if testutil.ToFloat64(r.metrics.ready.WithLabelValues("default")) != 1 {
							unready++
						}
					}
				})
				const n = 200
				w.build(n)
				took := w.await("the others ran", time.Minute, w.finished(n))
				if took > 15*time.Second {
					t.Errorf("the others took %s", took)
				}
				time.Sleep(10 * time.Minute)
				close(stop)
				if unready > 0 || len(w.eventsOf("default")) > 0 {
					t.Errorf("the queue was not ready in %d looks; Events: %q", unready, w.eventsOf("default"))
				}
				if n := w.sim.Count("stacks_finish", fault.Status); n > 15 {
					t.Errorf("the finish was tried %d times", n)
				}
				r.end(w)
			})
		})
	}
}

// Many refusals at once ask for the token once, and stop the queue if it is refused
// too.
func TestRefusedTokenStopsTheQueue(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = pending
		ids := w.build(50)
		r := w.start("")
		time.Sleep(20 * time.Second)
		before := w.sim.Count("token")
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_finish", Status: 403})
		for _, j := range ids {
			w.cancel(j.ID)
		}
		time.Sleep(20 * time.Second)
		if n := w.sim.Count("stacks_token") + w.sim.Count("token") - before; n == 0 || n > 6 {
			t.Errorf("the token was asked for %d times", n)
		}
		if f := r.unready(); len(f) > 0 {
			t.Errorf("not ready though the token is accepted: %v", f)
		}
		w.sim.AddFault(simulator.Fault{Endpoint: "*", Status: 401, Until: time.Minute})
		time.Sleep(20 * time.Second)
		if f := r.unready(); len(f) == 0 {
			t.Error("ready though the token is refused")
		}
		for _, j := range ids {
			_ = w.sim.CancelJob(j.ID)
		}
		time.Sleep(3 * time.Minute)
		r.end(w)
	})
}

// A policy engine that audits says on the Job what it would have refused; that its
// pod isn't there has another reason.
func TestAuditIsNoRefusal(t *testing.T) {
	const words = `policy disallow-latest: spec.image: Invalid value: "x": admission webhook "kyverno" denied the request: is invalid`
	for _, tt := range []struct {
		name, reason, classic, reporting string
		refused                          bool
	}{
		{"an audit", "PolicyViolation", "kyverno-admission", "", false},
		{"an audit by the new API", "PolicyViolation", "", "kyverno-admission", false},
		{"by the controller's reason", "FailedCreate", "kyverno-admission", "", false},
		{"by nobody", "FailedCreate", "", "", false},
		{"by two", "FailedCreate", "job-controller", "kyverno-admission", false},
		{"by another reason of the controller's", "SuccessfulDelete", "job-controller", "", false},
		{"the Job controller's", "FailedCreate", "job-controller", "", true},
		{"the Job controller's, by the new API", "FailedCreate", "", "job-controller", true},
		{"the Job controller's, by both", "FailedCreate", "job-controller", "job-controller", true},
	} {
		e := corev1.Event{Type: corev1.EventTypeWarning, Reason: tt.reason, Message: words, Source: corev1.EventSource{Component: tt.classic}, ReportingController: tt.reporting, LastTimestamp: metav1.NewTime(time.Unix(1e9, 0))}
		now := time.Unix(1e9, 0)
		f := decide.Facts{Now: now, State: stacks.StateReserved, StateAt: now, ToldAt: now, Attempt: 1, KJob: decide.KJob{UID: "k", Exists: true, CreatedAt: now}, Policy: decide.Policy{MaxAttempts: 10, PendingTimeout: time.Hour, ImageGrace: time.Minute}}
		f.Heard = events.Heard([]corev1.Event{events.TakeIn(e)}, f.Now)
		if d := decide.On(f); (d.Action == decide.Finish) != tt.refused {
			t.Errorf("%s: %s %q", tt.name, d.Action, d.Text)
		}
	}
}
