package main

import (
	"context"
	"fmt"
	"time"
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
	for _, n := range b.weights {
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
		memory, rest := pendingBars(n)
		b.report.add("d", fmt.Sprintf("RSS, %d kjobs", n), mib(u.RSS), "MiB", memory, peers[n][0])
		b.report.add("d", fmt.Sprintf("RSS, the most until then, %d kjobs", n), mib(u.Peak), "MiB", noBar, "")
		b.report.add("d", fmt.Sprintf("CPU per 1,000, %d kjobs", n), (u.CPU-before.CPU).Seconds()*1000/float64(n), "s", atMost(1.3), peers[n][1])
		if err := b.told(ctx, s, n); err != nil {
			return err
		}
		if err := b.rest(ctx, s, n, rest); err != nil {
			return err
		}
	}
	return nil
}

// told waits until every job that has waited for a minute was told so, and measures
// what that costs: it happens once to each job, so it is no part of what follows.
func (b *bench) told(ctx context.Context, s *subject, n int) error {
	from, err := s.process.Usage()
	if err != nil {
		return err
	}
	pause(ctx, restFor*b.settle)
	for before := -1; ; {
		now, err := b.eventWrites(ctx)
		if err != nil {
			return err
		}
		if now == before {
			break
		}
		before = now
		if !pause(ctx, b.settle) {
			return context.Cause(ctx)
		}
	}
	to, err := s.process.Usage()
	if err != nil {
		return err
	}
	b.report.add("d", fmt.Sprintf("CPU per 1,000 until told that they wait, %d kjobs", n), (to.CPU-from.CPU).Seconds()*1000/float64(n), "s", noBar, "")
	return nil
}

// rest measures what so many kjobs cost while nothing happens to them.
func (b *bench) rest(ctx context.Context, s *subject, n int, most bar) error {
	began := time.Now()
	from, err := s.process.Usage()
	if err != nil {
		return err
	}
	pause(ctx, restFor*b.settle)
	to, err := s.process.Usage()
	if err != nil {
		return err
	}
	b.report.add("d", fmt.Sprintf("CPU at rest, %d kjobs", n), 100*(to.CPU-from.CPU).Seconds()/time.Since(began).Seconds(), "% of a core", most, "")
	return nil
}

// restFor is how many times as long as it takes to settle the rest is watched: what
// is done every minute is to be in it.
const restFor = 6

// pendingBars are those of 5,000 kjobs whose pods wait, and twice that of twice as many.
func pendingBars(n int) (memory, rest bar) {
	times := float64((n + 4999) / 5000)
	return atMost(80 * times), atMost(3 * times)
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
