package jobrun

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/buildkite/agent/v3/agent"

	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/signals"
)

// canceller ends a JobRunner's job. JobRunner.Cancel works once, and only after the
// job's process exists: an earlier call is lost, and the job runs on
// (docs/protocol.md#stock-defects).
type canceller struct {
	runner *agent.JobRunner
	jobID  string
	// begun is closed once that process exists.
	begun <-chan struct{}
	// over ends when JobRunner.Run has returned.
	over context.Context
	log  *slog.Logger
}

// cancel sends the cancel signal, and SIGKILL after the signal grace; it
// returns when the job is gone.
func (c canceller) cancel() {
	for waiting := true; waiting; {
		// A pre-bootstrap hook may be running, and must not delay us. A process that is
		// about to become the bootstrap is left alone: it would be reported as a job
		// that a signal ended for no reason.
		for _, pid := range children() {
			// This is checked last, because the process may have become the bootstrap
			// just now. Only the bootstrap has BUILDKITE_AGENT_PID, which JobRunner
			// sets to our PID.
			if hasEntry(pid, "BUILDKITE_JOB_ID="+c.jobID) && !hasEntry(pid, agentPID()) {
				syscall.Kill(pid, syscall.SIGTERM) //nolint:errcheck // it may be gone
			}
		}
		select {
		case <-c.begun:
			waiting = false
		case <-c.over.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := c.runner.Cancel(agent.CancelReasonAgentStopping); err != nil {
		c.log.Warn("canceling the job", "err", err)
	}
}

// forceAt kills the job, unless it is over by then.
func (c canceller) forceAt(at time.Time) {
	if jitter.Sleep(c.over, time.Until(at)) {
		c.log.Warn("killing the job: it hasn't ended in the time that a pod has at the least")
		c.force()
	}
}

// force kills all of the job's processes until Run has returned.
func (c canceller) force() {
	go c.runner.Cancel(agent.CancelReasonAgentStopping) //nolint:errcheck // only for the reason that finish gives
	for {
		if n := signals.KillByEnv("BUILDKITE_JOB_ID=" + c.jobID); n > 0 {
			c.log.Warn("killed the job", "processes", n)
		}
		if !jitter.Sleep(c.over, 50*time.Millisecond) {
			return
		}
	}
}

func agentPID() string { return fmt.Sprintf("BUILDKITE_AGENT_PID=%d", os.Getpid()) }

// hasEntry reports whether the environment of a process has the entry
// "NAME=value". One that can't be read has none.
func hasEntry(pid int, entry string) bool {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && slices.Contains(strings.Split(string(environ), "\x00"), entry)
}

// children returns the PIDs of our own children.
func children() []int {
	var pids []int
	lists, _ := filepath.Glob("/proc/self/task/*/children") //nolint:errcheck // the pattern is good
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
