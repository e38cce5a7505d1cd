package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/test/controlplane"
)

// lostPods (g): the first pod of each job is evicted before its runner has
// begun; how long until the next attempt's kjob is seen?
func (b *bench) lostPods(ctx context.Context, s *subject) error {
	var mu sync.Mutex
	lost := map[string]time.Time{} // by job; zero while it is on its way
	runs := controlplane.Runs(100 * time.Millisecond)
	kubelet, err := s.RunKubelet(ctx, func(ctx context.Context, r *controlplane.Runner) {
		mu.Lock()
		_, again := lost[r.Job]
		if !again {
			lost[r.Job] = time.Time{}
		}
		mu.Unlock()
		if again {
			runs(ctx, r)
			return
		}
		at := r.Lose()
		mu.Lock()
		lost[r.Job] = at
		mu.Unlock()
	})
	if err != nil {
		return err
	}
	defer kubelet.Close()
	if err := s.start(ctx); err != nil {
		return err
	}
	for range b.lost {
		if _, _, err := s.Build(1); err != nil {
			return err
		}
		pause(ctx, 250*time.Millisecond)
	}
	wctx, cancel := context.WithTimeout(ctx, b.watched)
	defer cancel()
	all := s.Watch.Wait(wctx, func() bool { return s.Watch.Made() >= 2*b.lost })

	var took samples
	seen := map[string]bool{}
	mu.Lock()
	defer mu.Unlock()
	for _, k := range s.Watch.Kjobs() {
		if at := lost[k.Job]; seen[k.Job] && !at.IsZero() {
			// The watch may be ahead of the reply to the eviction.
			took = append(took, max(0, k.Seen.Sub(at)))
		}
		seen[k.Job] = true
	}
	b.report.add("g", fmt.Sprintf("of %d jobs without a second kjob", b.lost), float64(b.lost-len(took)), "", exactly(0), "")
	if all != nil && len(took) == 0 {
		return nil
	}
	b.report.add("g", "lost to the next attempt's kjob, p50", took.at(0.5).Seconds(), "s", noBar, "")
	b.report.add("g", "lost to the next attempt's kjob, p99", took.at(0.99).Seconds(), "s", atMost(2), "")
	return nil
}
