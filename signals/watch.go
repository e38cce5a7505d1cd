package signals

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Received is the cause of a context that a signal ended.
type Received struct {
	Signal syscall.Signal
	// At is when it came.
	At time.Time
}

func (r *Received) Error() string { return Name(r.Signal) }

// ExitCode is 128+n, what a shell says of a process that the signal ended.
func (r *Received) ExitCode() int { return 128 + int(r.Signal) }

// From returns the signal that ended ctx, if one did.
func From(ctx context.Context) (*Received, bool) {
	var r *Received
	ok := errors.As(context.Cause(ctx), &r)
	return r, ok
}

// Watcher turns signals into two contexts.
type Watcher struct {
	// Stop ends at the first SIGTERM, SIGINT or SIGQUIT.
	Stop context.Context
	// Force ends at the second one, and at SIGQUIT at once.
	Force context.Context

	stop, force context.CancelCauseFunc
	sigs        chan os.Signal
	done        chan struct{}
	close       sync.Once
}

// Watch begins to watch; parent ends both contexts. Call Close when done. SIGHUP is
// ignored, as in the stock agent. SIGPIPE is ignored too: a job goes on when nobody
// reads the log any more.
func Watch(parent context.Context) *Watcher {
	w := &Watcher{sigs: make(chan os.Signal, 8), done: make(chan struct{})}
	w.Force, w.force = context.WithCancelCause(parent)
	w.Stop, w.stop = context.WithCancelCause(w.Force)
	signal.Notify(w.sigs, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGPIPE)
	tellInit()
	go w.loop()
	return w
}

func (w *Watcher) loop() {
	for {
		select {
		case <-w.done:
			return
		case sig := <-w.sigs:
			w.Deliver(sig)
		}
	}
}

// Deliver acts as if sig had come.
func (w *Watcher) Deliver(sig os.Signal) {
	s, ok := sig.(syscall.Signal)
	if !ok || s == syscall.SIGHUP || s == syscall.SIGPIPE {
		return
	}
	r := &Received{Signal: s, At: time.Now()}
	again := w.Stop.Err() != nil
	w.stop(r)
	if again || s == syscall.SIGQUIT {
		w.force(r)
	}
}

// Close restores the default handling of the signals and ends both contexts.
func (w *Watcher) Close() {
	w.close.Do(func() {
		signal.Stop(w.sigs)
		close(w.done)
		w.stop(context.Canceled)
		w.force(context.Canceled)
	})
}
