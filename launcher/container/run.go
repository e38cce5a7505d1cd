package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/buildkite/agent/v3/kubernetes"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
)

// Run is the command's container: it runs what the runner gives it, and returns the
// container's exit code: 0 once the runner knows the end of the command, or is gone.
// stop is a signal to this container. While there is a runner it counts for nothing:
// the runner gets the same one, and decides what comes of it. id is the container's number
// among those with a command, from 0.
func Run(stop context.Context, dir string, id int, log io.Writer) int {
	if err := run(stop, dir, id); err != nil {
		fmt.Fprintln(log, "onejob-step:", err) //nolint:errcheck // then there is no log
		return 1
	}
	return 0
}

func run(stop context.Context, dir string, id int) error {
	if err := hold(commandAt(dir, id)); err != nil {
		return fmt.Errorf("%w (the image's user must be able to write there: set fsGroup in the queue's template)", err)
	}
	runner := filepath.Join(dir, runnerFile)
	if err := await(stop, runner); err != nil {
		return nil //nolint:nilerr // stopped before there was a runner
	}
	work, over := context.WithCancel(context.Background())
	defer over()
	left := gone(runner)
	go func() {
		<-left
		over()
	}()
	socket := filepath.Join(dir, socketFile)
	if await(work, socket) != nil {
		return nil // the runner ended without a command for this container
	}
	c := dial(work, socket, id)
	if c == nil {
		return nil
	}
	defer c.rpc.Close() //nolint:errcheck // the process ends
	err := c.work(dir, left)
	if _, stays := os.Stat(filepath.Join(dir, stayFile)); stays == nil && err == nil && !c.runs {
		Forget(c.job) //nolint:errcheck // no folder: they are shared with the next command's container, and the runner's to clear at the end
		<-left
	}
	return err
}

// client is a command container's side of the RPC.
type client struct {
	rpc *rpc.Client
	id  int
	job string // its ID, once it is known
	// runs: the bootstrap was started, and hasn't ended. Then the container can't stay,
	// because only the container's end kills what runs in it.
	runs bool
}

// dial connects to a socket that exists. It is nil if the runner ended before.
func dial(ctx context.Context, socket string, id int) *client {
	for {
		c, err := rpc.DialHTTP("unix", socket)
		if err == nil {
			return &client{rpc: c, id: id}
		}
		if !jitter.Sleep(ctx, appears) {
			return nil
		}
	}
}

// work registers, waits for the start, and runs the bootstrap until the bootstrap or the
// runner ends.
func (c *client) work(dir string, left <-chan struct{}) error {
	var job kubernetes.RegisterResponse
	if err := c.rpc.Call(name+".Register", c.id, &job); isOver(err) {
		return nil // the job ended before its command began
	} else if err != nil {
		return fmt.Errorf("registering with the runner: %w", err)
	}
	c.job = value(job.Env, "BUILDKITE_JOB_ID")
	states := c.states()
	for state := range states {
		switch state {
		case kubernetes.RunStateStart:
			return c.bootstrap(dir, job.Env, states, left)
		case kubernetes.RunStateInterrupt:
			return c.exit(Exit{Signal: int(syscall.SIGTERM)})
		}
	}
	return nil // the runner has gone, or the checkout failed
}

// states is a channel of the runner's states, each change once. It is closed when the
// connection ends.
func (c *client) states() <-chan kubernetes.RunState {
	states := make(chan kubernetes.RunState)
	go func() {
		defer close(states)
		for last := kubernetes.RunState(-1); ; {
			var state kubernetes.RunState
			if err := c.rpc.Call(name+".Status", c.id, &state); err != nil {
				return
			}
			if state == last {
				jitter.Sleep(context.Background(), appears) // the stock server doesn't wait for news
				continue
			}
			last = state
			states <- state
		}
	}()
	return states
}

// Write sends the bootstrap's output to the job's log.
func (c *client) Write(p []byte) (int, error) {
	if err := c.rpc.Call(name+".WriteLogs", kubernetes.Logs{Data: p}, &kubernetes.Empty{}); err != nil {
		return 0, err
	}
	return len(p), nil
}

// isOver reports whether err means that the connection ended. Any other error is an answer
// of the other side.
func isOver(err error) bool {
	var answer rpc.ServerError
	return err != nil && !errors.As(err, &answer)
}

// exit reports the command's end to the runner.
func (c *client) exit(e Exit) error {
	e.ID = c.id
	if err := c.rpc.Call(name+".Exit", e, &kubernetes.Empty{}); err != nil && !isOver(err) {
		return fmt.Errorf("telling the runner of the command's end: %w", err)
	}
	return nil // it may end before it answers
}

// bootstrap runs the stock bootstrap in a process group of its own. A cancellation signals
// that group. To kill the bootstrap, this process ends, and the container with it.
func (c *client) bootstrap(dir string, env []string, states <-chan kubernetes.RunState, left <-chan struct{}) error {
	cmd := exec.Command(filepath.Join(dir, binFolder, "buildkite-agent"), "bootstrap")
	cmd.Env = environment(os.Environ(), env, dir)
	cmd.Stdout, cmd.Stderr = c, c
	cmd.Dir = value(cmd.Env, "BUILDKITE_BUILD_PATH")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A process that outlives the bootstrap may keep its output open.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(c, "+++ onejob: the bootstrap can't be started in this container: %v\n", err) //nolint:errcheck // its end says so, too
		return c.exit(Exit{ExitStatus: unready})
	}
	c.runs = true
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	for {
		select {
		case err := <-end:
			c.runs = false
			if errors.Is(err, exec.ErrWaitDelay) {
				err = nil // it exited with 0
			}
			e, err := ended(err)
			if err != nil {
				e = Exit{ExitStatus: unready}
			}
			leaveUse(contract.DefaultTerminationMessagePath)
			return c.exit(e)
		case state, more := <-states:
			if !more {
				return nil // the runner's side was killed
			}
			if state == kubernetes.RunStateInterrupt {
				syscall.Kill(-cmd.Process.Pid, cancelSignal(cmd.Env)) //nolint:errcheck // it may be gone
			}
		case <-left:
			return nil
		}
	}
}
