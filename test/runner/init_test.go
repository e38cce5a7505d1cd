package runner_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// asInit starts onejob-agent as PID 1 of a PID namespace of its own, with a
// /proc of its own, as in a pod.
func (l *lab) asInit(id string, flags ...string) *process {
	l.Helper()
	if os.Getuid() != 0 {
		l.Fatal("it takes root to make a PID namespace")
	}
	cmd := l.oursCommand(id, flags...)
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		l.Fatal(err)
	}
	cmd.Args = append([]string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = unshare
	return l.start(cmd)
}

// only returns the one process whose parent is pid, once it is there.
func (l *lab) only(pid int) int {
	l.Helper()
	child := 0
	l.await(fmt.Sprintf("a child of %d", pid), func() bool {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, list := range lists {
			b, _ := os.ReadFile(list)
			if f := strings.Fields(string(b)); len(f) > 0 {
				child, _ = strconv.Atoi(f[0])
			}
		}
		return child > 0
	})
	return child
}

// orphans makes 200 processes whose parents are gone before they end, waits
// until they have, and counts those that nobody has waited for.
const orphans = `
n=0; while [ $n -lt 200 ]; do (setsid sleep 0.3 &); n=$((n+1)); done
sleep 3
echo "as $(cat /proc/1/comm), zombies=$(cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ')"
`

// TestInitReaps: what the job leaves behind is reaped.
func TestInitReaps(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	id := l.command(orphans)
	p := l.asInit(id)
	p.wantExit(contract.ExitOK)
	p.wantOutcome(contract.OutcomeFinished)
	if log := l.log(id); !strings.Contains(log, "as onejob-agent, zombies=0") {
		t.Errorf("the job's log is %q", log)
	}
	l.wantJob(id, "0", "", "")
	l.wantSettled(id)
}

// TestInitSignals: a signal to PID 1 reaches the runner and the job, and the
// runner's exit code comes back.
func TestInitSignals(t *testing.T) {
	t.Parallel()
	t.Run("running", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, simulator.Config{})
		id := l.command(long)
		p := l.asInit(id)
		begun(l, id)
		syscall.Kill(l.only(p.cmd.Process.Pid), syscall.SIGTERM)
		p.wantExit(contract.ExitOK)
		l.wantJob(id, "-1", "SIGTERM", "agent_stop")
		l.wantSettled(id)
	})
	t.Run("backoff", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, simulator.Config{})
		p := l.asInit(lockedJob(l), "--acquire-backoff-base=30s")
		l.awaitCall("acquire", 1)
		syscall.Kill(l.only(p.cmd.Process.Pid), syscall.SIGTERM)
		p.wantExit(contract.ExitTerminated)
		p.wantOutcome(contract.OutcomeStopped)
	})
	t.Run("rejected", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, simulator.Config{})
		l.AddFault(simulator.Fault{Endpoint: "acquire", Status: 422})
		l.asInit(l.command("echo never")).wantExit(contract.ExitRejected)
	})
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, simulator.Config{})
		id := l.command(long)
		p := l.asInit(id)
		begun(l, id)
		worker := l.only(l.only(p.cmd.Process.Pid))
		if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		p.wantExit(128 + int(syscall.SIGKILL))
		p.gone() // with PID 1 goes the namespace
	})
}

// TestInitKeepsStatuses: PID 1 waits for everything, and still no process of
// the job, nor the runner, loses a child's exit status.
func TestInitKeepsStatuses(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	id := l.command(`
bad=0; n=0
while [ $n -lt 500 ]; do
  (setsid true &)
  sh -c "exit $((n % 7))"; [ $? = $((n % 7)) ] || bad=$((bad+1))
  n=$((n+1))
done
echo "lost $bad of $n"; exit 9`)
	p := l.asInit(id)
	p.wantExit(contract.ExitOK)
	if log := l.log(id); !strings.Contains(log, "lost 0 of 500") {
		t.Errorf("the job's log is %q", log)
	}
	l.wantJob(id, "9", "", "")
	l.wantSettled(id)
}
