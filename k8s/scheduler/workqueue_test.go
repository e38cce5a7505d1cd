package scheduler

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/util/workqueue"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// What waits, was asked for and was put off is counted by work and queue; and not at all
// where nobody watches.
func TestWorkqueuesAreCounted(t *testing.T) {
	m := NewMetrics()
	m.works.watched = true
	r := &running{Scheduler: &Scheduler{metrics: m}}
	work, creates := newWorkQueue[contract.JobID](m, "default"), newCreateQueue(m)
	defer work.ShutDown()
	defer creates.ShutDown()
	work.Add(contract.SampleJobID)
	work.Add(contract.SampleJobID)
	creates.AddRateLimited(item{})
	if d := cmp.Diff(map[string]float64{"default decide": 1, " create": 0}, r.metric("onejob_workqueue_depth")); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff(map[string]float64{"default decide": 0, " create": 1}, r.metric("onejob_workqueue_retries_total")); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	id, _ := work.Get()
	work.Done(id)
	if n := len(r.metric("onejob_workqueue_work_seconds")); n != 2 {
		t.Errorf("%d histograms of how long work took, want 2", n)
	}
	m.forget("default")
	if d := cmp.Diff(map[string]float64{" create": 0}, r.metric("onejob_workqueue_depth")); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}

	m.works.watched = false
	if name, provider := m.works.of("default", workDecide); name != "" || provider != workqueue.MetricsProvider(nil) {
		t.Errorf("unwatched, it counts as %q", name)
	}
}

// A replica that leads no more has no work: a last value would look as if some were stuck.
func TestWorkqueueGaugesOfALeaderThatStops(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		m := NewMetrics()
		m.works.watched = true
		r := w.start("", func(o *Options) { o.Metrics = m })
		w.build(3)
		w.await("finished", time.Minute, w.finished(3))
		if n := len(r.metric("onejob_workqueue_unfinished_seconds")); n != 2 {
			t.Errorf("%d gauges while it leads, want 2", n)
		}
		r.end(w)
		time.Sleep(time.Minute)
		for _, name := range []string{"onejob_workqueue_unfinished_seconds", "onejob_workqueue_depth"} {
			if got := r.metric(name); len(got) > 0 {
				t.Errorf("%s is still %v", name, got)
			}
		}
	})
}
