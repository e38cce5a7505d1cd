package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/signals"
)

// message is what is known of the attempt by now.
func (r *run) message() contract.Message {
	r.phases.end()
	r.msg.Phases = r.phases.list
	r.msg.Tries = r.childTries
	if r.client != nil {
		r.msg.Tries = r.client.Tries()
		for call, n := range r.childTries {
			r.msg.Tries[call] += n
		}
	}
	if r.began && r.Use != nil {
		r.msg.Use = r.Use()
	}
	sig, stopped := signals.From(r.watch.Stop)
	if stopped {
		r.msg.Received = sig.Error()
	}
	r.msg.ExitCode = r.msg.Outcome.ExitCode()
	switch {
	case r.msg.Outcome == contract.OutcomeStopped && stopped:
		r.msg.ExitCode = sig.ExitCode()
	case r.msg.Outcome == contract.OutcomeFinished && r.Options.ReflectExitStatus && r.msg.ExitStatus != nil:
		r.msg.ExitCode = *r.msg.ExitStatus & 0xff
	}
	return r.msg
}

// ended records the outcome and why.
func (r *run) ended(o contract.Outcome, format string, a ...any) {
	r.msg.Outcome, r.msg.Reason = o, fmt.Sprintf(format, a...)
}

// failed records the error of a call that did not succeed. ctx is the context that the
// call had.
func (r *run) failed(ctx context.Context, err error) {
	r.ended(acquire.Outcome(err), "%v", err)
	var retry *acquire.RetryError
	if errors.As(err, &retry) && !retry.NotBefore.IsZero() {
		notBefore := retry.NotBefore.UTC().Truncate(time.Millisecond)
		r.msg.NotBefore = &notBefore
	}
	// The loss of the session may have ended ctx, not a signal.
	if _, signalled := signals.From(ctx); r.msg.Outcome == contract.OutcomeStopped && !signalled {
		r.msg.Outcome = acquire.Outcome(context.Cause(ctx))
	}
}

// result records the result that was delivered; it does nothing if none was.
func (r *run) result(exitStatus, signal, signalReason string, d Delivery) {
	if !d.Delivered {
		return
	}
	if n, err := strconv.Atoi(exitStatus); err == nil {
		r.msg.ExitStatus = &n
	}
	r.msg.Signal, r.msg.SignalReason = signal, signalReason
}

// WriteMessage writes msg where the kubelet reads it. If the default path doesn't exist
// (outside of a pod), nobody reads the message and it is not written.
func WriteMessage(msg contract.Message, path string) error {
	if path == "" {
		path = contract.DefaultTerminationMessagePath
		if _, err := os.Stat(path); err != nil {
			return nil //nolint:nilerr // not in a pod
		}
	}
	if err := msg.WriteFile(path); err != nil {
		return fmt.Errorf("writing the termination message: %w", err)
	}
	return nil
}
