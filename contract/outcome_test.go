package contract

import "testing"

// TestWithoutJob: of every other code the runner may have had the job.
func TestWithoutJob(t *testing.T) {
	without := map[int]bool{0: true, 27: true, 28: true, 75: true, 77: true, 78: true, 130: true, 131: true, 143: true}
	for code := range 256 {
		if got := WithoutJob(code); got != without[code] {
			t.Errorf("WithoutJob(%d) is %t, want %t", code, got, without[code])
		}
	}
}

// TestOutcomeExitCode is the table of exit codes that the scheduler decides by.
func TestOutcomeExitCode(t *testing.T) {
	for o, want := range map[Outcome]int{
		OutcomeFinished: 0, OutcomeRejected: 27, OutcomeAmbiguous: 27, OutcomeLocked: 28,
		OutcomeStartRefused: 70, OutcomeRunnerError: 70, OutcomeDeclined: 70, OutcomeUnsupported: 70, OutcomeUndelivered: 70, OutcomeStoppedAcquired: 70,
		OutcomeExhausted: 75, OutcomeUntrusted: 75, OutcomeUnready: 75, OutcomeRefused: 77, OutcomeConfig: 78, OutcomeContract: 78, OutcomeStopped: 143,
		"": 70, "something new": 70,
	} {
		if got := o.ExitCode(); got != want {
			t.Errorf("%q exits with %d, want %d", o, got, want)
		}
	}
}
