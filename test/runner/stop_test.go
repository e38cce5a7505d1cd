package runner_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// The signals by phase that were captured from the stock agent are in
// signalSequences; here are those that only we promise something about.

// TestStopOnTheWire: SIGTERM while an acquire is on the wire. The request is
// waited for; it was granted, so the job is finished at once.
func TestStopOnTheWire(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		fault   simulator.Fault
		exit    int
		outcome contract.Outcome
		job     string
		calls   string
	}{
		{
			"granted", simulator.Fault{Delay: 1500 * time.Millisecond}, contract.ExitNotRun, contract.OutcomeStoppedAcquired, "-1//agent_stop",
			"register connect acquire start chunks finish stop disconnect",
		},
		{
			"rejected", simulator.Fault{Delay: 1500 * time.Millisecond, Status: 422}, contract.ExitRejected, contract.OutcomeRejected, "",
			"register connect acquire:422 stop disconnect",
		},
		{
			"unavailable", simulator.Fault{Delay: 1500 * time.Millisecond, Status: 503}, contract.ExitTerminated, contract.OutcomeStopped, "",
			"register connect acquire:503 stop disconnect",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Config{})
			tt.fault.Endpoint = "acquire"
			fault := l.AddFault(tt.fault)
			id := l.command("echo never")
			p := l.ours(id, quick...)
			l.awaitFault(fault)
			p.signal(syscall.SIGTERM)
			m := p.wantOutcome(tt.outcome)
			p.wantExit(tt.exit)
			if m.Received != "SIGTERM" {
				t.Errorf("received = %q, want SIGTERM", m.Received)
			}
			if got := strings.TrimPrefix(l.ended(id), ", job "); got != tt.job {
				t.Errorf("job ended with %q, want %q", got, tt.job)
			}
			if got := l.calls(); got != tt.calls {
				t.Errorf("calls = %s, want %s", got, tt.calls)
			}
			if tt.job != "" {
				wantReason(l, id, m, "stopped by SIGTERM while the job was being acquired. Nothing of it ran.")
			}
			l.wantSettled(id)
		})
	}
}

// wantReason asserts that both the job's log and the message say why nothing of
// the job ran, and that no part of the log counts as lost.
func wantReason(l *lab, id string, m contract.Message, why string) {
	l.Helper()
	if log := l.log(id); !strings.Contains(log, why) || !strings.Contains(m.Reason, why) {
		l.Errorf("the log is %q, the message says %q, want both to say %q", log, m.Reason, why)
	}
	if j := l.job(id); j.ChunksFailedCount != 0 || !j.LogComplete || m.LogChunksFailed != 0 {
		l.Errorf("chunks_failed_count is %d, the message says %d, want 0: no log was lost", j.ChunksFailedCount, m.LogChunksFailed)
	}
}

// TestStopExitCodes: the exit code is that of the signal.
func TestStopExitCodes(t *testing.T) {
	t.Parallel()
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGQUIT: 131, syscall.SIGTERM: 143} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Config{})
			id := lockedJob(l)
			p := l.ours(id, "--acquire-backoff-base=30s")
			l.awaitCall("acquire", 1)
			p.signal(syscall.SIGHUP) // means nothing
			p.signal(sig)
			within(t, 20*time.Second, "leaving a backoff of 30 s", func() { p.wantExit(want) })
			p.wantOutcome(contract.OutcomeStopped)
			if got, want := l.calls(), "register connect acquire:423 stop disconnect"; got != want {
				t.Errorf("calls = %s, want %s", got, want)
			}
		})
	}
}

// TestStopDuringStart: SIGTERM while start is on the wire. The job must not go
// on as if nothing had happened, whether or not its process is there yet.
func TestStopDuringStart(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{500 * time.Millisecond, 3 * time.Second} {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Config{})
			fault := l.AddFault(simulator.Fault{Endpoint: "start", Delay: delay})
			id := l.command("echo begun; sleep 30; echo ended")
			p := l.ours(id)
			l.awaitFault(fault)
			p.signal(syscall.SIGTERM)
			m := p.message()
			if m.Outcome != contract.OutcomeFinished && m.Outcome != contract.OutcomeStoppedAcquired {
				t.Errorf("outcome is %s (%s)", m.Outcome, m.Reason)
			}
			j := l.job(id)
			if j.SignalReason != "agent_stop" || j.ExitStatus != "-1" {
				t.Errorf("job ended with %s/%s/%s, want -1 for agent_stop", j.ExitStatus, j.Signal, j.SignalReason)
			}
			if strings.Contains(l.log(id), "ended") {
				t.Error("the job ran to its end")
			}
			p.gone()
			l.wantSettled(id)
		})
	}
}

// TestStopDrain: with --on-term drain the job goes on, as far as the grace allows.
func TestStopDrain(t *testing.T) {
	t.Parallel()
	drain := []string{"--on-term=drain", "--cancel-grace-period=30", "--signal-grace-period-seconds=25"}

	t.Run("short", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, simulator.Config{})
		id := l.command("echo begun; sleep 3; echo ended; exit 5")
		p := l.ours(id, append(drain, "--termination-grace-seconds=120")...)
		begun(l, id)
		p.signal(syscall.SIGTERM)
		p.wantExit(contract.ExitOK)
		p.wantOutcome(contract.OutcomeFinished)
		l.wantJob(id, "5", "", "")
		if !strings.Contains(l.log(id), "ended") {
			t.Errorf("the log is %q", l.log(id))
		}
		l.wantSettled(id)
	})
	t.Run("long", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, simulator.Config{})
		id := l.command(long)
		p := l.ours(id, append(drain, "--termination-grace-seconds=35")...)
		begun(l, id)
		at := time.Now()
		p.signal(syscall.SIGTERM)
		p.wantExit(contract.ExitOK)
		// 35 s, less 30 s for canceling and 1 s to leave.
		if ran := l.job(id).FinishedAt.Sub(at); ran < 4*time.Second || ran > 35*time.Second {
			t.Errorf("the job ended %v after SIGTERM, want it cancelled after 4 s and reported before 35 s", ran)
		}
		l.wantJob(id, "-1", "SIGTERM", "agent_stop")
		l.wantSettled(id)
	})
	t.Run("forced", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, simulator.Config{})
		id := l.command(stubborn)
		p := l.ours(id, append(drain, "--termination-grace-seconds=120")...)
		twice(begun)(l, p, id)
		within(t, 20*time.Second, "a forced end", func() { p.wantExit(contract.ExitOK) })
		l.wantJob(id, "-1", "SIGKILL", "agent_stop")
		p.gone()
		l.wantSettled(id)
	})
}

// TestStopReports: SIGTERM while the result is retried, with waits between the
// retries that are longer than the grace.
func TestStopReports(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"chunks", "finish"} {
		t.Run(endpoint, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Config{})
			l.AddFault(simulator.Fault{Endpoint: endpoint, Status: 500, Times: 4})
			id := l.command("echo hello; exit 4")
			p := l.ours(id, "--cancel-grace-period=8", "--signal-grace-period-seconds=1")
			l.awaitCall(endpoint, 3)
			p.signal(syscall.SIGTERM)
			m := p.wantOutcome(contract.OutcomeFinished)
			p.wantExit(contract.ExitOK)
			l.wantJob(id, "4", "", "")
			wantLog(l, id, m)
			l.wantSettled(id)
		})
	}
}

// TestStopDuringSettings: a signal that comes while the settings are read is
// no different from a later one, as PID 1 and otherwise.
func TestStopDuringSettings(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*lab, string, ...string) *process{"process": (*lab).ours, "init": (*lab).asInit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Config{})
			fifo := filepath.Join(l.dir, "token")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			p := start(l, l.command("echo never"), "--token-file="+fifo)
			token, err := os.OpenFile(fifo, os.O_WRONLY, 0) // opens when the runner does
			if err != nil {
				t.Fatal(err)
			}
			defer token.Close()
			target := p.cmd.Process.Pid
			if name == "init" {
				target = l.only(target)
			}
			if err := syscall.Kill(target, syscall.SIGTERM); err != nil {
				t.Error(err)
			}
			time.Sleep(100 * time.Millisecond) // for a signal that ends it
			if _, err := token.WriteString(l.token); err != nil {
				t.Error(err)
			}
			token.Close()
			p.wantExit(contract.ExitTerminated)
			if m := p.wantOutcome(contract.OutcomeStopped); m.Received != "SIGTERM" {
				t.Errorf("received = %q, want SIGTERM", m.Received)
			}
			if got := l.calls(); got != "" {
				t.Errorf("calls = %s, want none", got)
			}
		})
	}
}
