package runner_test

import (
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// TestJobCancelSignal: the operator chooses the signal that a job is ended with.
func TestJobCancelSignal(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	id := l.command("for s in TERM INT USR1; do trap \"echo got $s; exit 1\" $s; done; echo begun; n=0; while [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done")
	p := l.ours(id, "--cancel-signal=SIGUSR1")
	begun(l, id)
	if err := l.CancelJob(id); err != nil {
		t.Error(err)
	}
	p.wantExit(contract.ExitOK)
	p.wantOutcome(contract.OutcomeFinished)
	if j := l.job(id); j.State != simulator.StateCanceled || j.SignalReason != "cancel" {
		t.Errorf("job is %s with %s, want it canceled", j.State, j.SignalReason)
	}
	l.wantInLog(id, "got USR1")
	l.wantNotInLog(id, "got TERM", "got INT")
	l.wantSettled(id)
}

// TestJobCanceled: Buildkite ends a job that runs under the stock bootstrap.
func TestJobCanceled(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		command string
		timeout string
		act     func(l *lab, id string) error
		state   simulator.JobState
		signal  string
		want    []string
	}{
		{
			name: "polite", command: "trap 'echo leaving; exit 1' TERM; echo begun; sleep 60 & wait",
			act:   func(l *lab, id string) error { return l.CancelJob(id) },
			state: simulator.StateCanceled, signal: "SIGTERM", want: []string{"leaving", "pre-exit"},
		},
		{
			name: "stubborn", command: "trap '' TERM; echo begun; for i in $(seq 600); do sleep 0.1; done",
			act:   func(l *lab, id string) error { return l.CancelJob(id) },
			state: simulator.StateCanceled, signal: "SIGKILL",
		},
		{
			name: "timed out", command: "echo begun; sleep 60", timeout: ", timeout_in_minutes: 0.05",
			act:   func(*lab, string) error { return nil },
			state: simulator.StateTimedOut, signal: "SIGTERM", want: []string{"timed-out=true"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Config{})
			hooks := l.hooks("global", map[string]string{
				"post-command": "echo timed-out=$BUILDKITE_JOB_TIMED_OUT", "pre-exit": "echo pre-exit timed-out=$BUILDKITE_JOB_TIMED_OUT",
			})
			script := l.write("command.sh", tt.command, 0o755)
			id := l.build(simulator.BuildRequest{}, `steps: [{command: "bash `+script+`"`+tt.timeout+`}]`)[0]
			grace := []string{"--cancel-grace-period=60", "--signal-grace-period-seconds=55"}
			if tt.signal == "SIGKILL" {
				grace = []string{"--cancel-grace-period=6", "--signal-grace-period-seconds=3"}
			}
			p := l.ours(id, append(grace, l.real(), "--skip-checkout", "--hooks-path="+hooks)...)
			begun(l, id)
			at := time.Now()
			if err := tt.act(l, id); err != nil {
				t.Error(err)
			}
			p.wantExit(contract.ExitOK)
			p.wantOutcome(contract.OutcomeFinished)
			j := l.job(id)
			if j.State != tt.state || j.ExitStatus != "-1" || j.Signal != tt.signal || j.SignalReason != "cancel" {
				t.Errorf("job is %s with %s/%s/%s, want %s with -1/%s/cancel; its log:\n%s", j.State, j.ExitStatus, j.Signal, j.SignalReason, tt.state, tt.signal, l.log(id))
			}
			if took := j.FinishedAt.Sub(at); tt.signal == "SIGKILL" && took < 3*time.Second {
				t.Errorf("it was killed after %v, within the signal grace", took)
			}
			l.wantInLog(id, tt.want...)
			p.gone()
			l.wantSettled(id)
		})
	}
}
