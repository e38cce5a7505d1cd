package scheduler

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/status"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

// shown is what the page has as JSON.
type shown struct {
	status.Cluster
	Jobs []status.Job `json:"jobs"`
}

func (r *running) page(t testing.TB, query string) (html string, c shown) {
	t.Helper()
	for _, format := range []string{"", "&format=json"} {
		rec := httptest.NewRecorder()
		r.Handler(false).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/?"+query+format, nil))
		if rec.Code != http.StatusOK {
			t.Fatalf("/?%s%s answers %d: %s", query, format, rec.Code, rec.Body)
		}
		if format == "" {
			html = rec.Body.String()
		} else if err := json.Unmarshal(rec.Body.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
	}
	return html, c
}

// The page shows what runs, what is on its way and why, what waits and how far back, and
// what was lost; and no request to the API server or to Buildkite is made for it.
func TestStatusPage(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		n := 0
		w.runs = func(w *world, p *pod) {
			w.mu.Lock()
			n++
			turn := n
			w.mu.Unlock()
			switch turn {
			case 1: // lost before it has the job
				p.start()
				w.sleep(time.Second, p.kill)
				p.end(137, "Evicted", nil)
			case 2: // no node
				p.set(func(o *corev1.Pod) {
					o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available"}}
				})
				w.sleep(time.Hour, p.kill)
			default:
				slowly(0, 0, time.Hour)(w, p)
			}
		}
		r := w.start("  max-in-flight: 4\n  buffer: 2\n")
		w.build(30)
		w.await("the first is lost, and others run", time.Minute, func() bool { return w.sim.JobsIn()[simulator.StateRunning] >= 3 })
		time.Sleep(time.Minute)
		before, asked := w.askedFor(""), len(w.sim.Requests())
		html, c := r.page(t, "")
		if now, then := w.askedFor(""), len(w.sim.Requests()); now != before || then != asked {
			t.Errorf("the page cost %d requests to the API server and %d to Buildkite", now-before, then-asked)
		}
		if len(c.Queues) != 1 || len(c.Losses) != 1 || !c.Leads {
			t.Fatalf("the page has %+v", c.Cluster)
		}
		q := c.Queues[0]
		if q.State != status.Ready || q.Held != 4 || q.Max != 4 || q.Waiting != 26 || q.Listed != 26 || q.WarmWanted != 2 || len(q.Pending) == 0 || q.OldestSeconds < 60 {
			t.Errorf("the queue is %+v", q)
		}
		phases := map[string]int{}
		for _, j := range c.Jobs {
			phases[j.Phase]++
			if j.URL == "" || j.Pipeline == "" || j.Phase != "waiting" && j.Since.IsZero() {
				t.Errorf("a job is %+v", j)
			}
		}
		if phases["running"] != 3 || phases["pending"] != 1 || phases["waiting"] != 26 || phases["lost"] > 1 {
			t.Errorf("jobs by phase: %v", phases)
		}
		if l := c.Losses[0]; l.Action != string(decide.Attempt) || l.Reason != string(decide.ReasonLost) || l.Attempt != 1 || !strings.Contains(l.Text, "Evicted") {
			t.Errorf("the loss is %+v", l)
		}
		for _, want := range []string{"0/3 nodes are available", "25 jobs ahead, 4 of 4 slots in use", "1 queue ready", "Evicted"} {
			if !strings.Contains(html, want) {
				t.Errorf("the page has no %q", want)
			}
		}
		r.end(w)
	})
}

// A replica that doesn't lead says so, and who does, and what it can't serve.
func TestStatusPageOfAStandby(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		as := func(name string) func(*Options) {
			return func(o *Options) { o.Lease = &LeaseOptions{Namespace: namespace, Name: "onejob", Identity: name} }
		}
		a := w.start("", as("pod-a"))
		time.Sleep(5 * time.Second)
		b := w.start("", as("pod-b"))
		time.Sleep(10 * time.Second)
		if _, c := a.page(t, ""); !c.Leads || c.Leader != "pod-a" || c.Replica != "pod-a" || c.Queues[0].State != status.Ready {
			t.Errorf("the leader says %+v", c.Cluster)
		}
		html, c := b.page(t, "")
		if c.Leads || c.Leader != "pod-a" || c.Replica != "pod-b" || len(c.Jobs) > 0 || c.Queues[0].State != status.Standby {
			t.Errorf("the standby says %+v", c.Cluster)
		}
		if !strings.Contains(html, "kubectl port-forward pod/pod-a 8080") {
			t.Error("it doesn't say where the leader's page is")
		}
		a.end(w)
		time.Sleep(30 * time.Second)
		if _, c := b.page(t, ""); !c.Leads || c.Leader != "pod-b" {
			t.Errorf("the next leader says %+v", c.Cluster)
		}
		b.end(w)
	})
}

// A queue that isn't served says why; one that is paused, that it is.
func TestStatusPageOfQueuesThatWait(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r := w.start("", func(o *Options) {
			o.Load = func() (*config.Config, error) {
				return config.Parse([]byte("endpoint: http://buildkite.test/v3\nqueues:\n- name: default\n- name: broken\n  template: {file: /none}\n"), namespace)
			}
		})
		time.Sleep(10 * time.Second)
		if err := w.sim.SetQueuePaused("default", true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		low := w.build(2)
		time.Sleep(5 * time.Second)
		if _, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: make, priority: 5}]")}); err != nil {
			t.Fatal(err)
		}
		jobs := w.sim.Jobs()
		urgent := jobs[len(jobs)-1].ID
		time.Sleep(5 * time.Second)
		_, c := r.page(t, "")
		var waits []string
		for _, j := range c.Jobs {
			if waits = append(waits, j.ID.String()); j.Reason != "the queue is paused" {
				t.Errorf("%s waits because %q", j.ID, j.Reason)
			}
		}
		if want := []string{urgent, low[0].ID, low[1].ID}; !slices.Equal(waits, want) {
			t.Errorf("on the page are %v, want %v", waits, want)
		}
		states := map[string]string{}
		for _, q := range c.Queues {
			states[q.Name] = q.State
		}
		if states["default"] != status.Paused || states["broken"] != status.Stopped || !slices.ContainsFunc(c.NotReady, func(l string) bool { return strings.Contains(l, "/none") }) {
			t.Errorf("the queues are %v, not ready for %q", states, c.NotReady)
		}
		r.end(w)
	})
}

// No variable of a job is on the page, nor the token.
func TestStatusPageHasNoSecret(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = slowly(0, 0, time.Hour)
		r := w.start("  max-in-flight: 2\n  steps: image\n")
		if _, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: make, parallelism: 4, env: {PASSWORD: of-a-job}}]")}); err != nil {
			t.Fatal(err)
		}
		w.await("running", time.Minute, func() bool { return w.sim.JobsIn()[simulator.StateRunning] == 2 })
		html, c := r.page(t, "per=1000")
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"of-a-job", "PASSWORD", simulator.DefaultAgentToken} {
			if strings.Contains(html+string(b), secret) {
				t.Errorf("the page has %q", secret)
			}
		}
		r.end(w)
	})
}

// full is a scheduler whose cache has n kjobs with their pods.
func full(t testing.TB, n int) *running {
	t.Helper()
	client := fake.NewClientset()
	s := New(Options{Kube: client, Lean: client, Version: "test"})
	store, err := cache.New(client, s.log, namespace, "", cache.Handlers{}, &s.breaker, s.skew)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := range n {
		id := contract.JobID(fmt.Sprintf("018f0000-0000-7000-8000-%012d", i))
		at, uid := now.Add(-time.Duration(i)*time.Second), types.UID(fmt.Sprint("uid-", i))
		object := func(name string) cache.Object {
			return cache.Object{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, UID: uid}, ID: id, Attempt: 1, Queue: "default"}
		}
		p := &cache.Pod{Object: object(contract.KjobName(id, 1) + "-x"), Kjob: contract.KjobName(id, 1), KjobUID: uid,
			Pod: decide.Pod{Name: contract.KjobName(id, 1) + "-x", Phase: corev1.PodPending, CreatedAt: at, Unschedulable: "0/57 nodes are available: 57 Insufficient cpu"}}
		if i%2 == 0 {
			p.Pod = decide.Pod{Name: p.Name, Phase: corev1.PodRunning, Node: "node-1", CreatedAt: at, Started: true, StartedAt: at}
		}
		k := &cache.Job{Object: object(contract.KjobName(id, 1)), KJob: decide.KJob{UID: uid, Exists: true, CreatedAt: at, PodSeen: true},
			Job: stacks.Job{ID: id, Pipeline: "monorepo", Build: i, Branch: "feature/x", Step: "test"}}
		_, _ = store.Kjobs.GetIndexer().Add(k), store.Pods.GetIndexer().Add(p)
	}
	tpl := parsedTemplate(t, "")
	q := newQueue(s, &settings{Queue: configuredQueue(t, "  max-in-flight: 5000\n"), template: tpl}, store, nil, nil)
	t.Cleanup(q.work.ShutDown)
	waiting := make([]candidate, 0, 2*mostWaiting)
	for i := range cap(waiting) {
		waiting = append(waiting, candidate{job: stacks.Job{ID: contract.JobID(fmt.Sprintf("018f0000-0000-7000-9000-%012d", i)), Pipeline: "monorepo", Build: i}, attempt: 1, since: now})
	}
	q.line.Store(listing{}.line(waiting))
	s.config = &config.Config{Queues: []config.Queue{q.set.Load().Queue}}
	s.queues["default"] = &served{queue: q}
	s.synced.Store(true)
	s.leading.Store(true)
	return &running{Scheduler: s}
}

// The page of 5,000 Kubernetes Jobs is there in well under a second; BenchmarkStatusPage
// says how long it takes.
func TestStatusPageOfThousands(t *testing.T) {
	r := full(t, 5000)
	html, c := r.page(t, "q=insufficient&page=2")
	if len(c.Jobs) != 100 || !strings.Contains(html, "101–200 of 2500, of 6000 in all") {
		t.Errorf("%d jobs are shown", len(c.Jobs))
	}
	if len(html) > 200<<10 {
		t.Errorf("the page has %d bytes", len(html))
	}
	if c.Queues[0].Waiting != 2*mostWaiting {
		t.Errorf("%d wait, want all of them", c.Queues[0].Waiting)
	}
}

// BenchmarkStatusPage is one look and one answer, which may take 50 ms.
func BenchmarkStatusPage(b *testing.B) {
	r := full(b, 5000)
	for _, query := range []string{"", "q=insufficient+cpu", "format=json&per=1000"} {
		b.Run("query="+query, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rec := httptest.NewRecorder()
				r.Handler(false).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/?"+query, nil)) // a new page: nothing is kept
				if rec.Code != http.StatusOK {
					b.Fatal(rec.Code)
				}
			}
		})
	}
}
