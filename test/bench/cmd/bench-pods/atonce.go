package main

import (
	"context"
	"fmt"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/test/cluster/image"
)

// atOnce (b): many jobs with an image, and as many bare Jobs of that image. The rate is
// that from the first one created to the last one over.
func (b *bench) atOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*patience, fmt.Errorf("not within %s", 2*patience))
	defer cancel()
	ids, err := b.step(b.burst, "", image.BusyboxName, "true")
	if err != nil {
		return err
	}
	var names []string
	for _, id := range ids {
		names = append(names, contract.KjobName(contract.JobID(id), 1))
	}
	ours, err := b.rate(ctx, names)
	if err != nil {
		return err
	}
	k, err := b.kjob(ctx, ids[0])
	if err != nil {
		return err
	}
	names = nil
	for range b.burst {
		name, err := b.bare(ctx, k, contract.CommandContainer, "true")
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	bare, err := b.rate(ctx, names)
	if err != nil {
		return err
	}
	b.report.add("b", fmt.Sprintf("%d jobs with image: at once", b.burst), ours, "a second", noBar)
	b.report.add("b", "  bare Jobs of that image", bare, "a second", noBar)
	b.report.add("b", "  ratio", ours/bare, "×", atLeast(0.8))
	return nil
}

// rate is how many Jobs a second were done, when all are over.
func (b *bench) rate(ctx context.Context, names []string) (float64, error) {
	var first, last time.Time
	for _, name := range names {
		if err := b.seen.wait(ctx, func() bool { return !b.seen.of(name).over.IsZero() }); err != nil {
			return 0, fmt.Errorf("waiting for the end of %s: %w", name, err)
		}
		s := b.seen.of(name)
		if first.IsZero() || s.created.Before(first) {
			first = s.created
		}
		if s.over.After(last) {
			last = s.over
		}
	}
	return float64(len(names)) / last.Sub(first).Seconds(), nil
}
