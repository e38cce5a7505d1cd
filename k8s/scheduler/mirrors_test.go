package scheduler

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/client-go/kubernetes/fake"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	"k8s.io/client-go/rest"

	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/simulator"
)

// snapshots is a world's API server with VolumeSnapshots beside: what it answers to a list of
// them, and when it was asked.
type snapshots struct {
	*fake.Clientset

	mu     sync.Mutex
	code   int
	body   string
	hangs  time.Duration
	asked  []time.Time
	client batchclient.BatchV1Interface
}

type withREST struct {
	batchclient.BatchV1Interface
	rest rest.Interface
}

func (c withREST) RESTClient() rest.Interface { return c.rest }

func (s *snapshots) BatchV1() batchclient.BatchV1Interface { return s.client }

func withSnapshots(w *world) *snapshots {
	s := &snapshots{Clientset: w.kube}
	c, err := batchclient.NewForConfig(&rest.Config{Host: "http://kubernetes.test", QPS: -1, Transport: kube.RoundTripper(s.answer)})
	if err != nil {
		w.Fatal(err)
	}
	s.client = withREST{w.kube.BatchV1(), c.RESTClient()}
	s.are()
	return s
}

func (s *snapshots) answer(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, time.Now())
	code, body, hangs := s.code, s.body, s.hangs
	s.mu.Unlock()
	select {
	case <-time.After(hangs):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// are makes these the snapshots that are ready, the newest last.
func (s *snapshots) are(names ...string) {
	var items []string
	for i, name := range names {
		items = append(items, fmt.Sprintf(`{"metadata":{"name":%q,"creationTimestamp":"2026-01-01T00:%02d:00Z"},"status":{"readyToUse":true}}`, name, i))
	}
	s.say(200, `{"items":[`+strings.Join(items, ",")+"]}", 0)
}

func (s *snapshots) say(code int, body string, hangs time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.code, s.body, s.hangs = code, body, hangs
}

func (s *snapshots) refuse(code int, reason string) {
	s.say(code, fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reason, code), 0)
}

func (s *snapshots) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

const fromSnapshots = "  git-mirrors: {snapshot: {labels: {app: mirrors}, size: 20Gi}}\n"

// snapshotOf is what the volume of a job's git mirrors is made of, empty if it has none.
func (w *world) snapshotOf(id string) string {
	w.Helper()
	o, err := w.kube.Tracker().Get(jobsGVR, namespace, "onejob-"+id)
	if err != nil {
		w.Fatal(err)
	}
	for _, v := range o.(*batchv1.Job).Spec.Template.Spec.Volumes {
		if v.Name == kjob.MirrorsVolume {
			return v.Ephemeral.VolumeClaimTemplate.Spec.DataSource.Name
		}
	}
	return ""
}

// ranWith runs one more build, and returns what the mirrors of each of its jobs were made of.
func (w *world) ranWith(jobs int) (of []string) {
	w.Helper()
	before := w.sim.JobsIn()[simulator.StateFinished]
	built := w.build(jobs)
	w.await("finished", time.Minute, w.finished(before+jobs))
	for _, j := range built {
		if got := w.job(j.ID); got.ExitStatus != "0" || w.kjobs(j.ID) != 1 {
			w.Errorf("job %s ended with %q and %d Kubernetes Jobs", j.ID, got.ExitStatus, w.kjobs(j.ID))
		}
		if got := w.snapshotOf(j.ID); !slices.Contains(of, got) {
			of = append(of, got)
		}
	}
	return of
}

// A queue's pods get the newest snapshot. One look serves all jobs of 30 s, a queue without
// work makes none, and whatever comes of a look, each job is run, once, and its queue says
// why it has no mirrors.
func TestNewestSnapshotForJobs(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		s := withSnapshots(w)
		s.are("mirrors-1", "mirrors-2")
		r := w.start(fromSnapshots, func(o *Options) { o.Kube, o.Lean = s, w.kube })
		w.await("ready", 10*time.Second, func() bool { return len(r.unready()) == 0 })
		time.Sleep(2 * snapshotsEvery)
		if got := len(s.times()); got != 0 {
			t.Errorf("%d looks without a job", got)
		}
		why := func() string { return r.status().Queues[0].Why }
		want := func(when, snapshot, says string) {
			t.Helper()
			if got := w.ranWith(4); !slices.Equal(got, []string{snapshot}) {
				t.Errorf("%s: the mirrors are of %q, want %q", when, got, snapshot)
			}
			if got := why(); (got == "") != (says == "") || !strings.Contains(got, says) {
				t.Errorf("%s: the queue says %q, want %q", when, got, says)
			}
		}
		later := func() { time.Sleep(snapshotsEvery) }

		want("at first", "mirrors-2", "")
		s.are("mirrors-2", "mirrors-3")
		want("a moment later", "mirrors-2", "")
		later()
		want("the next time", "mirrors-3", "")
		s.are()
		later()
		want("none is left", "", "its jobs have no git mirrors, and clone: no VolumeSnapshot can be used: namespace builds, labels app=mirrors: there is none")
		later()
		want("still none", "", "there is none")
		if got := w.eventsSaying("MirrorsMissing", "queue default: its jobs have no git mirrors, and clone"); got != 1 {
			t.Errorf("%d Events of it, want 1", got)
		}
		s.refuse(403, "Forbidden")
		later()
		want("no right", "", "no right to list volumesnapshots")
		s.refuse(404, "NotFound")
		later()
		want("no CRD", "", "install the snapshot controller and its CRDs")
		s.are("mirrors-4")
		later()
		want("again", "mirrors-4", "")
		// An API server that doesn't say has not said that the snapshot is gone.
		s.refuse(500, "InternalError")
		later()
		want("no answer", "mirrors-4", "")
		s.say(200, "{}", time.Hour)
		later()
		want("a late answer", "mirrors-4", "")
		time.Sleep(snapshotKept)
		want("no answer for long", "", "listing the VolumeSnapshots of git mirrors")
		r.end(w)
		asked := s.times()
		for i := range asked[1:] {
			if gap := asked[i+1].Sub(asked[i]); gap < snapshotsEvery {
				t.Errorf("look %d came %s after the one before", i+1, gap)
			}
		}
	})
}

// A queue without such mirrors never looks.
func TestNoSnapshotsAsked(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		s := withSnapshots(w)
		r := w.start("", func(o *Options) { o.Kube, o.Lean = s, w.kube })
		if got := w.ranWith(3); !slices.Equal(got, []string{""}) || len(s.times()) != 0 {
			t.Errorf("mirrors of %q, %d looks", got, len(s.times()))
		}
		r.end(w)
	})
}
