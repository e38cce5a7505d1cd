package scheduler

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/simulator"
)

func TestWarmWanted(t *testing.T) {
	for _, tt := range []struct {
		name, queue string
		unfinished  int
		want        int
	}{
		{"none", "", 5, 0},
		{"a floor", "  min-agents: 3\n", 0, 3},
		{"a floor that kjobs fill", "  min-agents: 3\n", 2, 1},
		{"a floor that is full", "  min-agents: 3\n", 5, 0},
		{"a number", "  buffer: 4\n", 9, 4},
		{"a share, rounded up", "  buffer: 10%\n", 21, 3},
		{"a share of nothing", "  buffer: 10%\n", 0, 0},
		{"the larger of both", "  min-agents: 10\n  buffer: 4\n", 8, 4},
		{"the other one", "  min-agents: 10\n  buffer: 4\n", 1, 9},
		{"no more than that", "  min-agents: 5000\n", 0, kjob.MaxWarm},
	} {
		if got := warmWanted(configuredQueue(t, tt.queue), tt.unfinished); got != tt.want {
			t.Errorf("%s: %d placeholders beside %d, want %d", tt.name, got, tt.unfinished, tt.want)
		}
	}
}

// Placeholders follow the template, and go while the queue is refused.
func TestWarmFollows(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		const queue = "- {name: default, min-agents: 3, template: {inline: {spec: {containers: [{name: agent, image: 'runner:"
		images := func() map[string]int {
			list, err := w.kube.BatchV1().Jobs(namespace).List(w.ctx, metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			n := map[string]int{}
			for _, k := range list.Items {
				n[kjob.FindAgent(&k.Spec.Template.Spec).Image]++
			}
			return n
		}
		want := func(what string, want map[string]int) {
			t.Helper()
			time.Sleep(time.Minute)
			if d := cmp.Diff(want, images()); d != "" {
				t.Errorf("%s (-want +got):\n%s", what, d)
			}
		}
		r, set := w.configured(queue + "1'}]}}}}\n")
		want("at first", map[string]int{"runner:1": 3})
		deletes := w.writes["delete jobs"]
		set(queue + "2'}]}}}}\n")
		want("another template", map[string]int{"runner:2": 3})
		if n := w.writes["delete jobs"] - deletes; n != 3 {
			t.Errorf("%d were deleted for it, want 3", n)
		}
		w.sim.RotateAgentToken("another")
		want("refused", map[string]int{})
		r.end(w)
	})
}
