package runner_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// scattered is a job that leaves its process group, its session and its parent.
const scattered = "setsid sh -c 'sleep 61 & sleep 62' & (sleep 63 &); echo begun; sleep 64"

// TestStopCrashedRun: onejob-run is killed, as the OOM killer does. The job's
// processes go with it, and the job is finished with a reason in its log.
func TestStopCrashedRun(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	id := l.command(scattered)
	p := l.ours(id)
	begun(l, id)
	for _, pid := range p.named("onejob-run") {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	p.wantExit(contract.ExitNotRun)
	p.wantOutcome(contract.OutcomeRunnerError)
	p.gone()
	l.wantJob(id, "-1", "", "agent_stop")
	if log := l.log(id); !strings.Contains(log, "begun") || !strings.Contains(log, "runner died (signal: killed)") {
		t.Errorf("the log doesn't say what happened: %q", log)
	}
	l.wantSettled(id)
}

// TestStopCrashedAgent: onejob-agent is killed. Its child notices, cancels the
// job and reports it.
func TestStopCrashedAgent(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	id := l.command(long)
	p := l.ours(id)
	begun(l, id)
	p.signal(syscall.SIGKILL)
	p.wantExit(137)
	p.gone()
	l.wantJob(id, "-1", "SIGTERM", "agent_stop")
	l.wantSettled(id)
}

// TestJobRunnerCreationFails: the agent's JobRunner can't be made for a job that
// was acquired. It is finished, and its log says why.
func TestJobRunnerCreationFails(t *testing.T) {
	t.Parallel()
	for name, flag := range map[string]string{
		"context": "--job-context-dir=/proc/version/x", "log": "--enable-job-log-tmpfile --job-log-path=/proc/version/x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Config{})
			id := l.command("echo never")
			p := l.ours(id, strings.Fields(flag)...)
			p.wantExit(contract.ExitNotRun)
			m := p.wantOutcome(contract.OutcomeRunnerError)
			l.wantJob(id, "-1", "", "process_run_error")
			wantReason(l, id, m, "The job couldn't be run: preparing the job's runner: ")
			if got, want := l.calls(), "register connect acquire start chunks finish stop disconnect"; got != want {
				t.Errorf("calls = %s, want %s", got, want)
			}
			l.wantSettled(id)
		})
	}
}

// TestStopNoRunner: there is no onejob-run to start: said before anything is
// registered.
func TestStopNoRunner(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	cmd := l.oursCommand(l.command("echo never"))
	lone := l.dir + "/lone/onejob-agent"
	l.write("lone/x", "", 0o644)
	if err := install(cmd.Path, lone); err != nil {
		t.Fatal(err)
	}
	cmd.Path = lone
	cmd.Env[0] = "PATH=/usr/bin:/bin"
	p := l.start(cmd)
	p.wantExit(contract.ExitConfig)
	p.wantOutcome(contract.OutcomeConfig)
	if got := l.calls(); got != "" {
		t.Errorf("calls = %s, want none", got)
	}
}
