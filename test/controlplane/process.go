package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

// Process is a scheduler that runs. It ends with this process at the latest.
type Process struct {
	// Log is the file that has its output.
	Log string

	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait
}

// Start starts a command line. Each $NAME in it is replaced: $KUBECONFIG,
// $NAMESPACE, $ENDPOINT, $TOKEN, $QUEUE, and what more holds. KUBECONFIG and
// BUILDKITE_AGENT_TOKEN are in its environment too.
func (s *Fixture) Start(argv []string, more map[string]string) (*Process, error) {
	if len(argv) == 0 {
		return nil, errors.New("no command line given")
	}
	words := make([]string, len(argv))
	for i, word := range argv {
		words[i] = s.Expand(word, more)
	}
	log, err := os.CreateTemp(s.Dir, "scheduler-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &Process{Log: log.Name(), cmd: exec.Command(words[0], words[1:]...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), "KUBECONFIG="+s.Kubeconfig, "BUILDKITE_AGENT_TOKEN="+simulator.DefaultAgentToken)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread ends that forked: this one
		// stays until the process has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(words[0]), err)
	}
	return p, nil
}

// Expand replaces each $NAME that Start knows.
func (s *Fixture) Expand(text string, more map[string]string) string {
	known := map[string]string{
		"KUBECONFIG": s.Kubeconfig, "NAMESPACE": s.Namespace, "ENDPOINT": s.Endpoint, "TOKEN": simulator.DefaultAgentToken, "QUEUE": Queue,
	}
	return os.Expand(text, func(name string) string {
		if value, is := more[name]; is {
			return value
		}
		if value, is := known[name]; is {
			return value
		}
		return "$" + name
	})
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill ends it with SIGKILL and returns when it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop sends SIGTERM and returns when it has ended; with an error if it didn't
// end by itself within 30 seconds, or not with 0.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.Kill()
		return fmt.Errorf("it did not end within 30s of SIGTERM: %s", p.Tail())
	}
	if p.err != nil {
		return fmt.Errorf("it ended with %w: %s", p.err, p.Tail())
	}
	return nil
}

// Tail is the end of its output.
func (p *Process) Tail() string {
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// Serving returns when the scheduler has asked Buildkite for jobs since the
// given number of such calls.
func (s *Fixture) Serving(ctx context.Context, p *Process, listed int) error {
	for s.Simulator.Count("stacks_list") <= listed {
		select {
		case <-p.done:
			return fmt.Errorf("the scheduler has ended: %w: %s", p.err, p.Tail())
		case <-ctx.Done():
			return fmt.Errorf("the scheduler doesn't ask for jobs: %w: %s", context.Cause(ctx), p.Tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// Usage is what a process has used, as /proc tells it.
type Usage struct {
	// RSS is its resident memory in bytes, Peak the most that it had.
	RSS, Peak int64
	// CPU is the processor time, user's and system's, to a hundredth of a second.
	CPU time.Duration
}

// Usage reads what the process, without its children, has used.
func (p *Process) Usage() (Usage, error) {
	dir := "/proc/" + strconv.Itoa(p.cmd.Process.Pid)
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	for line := range strings.Lines(string(status)) {
		for prefix, field := range map[string]*int64{"VmRSS:": &u.RSS, "VmHWM:": &u.Peak} {
			if value, is := strings.CutPrefix(line, prefix); is {
				kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
				if err != nil {
					return Usage{}, fmt.Errorf("reading %s/status: %w", dir, err)
				}
				*field = kib << 10
			}
		}
	}
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return Usage{}, err
	}
	// pid (name) state …: utime and stime are fields 14 and 15 of proc(5), in
	// ticks of a hundredth of a second; the name may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return Usage{}, fmt.Errorf("reading %s/stat: %q", dir, stat)
	}
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("reading %s/stat: %w", dir, err)
		}
		u.CPU += time.Duration(ticks) * 10 * time.Millisecond
	}
	return u, nil
}
