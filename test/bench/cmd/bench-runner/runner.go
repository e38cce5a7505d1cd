package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

// lab is what runners run in.
type lab struct {
	*server
	bin, dir string
	subjects []subject
	// privileged: we may make namespaces and look at undumpable processes.
	privileged bool
}

// subject is what is measured.
type subject struct {
	name    string
	program string
	args    []string // before the job's ID
	// pid1 runs it as PID 1 of a PID namespace of its own.
	pid1 bool
}

var (
	stock      = subject{name: "stock agent", program: "buildkite-agent", args: []string{"start", "--acquire-job"}}
	onejob     = subject{name: "onejob-agent", program: "onejob-agent"}
	onejobPID1 = subject{name: "as PID 1", program: "onejob-agent", pid1: true}
)

func newLab(bin string) (*lab, error) {
	dir, err := os.MkdirTemp("", "onejob-bench-")
	if err != nil {
		return nil, err
	}
	s, err := newServer()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	l := &lab{server: s, bin: bin, dir: dir, subjects: []subject{stock, onejob}, privileged: os.Geteuid() == 0}
	if l.privileged {
		l.subjects = append(l.subjects, onejobPID1)
	}
	return l, nil
}

func (l *lab) close() {
	l.http.Close() //nolint:errcheck // we are done
	l.sim.Close()
	os.RemoveAll(l.dir) //nolint:errcheck // a temporary directory
}

// process is a subject that runs.
type process struct {
	subject
	cmd *exec.Cmd
	log *bytes.Buffer
	// began is when it was about to be executed.
	began time.Time
}

// start starts s on a job. Both agents get the same settings by the same
// variables.
func (l *lab) start(ctx context.Context, s subject, job string) (*process, error) {
	l.forget()
	p := &process{subject: s, log: new(bytes.Buffer)}
	p.cmd = exec.CommandContext(ctx, filepath.Join(l.bin, s.program), append(s.args[:len(s.args):len(s.args)], job)...)
	p.cmd.Env = []string{
		"PATH=" + l.bin + ":" + os.Getenv("PATH"), "HOME=" + l.dir,
		"BUILDKITE_AGENT_ENDPOINT=" + l.url, "BUILDKITE_AGENT_TOKEN=" + simulator.DefaultAgentToken,
		"BUILDKITE_BUILD_PATH=" + filepath.Join(l.dir, "builds"), "BUILDKITE_HOOKS_PATH=" + filepath.Join(l.dir, "hooks"),
		"BUILDKITE_PLUGINS_PATH=" + filepath.Join(l.dir, "plugins"), "BUILDKITE_SOCKETS_PATH=" + filepath.Join(l.dir, "sockets"),
		"BUILDKITE_AGENT_NO_COLOR=true",
	}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.WaitDelay = 10 * time.Second
	if s.pid1 {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", s.name, err)
	}
	return p, nil
}

// stop sends SIGTERM and waits for the exit; it returns how long that took.
func (p *process) stop() (time.Duration, error) {
	sent := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, fmt.Errorf("signalling %s: %w", p.name, err)
	}
	err := p.cmd.Wait()
	took := time.Since(sent)
	if p.cmd.ProcessState == nil {
		return 0, fmt.Errorf("waiting for %s: %w", p.name, err)
	}
	return took, nil
}

// complain makes an error that has what p wrote.
func (p *process) complain(err error) error {
	p.cmd.Process.Kill() //nolint:errcheck // it may be gone
	p.cmd.Wait()         //nolint:errcheck // killed
	return fmt.Errorf("%s: %w; it wrote:\n%s", p.name, err, p.log)
}
