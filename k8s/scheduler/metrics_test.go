package scheduler

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/onejob-dev/onejob/simulator"
)

// metric reads the values of a metric, by its labels in the order of their names.
func (r *running) metric(name string) map[string]float64 {
	return series(r, name, func(m *dto.Metric) float64 { return m.GetGauge().GetValue() + m.GetCounter().GetValue() })
}

// observed counts the observations in a histogram, by the same.
func (r *running) observed(name string) map[string]uint64 {
	return series(r, name, func(m *dto.Metric) uint64 { return m.GetHistogram().GetSampleCount() })
}

func series[T any](r *running, name string, of func(*dto.Metric) T) map[string]T {
	families, _ := r.metrics.Registry.Gather()
	got := map[string]T{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != name {
				continue
			}
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			got[strings.Join(labels, " ")] = of(m)
		}
	}
	return got
}

// Every queue of the configuration has a gauge that says whether it is served,
// and none that isn't in it.
func TestReadyGauge(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		const good = "- {name: default}\n"
		path := filepath.Join(t.TempDir(), "none")
		r, set := w.configured(good + fmt.Sprintf("- {name: broken, template: {file: %s}}\n", path))
		for i, tt := range []struct {
			queues string
			want   map[string]float64
		}{
			{"", map[string]float64{"default": 1, "broken": 0}},
			// It goes on with its last good template.
			{fmt.Sprintf("- {name: default, template: {file: %s}}\n- {name: broken}\n", path), map[string]float64{"default": 1, "broken": 1}},
			{good, map[string]float64{"default": 1}},
			{good + "- {name: again, template: {pod-template: none}}\n", map[string]float64{"default": 1, "again": 0}},
			{good, map[string]float64{"default": 1}},
		} {
			if tt.queues != "" {
				set(tt.queues)
			}
			time.Sleep(time.Minute)
			if d := cmp.Diff(tt.want, r.metric("onejob_queue_ready")); d != "" {
				t.Errorf("step %d (-want +got):\n%s", i, d)
			}
		}
		set(good + "- {name: again, template: {pod-template: none}}\n")
		time.Sleep(time.Minute)
		r.end(w)
		if got := r.metric("onejob_queue_ready"); len(got) > 0 {
			t.Errorf("after it led: %v", got)
		}
	})
	inWorld(t, simulator.Config{}, func(w *world) {
		w.sim.AddFault(simulator.Fault{Endpoint: "*", Status: 503, Until: time.Hour})
		r := w.start("")
		time.Sleep(time.Minute)
		if d := cmp.Diff(map[string]float64{"default": 0}, r.metric("onejob_queue_ready")); d != "" {
			t.Errorf("while Buildkite is down (-want +got):\n%s", d)
		}
		r.end(w)
	})
}

// What the metrics say of ten jobs, of which three have the slots, and of a pause
// at Buildkite.
func TestMetricsOfAKnownSituation(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			if p.start(); w.sleep(time.Hour, p.kill) {
				ran(w, p)
			}
		}
		w.build(10)
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_list", Status: 503, Times: 2})
		r := w.start("  max-in-flight: 3\n")
		time.Sleep(10 * time.Minute)
		if err := w.sim.SetQueuePaused("default", true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		for name, want := range map[string]map[string]float64{
			"onejob_queue_jobs":                   {"default": 7},
			"onejob_queue_unmatched_jobs":         {"default": 0},
			"onejob_queue_paused":                 {"default": 1},
			"onejob_queue_ready":                  {"default": 1},
			"onejob_slots":                        {"held default": 3, "max default": 3},
			"onejob_attempts_waiting":             {"default": 0},
			"onejob_kubernetes_job_creates_total": {"default created": 3},
			"onejob_leader":                       {"": 1},
		} {
			if d := cmp.Diff(want, r.metric(name)); d != "" {
				t.Errorf("%s (-want +got):\n%s", name, d)
			}
		}
		if got := r.metric("onejob_queue_oldest_wait_seconds")["default"]; got < 603 || got > 606 {
			t.Errorf("the oldest has waited for %v s, want 605", got)
		}
		requests := r.metric("onejob_buildkite_requests_total")
		for labels, want := range map[string]int{"list default 503": 2, "list default 200": w.sim.Count("stacks_list") - 2, "reserve default 200": w.sim.Count("stacks_reserve")} {
			if got := requests[labels]; int(got) != want {
				t.Errorf("%s: %v requests, want %d; there are %v", labels, got, want, requests)
			}
		}
		r.end(w)
	})
}
