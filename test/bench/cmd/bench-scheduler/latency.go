package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/onejob-dev/onejob/test/controlplane"
)

// idle is how long a scheduler has nothing to do before it is measured.
const idle = 3 * time.Second

// latency (a): from the moment in which a job is scheduled until its kjob is
// seen in a watch, while jobs arrive at random and run for a second each.
func (b *bench) latency(ctx context.Context, s *subject) error {
	kubelet, err := s.RunKubelet(ctx, controlplane.Runs(time.Second))
	if err != nil {
		return err
	}
	defer kubelet.Close()
	if err := s.start(ctx); err != nil {
		return err
	}
	pause(ctx, idle)

	scheduled, began := map[string]time.Time{}, time.Now()
	random := rand.New(rand.NewPCG(1, 2)) // the same arrivals for every scheduler
	for range b.arrivals {
		pause(ctx, time.Duration(random.ExpFloat64()/b.rate*float64(time.Second)))
		ids, at, err := s.Build(1)
		if err != nil {
			return err
		}
		scheduled[ids[0]] = at
	}
	if err := s.Watch.WaitFor(ctx, b.arrivals); err != nil {
		return err
	}
	calls := s.Requests(began, time.Now())
	b.on.traced(ctx, b.arrivals)
	var took samples
	for _, k := range s.Watch.Kjobs() {
		if at, first := scheduled[k.Job]; first {
			took = append(took, k.Seen.Sub(at))
			delete(scheduled, k.Job)
		}
	}
	b.report.add("a", "scheduled to kjob in a watch, p50", ms(took.at(0.5)), "ms", atMost(130), "504")
	b.report.add("a", "scheduled to kjob in a watch, p90", ms(took.at(0.9)), "ms", noBar, "935")
	b.report.add("a", "scheduled to kjob in a watch, p99", ms(took.at(0.99)), "ms", atMost(300), "996")
	n := float64(b.arrivals)
	b.report.add("c", "a: reserve calls a job", float64(calls["stacks_reserve"])/n, "", atMost(1), "")
	b.report.add("c", "a: list calls a second", float64(calls["stacks_list"])/time.Since(began).Seconds(), "", atMost(10), "")
	return nil
}
