package scheduler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/stacks"
)

// served is a queue that is being served.
type served struct {
	*queue
	stop context.CancelFunc
	done chan struct{}
}

// handOver is what the queue that follows has to count.
func (s *served) handOver() *claims {
	if s == nil {
		return nil
	}
	return s.claims.handOver()
}

// lead serves the queues until ctx ends.
func (s *Scheduler) lead(ctx context.Context) error {
	s.leading.Store(true)
	s.metrics.leader.Set(1)
	defer s.leading.Store(false)
	defer s.metrics.leader.Set(0)
	if !s.identify(ctx) {
		return nil
	}
	s.refresh()
	s.creates = newCreateQueue(s.metrics)

	// hard outlives ctx by the drain, unless the Lease is lost: then nothing
	// may be written any more.
	hard, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)
	stopDrain := context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		if errors.Is(cause, ErrLeaseLost) {
			abort(cause)
			return
		}
		time.AfterFunc(drainTimeout, func() { abort(cause) })
	})
	defer stopDrain()

	var wg sync.WaitGroup
	events, stopEvents := context.WithCancel(context.WithoutCancel(ctx))
	wg.Go(func() { s.events.Run(events) })
	for range *s.config.CreateWorkers {
		wg.Go(func() { s.creator(hard) })
	}
	first := make(chan error, len(s.config.Queues))
	var queues sync.WaitGroup
	started := s.apply(ctx, hard, s.config, &queues, first)
	err := firstResults(ctx, first, started)
	if s.late.Swap(true) {
		err = nil // the queues say so themselves, and try again
	}
	if err == nil {
		s.reload(ctx, hard, &queues)
	}
	s.mu.Lock()
	for _, q := range s.queues {
		q.stop()
	}
	s.mu.Unlock()
	queues.Wait()
	s.creates.ShutDown()
	stopEvents()
	wg.Wait()
	s.metrics.works.forget("") // that of all queues
	s.mu.Lock()
	clear(s.queues)
	s.forgive(func(string) bool { return true })
	clear(s.faults) // as a standby it has none of these
	s.losses.clear()
	s.mu.Unlock()
	return err
}

// firstResults waits for each queue's first contact with Buildkite.
func firstResults(ctx context.Context, first <-chan error, n int) error {
	refused := 0
	var last error
	for range n {
		select {
		case err := <-first:
			if errors.Is(err, stacks.ErrRefused) || errors.Is(err, stacks.ErrNoCluster) {
				refused, last = refused+1, err
			}
		case <-ctx.Done():
			return nil
		}
	}
	if n > 0 && refused == n {
		return fmt.Errorf("%w: %w", ErrAllRefused, last)
	}
	return nil
}

// serve starts a queue, in place of another one if before isn't nil. That one is
// stopped only when nothing can fail any more; after an error it goes on.
func (s *Scheduler) serve(ctx, hard context.Context, c *config.Config, set *settings, before *served, queues *sync.WaitGroup, first chan<- error) error {
	store, err := s.open(ctx, set.Namespace)
	if err != nil {
		return err
	}
	token := s.token
	if token == nil {
		token = stacks.NewTokenFile(set.TokenFile)
	}
	client, err := stacks.New(stacks.Config{
		Endpoint: c.Endpoint, Token: token, Stack: set.Stack, Queue: set.Name, UserAgent: "onejob/" + s.version,
		Transport: s.transport, Observe: s.metrics.observe(set.Name),
	})
	if err != nil {
		return err
	}
	if before != nil {
		before.stop()
		<-before.done
	}
	qctx, stop := context.WithCancel(ctx)
	s.mu.Lock()
	q := &served{queue: newQueue(s, set, store, client, before.handOver()), stop: stop, done: make(chan struct{})}
	s.queues[set.Name] = q
	s.mu.Unlock()
	if before != nil && before.store != store {
		queues.Go(func() { before.retire(ctx) })
	}
	queues.Go(func() {
		defer close(q.done)
		defer stop()
		q.run(qctx, hard, func(err error) {
			if first != nil {
				first <- err
			}
		})
	})
	queues.Go(func() {
		kjob.Follow(qctx, s.kube, set.Queue, func() bool { return s.retemplate(qctx, q.queue) })
	})
	return nil
}
