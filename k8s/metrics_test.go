package k8s

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onejob-dev/onejob/simulator"
)

// metric reads the values of a metric, by its labels in the order of their names.
func (r *running) metric(name string) map[string]float64 {
	families, _ := r.metrics.Registry.Gather()
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != name {
				continue
			}
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			got[strings.Join(labels, " ")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
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
