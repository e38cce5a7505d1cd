package main

import (
	"context"
	"fmt"
)

// weigh (d): what the process has used, idle and with so many kjobs whose pods
// wait to be started.
func (b *bench) weigh(ctx context.Context, s *subject) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	pause(ctx, b.settle)
	before, err := s.process.Usage()
	if err != nil {
		return err
	}
	b.report.add("d", "RSS, idle", mib(before.RSS), "MiB", atMost(40), "64")
	peers := map[int][2]string{1000: {"208", "4.0 (tuned 1.3)"}, 5000: {"284", ""}}
	for i, n := range b.weights {
		if _, _, err := s.Build(n - s.Watch.Jobs()); err != nil {
			return err
		}
		if err := s.Watch.WaitFor(ctx, n); err != nil {
			return err
		}
		pause(ctx, b.settle)
		u, err := s.process.Usage()
		if err != nil {
			return err
		}
		bar := noBar
		if i == len(b.weights)-1 {
			bar = atMost(80)
		}
		b.report.add("d", fmt.Sprintf("RSS, %d kjobs", n), mib(u.RSS), "MiB", bar, peers[n][0])
		b.report.add("d", fmt.Sprintf("RSS, the most until then, %d kjobs", n), mib(u.Peak), "MiB", noBar, "")
		b.report.add("d", fmt.Sprintf("CPU per 1,000, %d kjobs", n), (u.CPU-before.CPU).Seconds()*1000/float64(n), "s", atMost(1.3), peers[n][1])
	}
	return nil
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
