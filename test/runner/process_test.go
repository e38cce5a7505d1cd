package runner_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/test/agentbin"
)

// process is a runner that a lab has started: ours or the stock agent.
type process struct {
	l    *lab
	cmd  *exec.Cmd
	dir  string
	done chan struct{}
}

var processes atomic.Int64

// quick are the flags that make our acquisition's backoff short.
var quick = []string{
	"--acquire-backoff-base=50ms", "--acquire-backoff-cap=200ms", "--acquire-jitter-min=0s", "--acquire-jitter-max=50ms",
}

// ours starts onejob-agent for a job, with the lab's script as the bootstrap
// unless the flags name another.
func (l *lab) ours(id string, flags ...string) *process {
	l.Helper()
	return l.start(l.oursCommand(id, flags...))
}

func (l *lab) oursCommand(id string, flags ...string) *exec.Cmd {
	l.Helper()
	dir := l.home()
	bin := agentbin.Onejob(l.T)
	// Hooks, plugins and sockets lie where the runner has them by itself.
	args := append(l.common(dir, flags), flags...)
	cmd := exec.Command(filepath.Join(bin, "onejob-agent"), append(args, id)...)
	cmd.Dir = dir
	cmd.Env = append(l.environ(dir, bin), contract.EnvTerminationMessagePath+"="+filepath.Join(dir, "message"))
	return cmd
}

// stock starts the stock agent for a job.
func (l *lab) stock(id string, flags ...string) *process {
	l.Helper()
	return l.start(l.stockCommand(id, flags...))
}

func (l *lab) stockCommand(id string, flags ...string) *exec.Cmd {
	l.Helper()
	dir := l.home()
	args := append([]string{"start", "--acquire-job", id, "--plugins-path", filepath.Join(dir, "plugins")}, l.common(dir, flags)...)
	cmd := exec.Command(filepath.Join(agentbin.Onejob(l.T), "buildkite-agent"), append(args, flags...)...)
	cmd.Dir = dir
	cmd.Env = l.environ(dir, filepath.Dir(cmd.Path))
	return cmd
}

// real is the flag that takes the stock bootstrap instead of the lab's script.
func (l *lab) real() string {
	return "--bootstrap-script=" + filepath.Join(agentbin.Onejob(l.T), "buildkite-agent") + " bootstrap"
}

// home makes a directory for one process.
func (l *lab) home() string {
	l.Helper()
	dir := filepath.Join(l.dir, strconv.FormatInt(processes.Add(1), 10))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		l.Fatal(err)
	}
	return dir
}

// common are the flags that both agents take.
func (l *lab) common(dir string, flags []string) []string {
	args := []string{
		"--endpoint", l.url + "/v3", "--name", "runner", "--build-path", filepath.Join(dir, "builds"),
	}
	if !strings.Contains(strings.Join(flags, " "), "--bootstrap-script") {
		args = append(args, "--bootstrap-script", l.script)
	}
	return args
}

func (l *lab) environ(dir, bin string) []string {
	return []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir, contract.EnvToken + "=" + l.token,
		"BUILDKITE_AGENT_NO_COLOR=true", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
	}
}

// start starts cmd, and sees to it that it is gone when the test is.
func (l *lab) start(cmd *exec.Cmd) *process {
	l.Helper()
	p, err := launch(cmd)
	if err != nil {
		l.Fatal(err)
	}
	p.l = l
	l.Cleanup(func() {
		if l.Failed() {
			l.Logf("%s:\n%s", strings.Join(cmd.Args, " "), p.output())
		}
		cmd.Process.Kill()
		<-p.done
	})
	return p
}

// launch starts cmd. Its output goes into a file, so that waiting for it isn't
// waiting for what it left behind.
func launch(cmd *exec.Cmd) (*process, error) {
	out, err := os.Create(filepath.Join(cmd.Dir, "output"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	p := &process{cmd: cmd, dir: cmd.Dir, done: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) output() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "output"))
	return string(b)
}

func (p *process) signal(sig syscall.Signal) {
	p.l.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.l.Errorf("sending %v: %v", sig, err)
	}
}

// doneWithin waits for the process, d at most.
func (p *process) doneWithin(d time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(d):
		return false
	}
}

// wait returns the exit code.
func (p *process) wait() int {
	p.l.Helper()
	if !p.doneWithin(patience) {
		p.signal(syscall.SIGABRT) // shows where it hangs
		p.doneWithin(5 * time.Second)
		p.l.Fatalf("%s doesn't end", filepath.Base(p.cmd.Path))
	}
	return p.code()
}

// code is the exit code of a process that is done, 128+n for signal n.
func (p *process) code() int {
	ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// wantExit waits for the process and asserts its exit code.
func (p *process) wantExit(want int) {
	p.l.Helper()
	if got := p.wait(); got != want {
		p.l.Errorf("%s exited with %d, want %d", filepath.Base(p.cmd.Path), got, want)
	}
}

// message returns the termination message, and asserts what holds of every one.
func (p *process) message() contract.Message {
	p.l.Helper()
	code := p.wait()
	b, err := os.ReadFile(filepath.Join(p.dir, "message"))
	if err != nil {
		p.l.Fatalf("no termination message: %v", err)
	}
	m, err := contract.ParseMessage(string(b))
	if err != nil {
		p.l.Fatalf("the termination message is %q: %v", b, err)
	}
	if len(b) > contract.MaxMessage {
		p.l.Errorf("the termination message has %d bytes, the kubelet keeps %d", len(b), contract.MaxMessage)
	}
	if m.ExitCode != code {
		p.l.Errorf("the termination message says exit code %d, it was %d", m.ExitCode, code)
	}
	if m.Reason == "" {
		p.l.Errorf("the termination message has no reason: %s", b)
	}
	return m
}

// wantOutcome asserts what the termination message says.
func (p *process) wantOutcome(want contract.Outcome) contract.Message {
	p.l.Helper()
	m := p.message()
	if m.Outcome != want {
		p.l.Errorf("outcome is %q (%s), want %q", m.Outcome, m.Reason, want)
	}
	return m
}

// within asserts that f takes less than limit: for what must not wait, at all,
// for something that takes far longer.
func within(tb testing.TB, limit time.Duration, what string, f func()) {
	tb.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > limit {
		tb.Errorf("%s took %v, want less than %v", what, took.Round(time.Millisecond), limit)
	}
}
