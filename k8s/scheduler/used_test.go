package scheduler

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/simulator"
)

// A job that forges what it used moves no metric, and says nothing on a page or in sizes.
func TestForgedUseMovesNothing(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = uses(contract.Use{MemoryPeak: 1 << 45, MemoryLimit: 1, CPUSeconds: 1e9, CPULimit: .001, ThrottledSeconds: 1e9, MemoryStalled: 1e9})
		jobs := w.build(3)
		r := w.start("")
		w.await("finished", 2*time.Minute, w.finished(3))
		time.Sleep(time.Minute)
		for name, of := range map[string]*prometheus.HistogramVec{"peak": r.metrics.memoryPeak, "ratio": r.metrics.memoryRatio, "throttled": r.metrics.throttled} {
			var m dto.Metric
			if err := of.WithLabelValues("default").(prometheus.Metric).Write(&m); err != nil {
				t.Fatal(err)
			}
			if n := m.GetHistogram().GetSampleCount(); n != 0 {
				t.Errorf("%s: %d observations", name, n)
			}
		}
		for _, j := range jobs {
			if page := w.page(j.ID); len(page) != 0 {
				t.Errorf("the page says %q", page)
			}
		}
		rows, err := operate.List(w.ctx, w.kube, namespace, "")
		if sizes := operate.Sizes(rows); err != nil || len(sizes) != 0 {
			t.Errorf("sizes %+v, %v", sizes, err)
		}
		r.end(w)
	})
}

// What a job used is counted once, by the leader of its time, is told on its page if it
// matters, and can be read for as long as its kjob is there.
func TestUsed(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = uses(contract.Use{MemoryPeak: 1 << 30, MemoryLimit: 2 << 30, CPULimit: .5, ThrottledSeconds: 30})
		jobs := w.build(3)
		for _, want := range []uint64{3, 0} {
			r := w.start("")
			w.await("finished", 2*time.Minute, w.finished(3))
			time.Sleep(time.Minute)
			for name, of := range map[string]*prometheus.HistogramVec{"peak": r.metrics.memoryPeak, "ratio": r.metrics.memoryRatio, "throttled": r.metrics.throttled} {
				var m dto.Metric
				if err := of.WithLabelValues("default").(prometheus.Metric).Write(&m); err != nil {
					t.Fatal(err)
				}
				if n := m.GetHistogram().GetSampleCount(); n != want {
					t.Errorf("%s: %d observations, want %d", name, n, want)
				}
			}
			r.end(w)
		}
		const says = "the job was throttled 50 % of the time by its CPU limit of 0.5 (container agent): raise limits.cpu, or leave it out; the limit is in the queue's template or the step"
		for _, j := range jobs {
			if page := w.page(j.ID); len(page) != 1 || page[0] != says {
				t.Errorf("the page says %q", page)
			}
			if n := w.eventsSaying("JobNotice", says); n == 0 {
				t.Error("no Event says so")
			}
		}
		rows, err := operate.List(w.ctx, w.kube, namespace, "")
		if err != nil || len(rows) != 3 {
			t.Fatal(rows, err)
		}
		for _, s := range operate.Sizes(rows) {
			if s.Runs != 3 || s.Memory.Max != 1<<30 || s.Throttled.P50 != .5 {
				t.Errorf("%+v", s)
			}
		}
	})
}
