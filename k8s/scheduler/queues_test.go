package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/simulator"
)

// buildOn schedules n jobs on a queue.
func (w *world) buildOn(queue string, n int, env map[string]string) (ids []string) {
	w.Helper()
	b, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: fmt.Appendf(nil, "steps: [{command: make, parallelism: %d}]", n), Queue: queue, Env: env})
	if err != nil {
		w.Fatal(err)
	}
	return b.JobIDs
}

// kjobOf is a job's first kjob, nil if there is none.
func (w *world) kjobOf(id string) *batchv1.Job {
	k, err := w.kube.BatchV1().Jobs(namespace).Get(w.ctx, "onejob-"+id, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return k
}

func (w *world) imageOf(id string) string {
	if k := w.kjobOf(id); k != nil {
		return kjob.FindAgent(&k.Spec.Template.Spec).Image
	}
	return ""
}

// peak is the most unfinished kjobs that there were at a time.
func (w *world) peak() int { w.mu.Lock(); defer w.mu.Unlock(); return w.most }

// eventsOf are the reasons and messages of the Events on a queue.
func (w *world) eventsOf(queue string) (out []string) {
	es, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-queue-"+queue)
	if err != nil {
		w.Fatal(err)
	}
	for _, e := range es {
		out = append(out, e.Reason+": "+e.Message)
	}
	return out
}

// logs collects what a scheduler logs.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(b) }
func (l *logs) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}
func (l *logs) into(o *Options) { o.Log = slog.New(slog.NewTextHandler(l, nil)) }

// file is one whose text the tests change.
func file(t *testing.T, text string) (path string, set func(string)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	set = func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set(text)
	return path, set
}

// One bad queue stops no other, and comes back when it is mended.
func TestBadQueueStopsNoOther(t *testing.T) {
	broken := "{spec: {restartPolicy: Always, containers: []}}"
	for _, tt := range []struct {
		name  string
		wrong func(t *testing.T, w *world) (config string, mend func())
	}{
		{name: "refused token", wrong: func(t *testing.T, _ *world) (string, func()) {
			path, set := file(t, "wrong")
			return "  token-file: " + path, func() { set(simulator.DefaultAgentToken) }
		}},
		{name: "no token file", wrong: func(t *testing.T, _ *world) (string, func()) {
			path, set := file(t, "")
			return "  token-file: " + path, func() { set(simulator.DefaultAgentToken) }
		}},
		{name: "broken template file", wrong: func(t *testing.T, _ *world) (string, func()) {
			path, set := file(t, broken)
			return "  template: {file: " + path + "}", func() { set("") }
		}},
		{name: "a default of its steps that ends each of them", wrong: func(t *testing.T, _ *world) (string, func()) {
			path, set := file(t, "{spec: {}}")
			return "  step-defaults: {commandParams: {extraVolumeMounts: [{name: ca, mountPath: /ca}]}}\n  template: {file: " + path + "}", func() { set("{spec: {volumes: [{name: ca, emptyDir: {}}]}}") }
		}},
		{name: "no such PodTemplate", wrong: func(t *testing.T, w *world) (string, func()) {
			return "  template: {pod-template: runner}", func() { w.podTemplate("runner", "image:1") }
		}},
		{name: "namespaces that can't be listed", wrong: func(_ *testing.T, w *world) (string, func()) {
			forbidden := true
			w.kube.PrependReactor("list", "jobs", func(a k8stesting.Action) (bool, runtime.Object, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				return forbidden && strings.HasPrefix(a.GetNamespace(), "other"), nil, apierrors.NewForbidden(batchv1.Resource("jobs"), "", errors.New("no role"))
			})
			config := "  namespace: other"
			for n := range 4 {
				config += fmt.Sprintf("\n- name: bad-%d\n  namespace: other-%d", n, n)
			}
			return config, func() { w.mu.Lock(); forbidden = false; w.mu.Unlock() }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				text, mend := tt.wrong(t, w)
				good, _ := file(t, simulator.DefaultAgentToken)
				w.buildOn("default", 20, nil)
				ids := w.buildOn("bad", 1, nil)
				r := w.start("", func(o *Options) {
					o.Token = nil
					o.Load = func() (*config.Config, error) {
						text := "endpoint: http://buildkite.test/v3\ntoken-file: " + good + "\nqueues:\n- name: default\n- name: bad\n" + text + "\n"
						return config.Parse([]byte(text), namespace)
					}
				})
				w.await("the good queue's jobs", time.Minute, w.finished(20))
				if len(r.unready()) == 0 {
					t.Error("ready, though a queue is not served")
				}
				mend()
				if tt.name == "namespaces that can't be listed" {
					// The fake world has no pods there: being served is enough.
					w.await("ready", 2*time.Minute, func() bool { return len(r.unready()) == 0 })
				} else {
					w.await("the bad queue's job", time.Minute, func() bool { return w.job(ids[0]).ExitStatus == "0" })
					time.Sleep(15 * time.Second)
					if f := r.unready(); len(f) > 0 {
						t.Errorf("not ready after it was mended: %v", f)
					}
				}
				r.end(w)
			})
		})
	}
}

// A queue whose new namespace can't be listed goes on in the old one, not
// ready, until the configuration is mended or taken back.
func TestQueueMovesOnlyWhereItCanBeServed(t *testing.T) {
	for _, back := range []bool{true, false} {
		t.Run(fmt.Sprintf("taken back %v", back), func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				in, forbidden := namespace, true
				w.kube.PrependReactor("list", "jobs", func(a k8stesting.Action) (bool, runtime.Object, error) {
					w.mu.Lock()
					defer w.mu.Unlock()
					return forbidden && a.GetNamespace() == "other", nil, apierrors.NewForbidden(batchv1.Resource("jobs"), "", errors.New("no role"))
				})
				r := w.start("", func(o *Options) {
					o.Load = func() (*config.Config, error) {
						w.mu.Lock()
						defer w.mu.Unlock()
						return config.Parse([]byte("endpoint: http://buildkite.test/v3\nqueues:\n- {name: default, namespace: "+in+"}\n"), namespace)
					}
				})
				w.build(1)
				w.await("the first", time.Minute, w.finished(1))
				w.mu.Lock()
				in = "other"
				w.mu.Unlock()
				time.Sleep(2 * time.Minute)
				if f := strings.Join(r.unready(), "\n"); !strings.Contains(f, "namespace other") {
					t.Errorf("not ready because of %q, want the namespace", f)
				}
				w.build(1)
				w.await("the second, in the old namespace", time.Minute, w.finished(2))
				// What the old template has to say doesn't hide that.
				r.mu.Lock()
				q := r.queues["default"].queue
				r.mu.Unlock()
				r.retemplate(w.ctx, q)
				time.Sleep(time.Minute)
				if len(r.unready()) == 0 {
					t.Error("ready, though the queue isn't where the configuration says")
				}
				w.mu.Lock()
				if forbidden = false; back {
					in = namespace
				}
				want := in
				w.mu.Unlock()
				time.Sleep(2 * time.Minute)
				r.mu.Lock()
				now := r.queues["default"].store.Namespace
				r.mu.Unlock()
				if f := r.unready(); len(f) > 0 || now != want {
					t.Errorf("served in %s, want %s; not ready because of %q", now, want, f)
				}
				if back {
					w.build(1)
					w.await("the third", time.Minute, w.finished(3))
				}
				r.end(w)
			})
		})
	}
}

// With no template at start that can be used, the scheduler waits, not ready,
// until there is one: a restart would mend nothing.
func TestAllTemplatesBrokenAtStart(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		path, set := file(t, "{spec: {restartPolicy: Always, containers: []}}")
		w.buildOn("default", 1, nil)
		w.buildOn("other", 1, nil)
		r := w.start("  template: {file: " + path + "}\n- name: other\n  template: {pod-template: runner}\n")
		time.Sleep(time.Minute)
		if f := r.unready(); len(f) != 2 || !strings.Contains(f[0]+f[1], "always Never") || !strings.Contains(f[0]+f[1], "\"runner\" not found") {
			t.Errorf("not ready because of %q, want both templates' faults", f)
		}
		if len(w.made) > 0 || w.sim.Count("stacks_reserve") > 0 {
			t.Errorf("%d kjobs were made, %d reservations", len(w.made), w.sim.Count("stacks_reserve"))
		}
		set("")
		w.podTemplate("runner", "image:1")
		w.await("both jobs", time.Minute, w.finished(2))
		if f := r.unready(); len(f) > 0 {
			t.Errorf("not ready after the templates were mended: %q", f)
		}
		r.end(w)
	})
}

// A configuration that can't be used at start is an error.
func TestBadConfigAtStart(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r := w.start("  on-term: never\n")
		if err := <-r.done; err == nil || !strings.Contains(err.Error(), "neither cancel nor drain") {
			t.Errorf("Run: %v, want what is wrong with the configuration", err)
		}
	})
}

// A queue that Buildkite doesn't know is stopped, and only that.
func TestUnknownQueue(t *testing.T) {
	inWorld(t, simulator.Config{Queues: []string{"default", "other"}}, func(w *world) {
		w.buildOn("default", 30, nil)
		r := w.start("- name: nonsense\n- name: other\n")
		w.buildOn("other", 30, nil)
		w.await("the jobs of both", time.Minute, w.finished(60))
		if f := strings.Join(r.unready(), "\n"); !strings.Contains(f, "queue nonsense is stopped") {
			t.Errorf("not ready because of %q", f)
		}
		r.end(w)
	})
}

// slow is an API server whose creates take their time, or fail.
type slow struct {
	kubernetes.Interface
	wait func(ctx context.Context) error
}
type slowBatch struct {
	batchclient.BatchV1Interface
	slow
}
type slowJobs struct {
	batchclient.JobInterface
	slow
}

// takes is a wait that nothing ends.
func takes(d time.Duration) func(context.Context) error {
	return func(context.Context) error { time.Sleep(d); return nil }
}

// IsWatchListSemanticsUnSupported is the fake clientset's, for the informers.
func (s slow) IsWatchListSemanticsUnSupported() bool { return true }

func (s slow) BatchV1() batchclient.BatchV1Interface { return slowBatch{s.Interface.BatchV1(), s} }
func (s slowBatch) Jobs(ns string) batchclient.JobInterface {
	return slowJobs{s.BatchV1Interface.Jobs(ns), s.slow}
}
func (s slowJobs) Create(ctx context.Context, k *batchv1.Job, o metav1.CreateOptions) (*batchv1.Job, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.JobInterface.Create(ctx, k, o)
}

// Ten jobs don't wait behind another queue's three hundred.
func TestQueuesTakeTurns(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r := w.start("  max-in-flight: 0\n- name: other\n", func(o *Options) { o.Kube = slow{w.kube, takes(time.Second)} })
		time.Sleep(time.Second)
		w.buildOn("default", 300, nil)
		time.Sleep(time.Second)
		ids := w.buildOn("other", 10, nil)
		// Sixteen creates a second; alone, the three hundred take nineteen.
		w.await("the ten", 4*time.Second, func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return !slices.ContainsFunc(ids, func(id string) bool { return w.made["onejob-"+id].IsZero() })
		})
		w.mu.Lock()
		if n := len(w.made); n > 110 {
			t.Errorf("%d kjobs were made before the ten", n)
		}
		w.mu.Unlock()
		w.await("all", time.Minute, w.finished(310))
		r.end(w)
	})
}

// ten wants ten new jobs of a queue to have their kjobs promptly, more than once.
func (w *world) ten(queue string) {
	w.Helper()
	for range 2 {
		ids := w.buildOn(queue, 10, nil)
		w.await("the ten", 3*time.Second/2, func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return !slices.ContainsFunc(ids, func(id string) bool { return w.made["onejob-"+id].IsZero() })
		})
		time.Sleep(7 * time.Second)
	}
}

// Creates that one queue's webhook, or quota, refuses for the time being are
// that queue's trouble, with whatever code they are refused.
func TestRefusedCreatesStopNoOther(t *testing.T) {
	webhook := func(code int32) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Message: `admission webhook "x" denied the request: no`}}
	}
	for name, refusal := range map[string]error{
		"webhook, 500": webhook(500), "webhook, 409": webhook(409), "webhook, 429": webhook(429), "webhook, 404": webhook(404),
		"webhook that times out": apierrors.NewTimeoutError(`failed calling webhook "x": timed out`, 0),
		"conflict":               conflict("builds"),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				refuses := true
				w.onCreate = func(k *batchv1.Job) (error, error) {
					if refuses && k.Labels[contract.LabelQueue] == "default" {
						return refusal, nil
					}
					return nil, nil
				}
				r := w.start("  max-in-flight: 0\n- name: other\n  max-in-flight: 0\n")
				time.Sleep(time.Second)
				w.buildOn("default", 60, nil)
				time.Sleep(10 * time.Second)
				w.ten("other")
				if f := r.unready(); len(f) > 0 {
					t.Errorf("not ready: %v", f)
				}
				w.mu.Lock()
				refuses = false
				w.mu.Unlock()
				w.await("all", time.Minute, w.finished(80))
				r.end(w)
			})
		})
	}
}

// A queue whose identity changes while its creates are on the wire counts them.
func TestChangeOfIdentityKeepsTheCap(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		stack := ""
		r := w.start("", func(o *Options) {
			o.Kube = slow{w.kube, takes(4 * time.Second)}
			o.Load = func() (*config.Config, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				return config.Parse([]byte("endpoint: http://buildkite.test/v3\ncreate-workers: 2\nqueues:\n- name: default\n  max-in-flight: 4\n"+stack), namespace)
			}
		})
		w.runs = func(w *world, p *pod) { w.sleep(30*time.Second, p.kill); ran(w, p) }
		time.Sleep(8 * time.Second)
		w.buildOn("default", 20, nil)
		time.Sleep(time.Second)
		w.mu.Lock()
		stack = "  stack: another\n"
		w.mu.Unlock()
		w.await("all", 5*time.Minute, w.finished(20))
		if w.peak() != 4 {
			t.Errorf("%d at a time, want 4", w.peak())
		}
		r.end(w)
	})
}

// {{env.NAME}}: get job is called once a job, for the queues that need it only: a plain
// one doesn't.
func TestEnvInTemplates(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.buildOn("default", 30, map[string]string{"TAG": "v9"})
		gpu := w.buildOn("gpu", 25, map[string]string{"TAG": "v1.2"})
		r := w.start("  steps: plain\n- name: gpu\n  trusted-pipelines: true\n  template: {inline: {spec: {containers: [{name: agent, image: 'runner:{{env.TAG}}'}]}}}\n")
		w.await("finished", time.Minute, w.finished(55))
		for _, id := range gpu {
			if got := w.imageOf(id); got != "runner:v1.2" {
				t.Errorf("job %s has the image %q", id, got)
			}
		}
		if n := w.sim.Count("stacks_job"); n != len(gpu) {
			t.Errorf("get job was called %d times for %d jobs that need it", n, len(gpu))
		}
		// A reply that is lost is asked for again; what isn't there ends the job.
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_job", Status: 503, Times: 2})
		again := w.buildOn("gpu", 1, map[string]string{"TAG": "v2"})
		none := w.buildOn("gpu", 1, nil)
		bad := w.buildOn("gpu", 1, map[string]string{"TAG": "x\", \"evil\": \"y"})
		w.await("finished", time.Minute, w.finished(58))
		if got := w.imageOf(again[0]); got != "runner:v2" {
			t.Errorf("after a 503 the image is %q", got)
		}
		for id, want := range map[string]string{none[0]: "needs TAG", bad[0]: "is not made of"} {
			if f := w.job(id).StackFinish; f == nil || !strings.Contains(f.Detail, want) || w.kjobs(id) != 0 {
				t.Errorf("finish %+v with %d kjobs, want %q and none", f, w.kjobs(id), want)
			}
		}
		r.end(w)
	})
}

// podTemplate makes or changes a PodTemplate; no image makes a bad one.
func (w *world) podTemplate(name, image string) {
	w.Helper()
	p := &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	p.Template.Spec = podSpec(image)
	api := w.kube.CoreV1().PodTemplates(namespace)
	if _, err := api.Update(w.ctx, p, metav1.UpdateOptions{}); err == nil {
		return
	}
	if _, err := api.Create(w.ctx, p, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
}

func podSpec(image string) corev1.PodSpec {
	if image == "" {
		return corev1.PodSpec{RestartPolicy: corev1.RestartPolicyOnFailure, Containers: []corev1.Container{{Name: "wrong", Image: "x"}}}
	}
	return corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: contract.AgentContainer, Image: image}}}
}

// Jobs whose environment can't be asked for don't hold up the queue's poll.
func TestEnvOutageHoldsUpNoPoll(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_job", Status: 503, Until: 40 * time.Second})
		w.buildOn("default", 100, map[string]string{"TAG": "v1"})
		r := w.start("  max-in-flight: 0\n  trusted-pipelines: true\n  template: {inline: {spec: {containers: [{name: agent, image: 'runner:{{env.TAG}}'}]}}}\n")
		time.Sleep(2 * time.Second)
		polls := w.sim.Count("stacks_list")
		time.Sleep(30 * time.Second)
		if n := w.sim.Count("stacks_list") - polls; n < 10 {
			t.Errorf("%d polls in 30 s of the outage", n)
		}
		w.await("all", 5*time.Minute, w.finished(100))
		r.end(w)
	})
}

// Nor the creates of another queue, whatever becomes of the questions; and they
// are made soon after the environment can be had.
func TestEnvOutageStopsNoOther(t *testing.T) {
	const jobs, lasts = 100, 65 * time.Second
	for name, tt := range map[string]struct {
		fault simulator.Fault
		soon  time.Duration
	}{
		// A pause that was asked for just before the end has ten seconds of jitter.
		"429 for a minute": {simulator.Fault{Status: 429, Header: map[string]string{"Retry-After": "60"}}, 85 * time.Second},
		"503":              {simulator.Fault{Status: 503}, 15 * time.Second},
		"no reply":         {simulator.Fault{Hang: true}, 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				r := w.start("  max-in-flight: 0\n  trusted-pipelines: true\n  template: {inline: {spec: {containers: [{name: agent, image: 'runner:{{env.TAG}}'}]}}}\n- name: other\n  steps: plain\n  max-in-flight: 0\n")
				time.Sleep(time.Second)
				tt.fault.Endpoint, tt.fault.Until = "stacks_job", lasts
				w.sim.AddFault(tt.fault)
				began := time.Now()
				w.buildOn("default", jobs, map[string]string{"TAG": "v1"})
				for range 3 {
					time.Sleep(5 * time.Second)
					w.ten("other")
				}
				// The first look asks for a few at a time.
				if n := w.sim.Count("stacks_job"); n > 16+int(lasts/time.Second) {
					t.Errorf("get job was called %d times in the outage", n)
				}
				time.Sleep(time.Until(began.Add(lasts)))
				w.await("all", tt.soon, w.finished(jobs+60))
				r.end(w)
			})
		})
	}
}

// A template that lives in the cluster is followed; a bad new version keeps the
// last good one, and says so in log, metric and Event, once.
func TestTemplateIsFollowed(t *testing.T) {
	for _, kind := range []string{"pod-template", "job"} {
		t.Run(kind, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				set := func(image string) { w.podTemplate("runner", image) }
				if kind == "job" {
					set = func(image string) {
						k := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "runner", Namespace: namespace}}
						k.Spec.Suspend, k.Spec.Template.Spec = ptr.To(true), podSpec(image)
						if w.kube.Tracker().Update(jobsGVR, k, namespace) != nil {
							_ = w.kube.Tracker().Create(jobsGVR, k, namespace)
						}
					}
				}
				image := func() string {
					id := w.build(1)[0].ID
					w.await("kjob", 5*time.Second, func() bool { return w.kjobOf(id) != nil })
					return w.imageOf(id)
				}
				set("runner:1")
				var log logs
				r := w.start("  template: {"+kind+": runner}\n", log.into)
				time.Sleep(10 * time.Second)
				if got := image(); got != "runner:1" {
					t.Fatalf("image %q", got)
				}
				set("runner:2")
				time.Sleep(time.Second)
				if got := image(); got != "runner:2" {
					t.Errorf("after a change: image %q", got)
				}
				set("")
				time.Sleep(time.Minute)
				if got := image(); got != "runner:2" {
					t.Errorf("after a bad change: image %q, want the last good one", got)
				}
				if n := log.count("template not loaded"); n != 1 {
					t.Errorf("the log says it %d times", n)
				}
				if n := testutil.ToFloat64(r.metrics.templates.WithLabelValues("default", "error")); n < 1 {
					t.Errorf("the metric says it %v times", n)
				}
				if es := w.eventsOf("default"); len(es) != 1 || !strings.Contains(es[0], "TemplateInvalid: ") || !strings.Contains(es[0], "restartPolicy") {
					t.Errorf("events %v", es)
				}
				// The API server's trouble at the wrong moment costs seconds.
				down := 1
				w.kube.PrependReactor("get", "*", func(a k8stesting.Action) (bool, runtime.Object, error) {
					if r := a.GetResource().Resource; r != "podtemplates" && r != "jobs" {
						return false, nil, nil
					}
					w.mu.Lock()
					defer w.mu.Unlock()
					down--
					return down >= 0, nil, unavailable()
				})
				set("runner:3")
				time.Sleep(7 * time.Second)
				if got := image(); got != "runner:3" || len(r.unready()) > 0 {
					t.Errorf("mended: image %q, faults %v", got, r.unready())
				}
				r.end(w)
			})
		})
	}
}

// Settings that change while a template is being read aren't lost.
func TestSettingsChangeWhileATemplateIsRead(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.podTemplate("runner", "runner:1")
		r := w.start("  template: {pod-template: runner}\n")
		w.build(1)
		w.await("finished", time.Minute, w.finished(1))
		r.mu.Lock()
		q := r.queues["default"].queue
		r.mu.Unlock()
		changed := false
		w.kube.PrependReactor("get", "podtemplates", func(k8stesting.Action) (bool, runtime.Object, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if !changed {
				changed = true
				set := *q.set.Load()
				set.MaxInFlight = ptr.To(7)
				q.set.Store(&set)
			}
			return false, nil, nil
		})
		w.podTemplate("runner", "runner:2")
		time.Sleep(2 * warmEvery)
		id := w.build(1)[0].ID
		w.await("finished", time.Minute, w.finished(2))
		if got, most := w.imageOf(id), *q.set.Load().MaxInFlight; got != "runner:2" || most != 7 {
			t.Errorf("image %q and max-in-flight %d, want runner:2 and 7", got, most)
		}
		r.end(w)
	})
}

// The configuration is read again; a bad one leaves the last good one.
func TestConfigIsReloaded(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		text, failing := "", error(nil)
		set := func(s string, err error) { w.mu.Lock(); text, failing = s, err; w.mu.Unlock() }
		set("- name: default\n  max-in-flight: 3\n", nil)
		var log logs
		r := w.start("", log.into, func(o *Options) {
			o.Load = func() (*config.Config, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				if failing != nil {
					return nil, failing
				}
				return config.Parse([]byte("endpoint: http://buildkite.test/v3\ncreate-workers: 16\nqueues:\n"+text), namespace)
			}
		})
		w.runs = func(w *world, p *pod) { w.sleep(2*time.Second, p.kill); ran(w, p) }
		w.buildOn("default", 40, nil)
		time.Sleep(12 * time.Second)
		if w.peak() != 3 {
			t.Errorf("%d at a time, want 3", w.peak())
		}
		set("- name: default\n  max-in-flight: -1\n", nil)
		time.Sleep(30 * time.Second)
		if f := r.unready(); w.peak() != 3 || len(f) != 1 || !strings.Contains(f[0], "max-in-flight") || log.count("configuration not loaded") != 1 {
			t.Errorf("%d at a time, faults %v, the log says it %d times", w.peak(), f, log.count("configuration not loaded"))
		}
		if n := testutil.ToFloat64(r.metrics.configs.WithLabelValues("error")); n < 1 {
			t.Errorf("the metric says it %v times", n)
		}
		// More of it, another image, and one more queue.
		other := w.buildOn("other", 2, nil)
		image := "  template: {inline: {spec: {containers: [{name: agent, image: runner:2}]}}}\n"
		set("- name: default\n  max-in-flight: 5\n"+image+"- name: other\n", nil)
		w.await("the other queue's jobs", 30*time.Second, func() bool { return w.job(other[1]).ExitStatus == "0" })
		w.await("all", 2*time.Minute, w.finished(42))
		id := w.build(1)[0].ID
		w.await("finished", 20*time.Second, w.finished(43))
		if got := w.imageOf(id); got != "runner:2" || w.peak() > 7 || w.peak() < 5 {
			t.Errorf("image %q, %d at a time", got, w.peak())
		}
		// A queue whose template can't be loaded keeps what it has; one that is
		// taken out takes its fault along.
		path := filepath.Join(t.TempDir(), "later")
		set("- name: default\n  template: {file: "+path+"}\n- name: never\n  template: {file: /nonexistent}\n", nil)
		time.Sleep(40 * time.Second)
		id = w.build(1)[0].ID
		w.await("finished", 20*time.Second, w.finished(44))
		if got, n := w.imageOf(id), log.count("queue=default err=\"template"); got != "runner:2" || n != 1 {
			t.Errorf("image %q, the log says it %d times", got, n)
		}
		if err := os.WriteFile(path, []byte("{spec: {containers: [{name: agent, image: runner:3}]}}"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		set("- name: default\n  template: {file: "+path+"}\n", nil)
		time.Sleep(11 * time.Second)
		if f := r.unready(); len(f) > 0 {
			t.Errorf("not ready: %v", f)
		}
		late := w.buildOn("other", 1, nil)
		id = w.build(1)[0].ID
		w.await("finished", 20*time.Second, w.finished(45))
		if got := w.imageOf(id); got != "runner:3" || w.kjobs(late[0]) != 0 {
			t.Errorf("image %q, %d kjobs of a queue that was taken out", got, w.kjobs(late[0]))
		}
		r.end(w)
	})
}
