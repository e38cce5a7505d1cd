package scheduler

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/simulator"
)

// cancel marks a job's first kjob.
func (w *world) cancel(id string) {
	w.mu.Lock()
	p := w.pods["onejob-"+id]
	w.mu.Unlock()
	p.setKjob(func(k *batchv1.Job) { k.Annotations[contract.AnnotationCancel] = "ada" })
}

// A finish that is refused is tried again while the job is offered: a proxy's
// odd answer, or a stack that is unknown for a moment, must not let it run.
func TestRefusedFinishIsTriedAgain(t *testing.T) {
	const said = "cancelled in Kubernetes by ada"
	for _, tt := range []struct {
		name  string
		fault simulator.Fault
		tries int
	}{
		{"404, once", simulator.Fault{Endpoint: "stacks_finish", Status: 404, Times: 1}, 2},
		{"408, three times", simulator.Fault{Endpoint: "stacks_finish", Status: 408, Times: 3}, 4},
		{name: "the stack is unknown", tries: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = pending
				known := tt.fault.Endpoint != ""
				if known {
					w.sim.AddFault(tt.fault)
				}
				id := w.build(1)[0].ID
				r := w.start("", func(o *Options) {
					next := o.Transport
					o.Transport = kube.RoundTripper(func(req *http.Request) (*http.Response, error) {
						if !known && strings.HasSuffix(req.URL.Path, "/finish") {
							known = true
							w.call("POST", "stacks/onejob-default/deregister", simulator.DefaultAgentToken, nil)
						}
						return next.RoundTrip(req)
					})
				})
				time.Sleep(20 * time.Second)
				w.cancel(id)
				w.await("finished", time.Minute, w.finished(1))
				time.Sleep(time.Minute)
				if n := w.sim.Count("stacks_finish"); n != tt.tries {
					t.Errorf("tried %d times, want %d", n, tt.tries)
				}
				if f := w.job(id).StackFinish; f == nil || f.Detail != said || w.kjobs(id) != 1 {
					t.Errorf("finish %+v, %d kjobs; want %q and one", f, w.kjobs(id), said)
				}
				if n := testutil.ToFloat64(r.metrics.decisions.WithLabelValues("default", "finish", "cancelled")); n != 1 {
					t.Errorf("it is counted %v times, want once", n)
				}
				r.end(w)
			})
		})
	}
}

// A finish that goes on being refused is tried ever more seldom, and said once.
func TestRefusedFinishBacksOff(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = pending
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_finish", Status: 422})
		id := w.build(1)[0].ID
		r := w.start("")
		time.Sleep(20 * time.Second)
		w.cancel(id)
		time.Sleep(10 * time.Minute)
		if n := w.sim.Count("stacks_finish"); n != 9 { // 5, 10, 20, 40, 80, 120 s … apart
			t.Errorf("tried %d times in 10 minutes, want 9", n)
		}
		said := 0
		for _, line := range w.page(id) {
			if strings.Contains(line, "cancelled in Kubernetes by ada") {
				said++
			}
		}
		events, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-"+id)
		if err != nil || said != 1 || len(events) != 1 {
			t.Errorf("said %d times, Events %+v, %v; want one each", said, events, err)
		}
		if err := w.sim.CancelJob(id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		r.end(w)
	})
}

// A held job's finish comes through although it is refused a few times, by Buildkite or by
// what is on the way to it. A Buildkite that takes no such finish is left in peace.
func TestRefusedFinishOfAHeldJob(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault simulator.Fault
		tries int
		ends  bool
	}{
		{"an empty 404, once", simulator.Fault{Status: 404, Times: 1, Body: " "}, 2, true},
		{"an empty 425, once", simulator.Fault{Status: 425, Times: 1, Body: " "}, 2, true},
		{"a page, often", simulator.Fault{Status: 403, Times: 6, Body: "<html>"}, 7, true},
		{"404, once", simulator.Fault{Status: 404, Times: 1}, 2, true},
		{"422, twice", simulator.Fault{Status: 422, Times: 2}, 3, true},
		{"422", simulator.Fault{Status: 422}, heldTries, false},
		{"422, because of its text", simulator.Fault{Status: 422, Contains: "killed"}, heldTries, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{FinishHeld: []string{"default"}, HeartbeatTimeout: time.Hour}, func(w *world) {
				w.runs = func(w *world, p *pod) {
					p.start()
					if _, err := w.acquire(p.id); err != nil {
						w.Error(err)
					}
					p.endsSaying("killed")
				}
				tt.fault.Endpoint = "stacks_finish"
				w.sim.AddFault(tt.fault)
				r := w.start("  lost-jobs: finish\n")
				id := w.build(1)[0].ID
				time.Sleep(20 * time.Minute)
				if n, f := w.sim.Count("stacks_finish"), w.job(id).StackFinish; n != tt.tries || tt.ends != (f != nil) {
					t.Errorf("tried %d times, finish %+v; want %d tries, ended %t", n, f, tt.tries, tt.ends)
				}
				if n := testutil.ToFloat64(r.metrics.decisions.WithLabelValues("default", "finish", "pod_lost_running")); n != 1 {
					t.Errorf("it is counted %v times, want once", n)
				}
				if f := w.job(id).StackFinish; tt.fault.Contains != "" && f != nil && (f.Detail != plainText || w.eventsSaying(events.Finished, "killed") != 1) {
					t.Errorf("finished with %+v, and %d Events with the text; want plain words, and one", f, w.eventsSaying(events.Finished, "killed"))
				}
				r.end(w)
			})
		})
	}
}

// An answer to the list that isn't Buildkite's stops no queue.
func TestAnswerOfAProxysStopsNoQueue(t *testing.T) {
	for _, f := range []simulator.Fault{{Status: 425, Body: " ", Times: 1}, {Status: 403, Body: " ", Times: 1}, {Status: 404, Body: " ", Times: 1}} {
		inWorld(t, simulator.Config{}, func(w *world) {
			w.runs = ran
			r := w.start("")
			time.Sleep(2 * time.Minute)
			f.Endpoint = "stacks_list"
			w.sim.AddFault(f)
			began := time.Now()
			w.build(3)
			w.await("finished", 5*time.Minute, w.finished(3))
			if took, stopped := time.Since(began), w.eventsOf("default"); took > 15*time.Second || len(stopped) > 0 {
				t.Errorf("%d: finished after %s, Events of the queue %q; want within 15 s, and none", f.Status, took, stopped)
			}
			r.end(w)
		})
	}
}

// A finish whose reply is lost isn't sent again once its job is seen to be over, and
// what it said is in an Event all the same.
func TestLostFinish(t *testing.T) {
	for _, garbage := range []bool{true, false} {
		inWorld(t, simulator.Config{}, func(w *world) {
			w.runs = pending
			fault := simulator.Fault{Endpoint: "stacks_finish", Reset: "after", Times: 1}
			if garbage {
				fault = simulator.Fault{Endpoint: "stacks_finish", Garbage: "after", Times: 1}
			}
			w.sim.AddFault(fault)
			id := w.build(1)[0].ID
			r := w.start("")
			time.Sleep(20 * time.Second)
			w.cancel(id)
			time.Sleep(time.Minute)
			events, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-"+id)
			told := slices.ContainsFunc(events, func(e corev1.Event) bool { return strings.HasPrefix(e.Message, "cancelled in Kubernetes by ada") })
			if n := w.sim.Count("stacks_finish"); n != 1 || !told || err != nil {
				t.Errorf("sent %d times; Events %+v, %v", n, events, err)
			}
			r.end(w)
		})
	}
}

// A job that gets no kjob, and whose text Buildkite can't take, is ended all the same:
// with a plain text, though no reservation of it lasts as long as that takes.
func TestFinishWithoutKjobIsPlainInTheEnd(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_finish", Contains: "not here", Status: 500})
		w.onCreate = func(k *batchv1.Job) (error, error) { return invalid(k), nil }
		id := w.build(1)[0].ID
		r := w.start("")
		w.await("finished", 5*time.Minute, w.finished(1))
		r.end(w)
		want := fmt.Sprintf(plainNoKjob, "onejob-"+id)
		if f := w.job(id).StackFinish; f == nil || f.Detail != want {
			t.Errorf("finished with %+v, want %q", f, want)
		}
		if n := w.eventsSaying(events.Finished, "not here"); n != 1 {
			t.Errorf("%d Events say why, want one", n)
		}
		if n := w.sim.Count("stacks_finish"); n > 10 || w.creates > 6 {
			t.Errorf("%d finishes and %d creates, want a few", n, w.creates)
		}
	})
}

// While Buildkite can't reserve, finishes that want a reservation first don't hold the
// workers: a cancelled job's kjob is deleted as ever.
func TestFinishThatReservesHoldsNoWorker(t *testing.T) {
	for name, fault := range map[string]simulator.Fault{
		"no reply": {Endpoint: "stacks_reserve", Hang: true},
		"503":      {Endpoint: "stacks_reserve", Status: 503},
		"429":      {Endpoint: "stacks_reserve", Status: 429, Header: map[string]string{"Retry-After": "30"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{Profile: assumptions.Profile{StackFinishUnreserved: assumptions.StackFinishUnreservedRefused}}, func(w *world) {
				w.runs = func(w *world, p *pod) { w.sleep(time.Hour, p.kill) }
				jobs, others := w.build(8), w.build(6)
				for _, j := range append(slices.Clone(jobs), others...) {
					w.attempt(j.ID, 1)
				}
				for _, j := range jobs {
					w.cancel(j.ID) // in Kubernetes: to be finished
				}
				w.sim.AddFault(fault)
				r := w.start("")
				time.Sleep(15 * time.Second)
				for _, j := range others {
					if err := w.sim.CancelJob(j.ID); err != nil {
						t.Fatal(err)
					}
					w.await("the kjob is deleted", 6*time.Second, func() bool {
						_, err := w.kube.Tracker().Get(jobsGVR, namespace, "onejob-"+j.ID)
						return err != nil
					})
					time.Sleep(3 * time.Second)
				}
				w.sim.ClearFaults()
				w.await("the others are finished", 2*time.Minute, func() bool { return w.sim.JobsIn()[simulator.StateFinished] == len(jobs) })
				r.end(w)
			})
		})
	}
}
