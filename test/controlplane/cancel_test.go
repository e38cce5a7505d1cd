package controlplane_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/test/controlplane"
)

// A build is cancelled with thousands of its jobs queued: none of these gets a
// kjob any more, those that wait are gone within seconds, and Buildkite isn't
// asked about them one by one.
func TestBuildCancelled(t *testing.T) {
	const n, cap = 2000, 50
	l := open(t, fmt.Sprintf("  max-in-flight: %d\n", cap))
	l.behave(func(int, *controlplane.Runner) controlplane.Behaviour {
		return func(ctx context.Context, _ *controlplane.Runner) { <-ctx.Done() }
	})
	l.build(n)
	l.launch()
	if err := l.Watch.Wait(l.ctx, func() bool { return l.Watch.Unfinished() == cap }); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := l.Simulator.CancelBuild(1); err != nil {
		t.Fatal(err)
	}
	if err := l.Watch.Wait(l.within(time.Minute), func() bool { return l.Watch.Unfinished() == 0 }); err != nil { // 4 s on two busy cores
		t.Fatalf("%d kjobs are left: %v", l.Watch.Unfinished(), err)
	}
	took := time.Since(began)
	requests := l.Requests(began, began.Add(took))
	t.Logf("%d kjobs were gone %s after the build was cancelled; calls: %v", cap, took.Round(100*time.Millisecond), requests)

	lists := l.Simulator.Count("stacks_list")
	if err := l.Simulator.Wait(l.ctx, func() bool { return l.Simulator.Count("stacks_list") >= lists+10 }); err != nil {
		t.Fatal(err)
	}
	if made := l.Watch.Made(); made != cap {
		t.Errorf("%d kjobs were made, want %d: the others' jobs were cancelled before", made, cap)
	}
	// An answer is about all that wait. They are asked about again as they go, the
	// more together the faster they do.
	if asked := requests["stacks_states"]; asked >= cap {
		t.Errorf("states were asked for %d times, want fewer than the %d kjobs: in batches", asked, cap)
	}
	first := began.Add(took)
	for _, k := range l.Watch.Kjobs() {
		if k.Over.Before(first) {
			first = k.Over
		}
	}
	if asked := l.Requests(began, first)["stacks_states"]; asked > 2 {
		t.Errorf("the first kjob went after %d answers about the jobs' states, want at most 2", asked)
	}
	for _, endpoint := range []string{"stacks_finish", "stacks_notify", "stacks_job"} {
		if requests[endpoint] > 0 {
			t.Errorf("%s was called %d times about jobs that were cancelled", endpoint, requests[endpoint])
		}
	}
	// The simulator has the documented limits, of calls a second and of IDs a call.
	for call, n := range l.Simulator.Counts() {
		if call.Status/100 != 2 {
			t.Errorf("%s was answered with %d %d times", call.Endpoint, call.Status, n)
		}
	}
}
