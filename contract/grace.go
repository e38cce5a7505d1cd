package contract

import (
	"errors"
	"fmt"
	"time"
)

const (
	// GraceTail is the end of the grace, after the report: half of it is for
	// disconnecting, half for the processes to end. The stock agent forces its exit
	// just as long after its cancel grace period.
	GraceTail = time.Second
	// GraceReport is the least time between SIGKILL to the job and the end of
	// its report.
	GraceReport = time.Second
	// DefaultLeastGrace is the default of EnvLeastGrace: a spot node gives its pods 15
	// s or more, and people who delete a pod in a hurry give it 10.
	DefaultLeastGrace = 10 * time.Second
	// DefaultCancelGrace is the agent's cancel-grace-period.
	DefaultCancelGrace = 10 * time.Second
	// DefaultCancelSignalTimeout and DefaultCancelCleanupTimeout are agent v4's.
	DefaultCancelSignalTimeout  = 10 * time.Second
	DefaultCancelCleanupTimeout = 5 * time.Second
)

// CancelTimeouts are agent v4's two times, cancel-signal-timeout and
// cancel-cleanup-timeout, as v3 has them, in whole seconds: the cancel grace period
// is their sum, the signal grace period the first of them.
func CancelTimeouts(signal, cleanup time.Duration) (cancel, signalGrace time.Duration) {
	signal = signal.Truncate(time.Second)
	return signal + cleanup.Truncate(time.Second), signal
}

// CheckLeastGrace says what is wrong with EnvLeastGrace, in seconds; 0 means all.
func CheckLeastGrace(seconds int) error {
	if least := int((GraceTail + 2*GraceReport) / time.Second); seconds != 0 && (seconds < least || seconds > 1<<30) {
		return fmt.Errorf("%s is %d: it must be at least %d, or 0 for all of the termination grace", EnvLeastGrace, seconds, least)
	}
	return nil
}

// CheckGrace says what is wrong with a pod's graces: from SIGTERM to SIGKILL
// (its terminationGracePeriodSeconds), from a cancellation to the end of the
// report, and from the cancel signal to SIGKILL for the job. The runner refuses
// to start with bad ones (ExitConfig), so a template must not have them.
func CheckGrace(grace, cancel, signal time.Duration) error {
	var errs []error
	if signal < 0 || signal+GraceReport > cancel {
		errs = append(errs, fmt.Errorf("the cancel grace period (%v) must be at least %v longer than the signal grace period (%v): that time is for reporting the result", cancel, GraceReport, signal))
	}
	if cancel+GraceTail > grace {
		errs = append(errs, fmt.Errorf("the termination grace (%v) must be at least %v longer than the cancel grace period (%v), or the kubelet kills the runner before it has reported", grace, GraceTail, cancel))
	}
	return errors.Join(errs...)
}
