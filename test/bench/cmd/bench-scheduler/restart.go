package main

import (
	"context"
	"fmt"
	"time"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/controlplane"
)

// killed (e): kill -9 when half of a burst has its kjobs, and a restart at once.
func (b *bench) killed(ctx context.Context, s *subject) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	pause(ctx, idle)
	if _, _, err := s.Build(b.burst); err != nil {
		return err
	}
	if err := s.Watch.WaitFor(ctx, b.burst/2); err != nil {
		return err
	}
	s.kill()
	left := b.burst - s.Watch.Jobs()
	if err := s.start(ctx); err != nil {
		return err
	}
	restarted := time.Now()
	wctx, cancel := context.WithTimeout(ctx, b.watched)
	defer cancel()
	all := s.Watch.WaitFor(wctx, b.burst)
	b.report.add("e", "jobs without a kjob at the kill", float64(left), "", noBar, "")
	b.report.add("e", fmt.Sprintf("%s after the restart", b.watched), float64(b.burst-s.Watch.Jobs()), "", exactly(0), "488 (tuned)")
	if all == nil {
		b.report.add("e", "all have one after", time.Since(restarted).Seconds(), "s", noBar, "60.3 (tuned)")
	}
	b.report.add("e", "second kjobs of a job", float64(len(s.Watch.Twice())), "", exactly(0), "")
	return nil
}

// restartAtCap (f): with as many running as may, the scheduler is killed, more
// jobs arrive, and it is started again.
func (b *bench) restartAtCap(ctx context.Context, s *subject) error {
	running := func() bool { return s.Simulator.JobsIn()[simulator.StateRunning] == b.cap }
	release := make(chan struct{})
	player, err := s.RunKubelet(ctx, func(ctx context.Context, r *controlplane.Runner) {
		hold, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-release:
				cancel()
			case <-hold.Done():
			}
		}()
		controlplane.Runs(time.Hour)(hold, r)
	})
	if err != nil {
		return err
	}
	defer player.Close()
	if err := s.start(ctx); err != nil {
		return err
	}
	if _, _, err := s.Build(b.cap); err != nil {
		return err
	}
	if err := s.Simulator.Wait(ctx, running); err != nil {
		return fmt.Errorf("waiting until %d run: %w", b.cap, err)
	}
	s.kill()
	if _, _, err := s.Build(b.more); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	pause(ctx, b.watched/2)
	b.report.add("f", fmt.Sprintf("unfinished kjobs above max-in-flight %d", b.cap), float64(s.Watch.Most()-b.cap), "", exactly(0), "25")
	// A scheduler that does nothing would do as well so far.
	close(release)
	return s.Watch.WaitFor(ctx, b.cap+b.more)
}

// pausedQueue (h): jobs arrive while their queue is paused, and then it is
// resumed.
func (b *bench) pausedQueue(ctx context.Context, s *subject) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := s.Simulator.SetQueuePaused(controlplane.Queue, true); err != nil {
		return err
	}
	pause(ctx, idle) // a list that was on its way
	if _, _, err := s.Build(b.paused); err != nil {
		return err
	}
	pause(ctx, b.watched/2)
	b.report.add("h", fmt.Sprintf("kjobs created of %d while the queue is paused", b.paused), float64(s.Watch.Jobs()), "", exactly(0), "50")
	if err := s.Simulator.SetQueuePaused(controlplane.Queue, false); err != nil {
		return err
	}
	return s.Watch.WaitFor(ctx, b.paused)
}
