package jobrun

import (
	"context"
	"log/slog"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Before the bootstrap is there, a pre-bootstrap hook is ended, and nothing
// else: a child that isn't known for what it is may be about to become the
// bootstrap.
func TestCancelBeforeTheBootstrap(t *testing.T) {
	start := func(env ...string) (*exec.Cmd, chan struct{}) {
		cmd := exec.Command("sleep", "60")
		cmd.Env = env
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		done := make(chan struct{})
		go func() {
			cmd.Wait()
			close(done)
		}()
		return cmd, done
	}
	hook, hookDone := start("BUILDKITE_JOB_ID=" + job)
	other, otherDone := start("A=B")

	over, end := context.WithCancel(t.Context())
	c := canceller{jobID: job, over: over, log: slog.New(slog.DiscardHandler)}
	returned := make(chan struct{})
	go func() {
		c.cancel()
		close(returned)
	}()
	select {
	case <-hookDone:
	case <-time.After(10 * time.Second):
		t.Fatal("the hook goes on")
	}
	if ws, ok := hook.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGTERM {
		t.Errorf("the hook ended with %v, want SIGTERM", hook.ProcessState)
	}
	time.Sleep(100 * time.Millisecond)
	select {
	case <-otherDone:
		t.Errorf("another child was ended: %v", other.ProcessState)
	default:
	}
	end()
	<-returned
	other.Process.Kill()
	<-otherDone
}
