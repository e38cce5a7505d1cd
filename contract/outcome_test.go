package contract

import "testing"

// TestOutcomeExitCode is the table of exit codes that the scheduler decides by.
func TestOutcomeExitCode(t *testing.T) {
	for o, want := range map[Outcome]int{
		OutcomeFinished: 0, OutcomeRejected: 27, OutcomeAmbiguous: 27, OutcomeLocked: 28,
		OutcomeStartRefused: 70, OutcomeRunnerError: 70, OutcomeDeclined: 70, OutcomeUndelivered: 70, OutcomeStoppedAcquired: 70,
		OutcomeExhausted: 75, OutcomeUnready: 75, OutcomeRefused: 77, OutcomeConfig: 78, OutcomeStopped: 143,
		"": 70, "something new": 70,
	} {
		if got := o.ExitCode(); got != want {
			t.Errorf("%q exits with %d, want %d", o, got, want)
		}
	}
}
