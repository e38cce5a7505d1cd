package launcher

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// ReportsFD is the child's file descriptor for reports.
const ReportsFD = 3

// child is a running onejob-run.
type child struct {
	cmd     *exec.Cmd
	mu      sync.Mutex // guards control
	control io.WriteCloser
	// reports gets each report, and is closed when there will be no more.
	reports <-chan Report
	// exited gets the result of waiting, once, after reports was closed.
	exited <-chan error
}

// Started is onejob-run that waits for a job, or why there is none.
type Started struct {
	child *child
	err   error
}

// Start starts onejob-run before there is a job for it. It takes longer to start than
// Buildkite takes to give a job, and so it is done meanwhile. It ends with this process at
// the latest, as it reads from it.
func Start(program string, environ []string) *Started {
	c, err := startChild(program, jobEnvironment(environ))
	return &Started{c, err}
}

// startChild starts program, which then waits for what it is to run: see begin.
func startChild(program string, env []string) (*child, error) {
	up, upChild, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	defer upChild.Close() //nolint:errcheck // the child has its own
	cmd := exec.Command(program, "job")
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{upChild}
	// Not in our process group: a terminal's Ctrl-C is for us to decide on.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	down, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		up.Close() //nolint:errcheck // nothing was written
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	c := &child{cmd: cmd, control: down}

	reports, exited := make(chan Report, 16), make(chan error, 1)
	c.reports, c.exited = reports, exited
	go func() {
		defer up.Close() //nolint:errcheck // only read
		lines := bufio.NewReader(up)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				break
			}
			var r Report
			if json.Unmarshal(line, &r) == nil {
				reports <- r
			}
		}
		close(reports)
		exited <- cmd.Wait()
	}()
	return c, nil
}

// begin has the child run a job.
func (c *child) begin(h Handover) {
	if err := c.send(h); err != nil {
		// It has ended already, with the reason on its standard error; or it would wait
		// for ever.
		c.kill()
	}
}

// dismiss ends a child that got nothing to run.
func (c *child) dismiss() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.control.Close() //nolint:errcheck // it may be gone
}

func (c *child) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err = c.control.Write(append(b, '\n'))
	return err
}

// kill ends the child at once.
func (c *child) kill() { c.cmd.Process.Kill() } //nolint:errcheck // it may be gone

// jobEnvironment returns environ without what configures the agent and the
// runner, and without the token: what is left reaches the job.
func jobEnvironment(environ []string) []string {
	config := ConfigNames()
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return strings.HasPrefix(name, "ONEJOB_") || slices.Contains(config, name)
	})
}
