package acquire

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// What a call can come to, besides success. Each has one contract.Outcome.
var (
	// ErrRejected: Buildkite will not give us the job: 422, or another 4xx
	// that is not retried.
	ErrRejected = errors.New("acquisition rejected")
	// ErrAmbiguous: rejected after a reply had been lost; the job may be held
	// by this very session.
	ErrAmbiguous = errors.New("acquisition rejected after a lost reply, so that this session may hold the job")
	// ErrLocked: still 423 when the attempts or the time ran out.
	ErrLocked = errors.New("job is still locked")
	// ErrExhausted: the attempts or the time were spent on network errors, 429,
	// 5xx, and replies that aren't the API's own.
	ErrExhausted = errors.New("no usable answer from Buildkite")
	// ErrUntrusted: after all attempts the endpoint could not show that it is
	// Buildkite: its certificate isn't trusted here, or it has no TLS.
	ErrUntrusted = errors.New("endpoint not trusted")
	// ErrRefused: Buildkite will not have us: a 4xx on register, connect or
	// heartbeat, or it ordered requests that can't be sent.
	ErrRefused = errors.New("refused by Buildkite")
	// ErrStopped: a signal (or the caller) ended it first. The context's cause
	// is wrapped beside it.
	ErrStopped = errors.New("stopped")
)

// Outcome returns the contract's word for err. An error that no call of this
// package returned is OutcomeRunnerError.
func Outcome(err error) contract.Outcome {
	for _, e := range []struct {
		err error
		o   contract.Outcome
	}{
		{ErrStopped, contract.OutcomeStopped},
		{ErrAmbiguous, contract.OutcomeAmbiguous},
		{ErrRejected, contract.OutcomeRejected},
		{ErrLocked, contract.OutcomeLocked},
		{ErrRefused, contract.OutcomeRefused},
		{ErrUntrusted, contract.OutcomeUntrusted},
		{ErrExhausted, contract.OutcomeExhausted},
	} {
		if errors.Is(err, e.err) {
			return e.o
		}
	}
	return contract.OutcomeRunnerError
}

// RetryError is why a call was given up.
type RetryError struct {
	// Kind is one of the sentinels above.
	Kind error
	// Attempts is how many requests were sent.
	Attempts int
	// Status is the last reply's status, 0 if there was none.
	Status int
	// Last is the last request's own error, nil if none was sent.
	Last error
	// Cause is what stopped the call, for ErrStopped.
	Cause error
	// Why says why there was no further attempt, if Last doesn't say it.
	Why string
	// NotBefore is the moment that the server named in the last reply's
	// Retry-After; zero if it named none.
	NotBefore time.Time
	// Lost is set when the reply of some attempt may have been lost after the
	// server acted on it, and LostAt is when the first of those was sent.
	Lost   bool
	LostAt time.Time
}

func (e *RetryError) Error() string {
	var b strings.Builder
	b.WriteString(e.Kind.Error())
	if e.Cause != nil {
		fmt.Fprintf(&b, " by %v", e.Cause)
	}
	switch {
	case e.Attempts == 1:
		b.WriteString(" at attempt 1")
	case e.Attempts > 1:
		fmt.Fprintf(&b, " after %d attempts", e.Attempts)
	}
	if e.Last != nil {
		fmt.Fprintf(&b, ": %v", e.Last)
	}
	if e.Why != "" {
		fmt.Fprintf(&b, " (%s)", e.Why)
	}
	return b.String()
}

// Unwrap returns the kind, the cause and the last error.
func (e *RetryError) Unwrap() []error {
	errs := []error{e.Kind}
	for _, err := range []error{e.Cause, e.Last} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
