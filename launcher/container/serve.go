package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/buildkite/agent/v3/kubernetes"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
)

// connects is how long the command's container, once it runs, may take to connect.
const connects = 30 * time.Second

// lastWord is how long a command's exit status may arrive after its container has ended.
const lastWord = 200 * time.Millisecond

// unready is the stock bootstrap's exit status for a failure that isn't the command's. The
// runner reports it to Buildkite as -1 (process_run_error).
const unready = 125

// killed is the exit status that Kubernetes has for a container that was killed.
const killed = 137

// Job is what the runner's side serves.
type Job struct {
	Dir   string
	Image string // for messages
	// Bootstrap is the command that runs a job's phases.
	Bootstrap []string
	// Env is the job's.
	Env []string
	Log io.Writer
}

// Serve takes the place of the bootstrap under the agent's job runner. It runs the first
// phases in this container, lets the command's container run the others, and ends the
// process as the bootstrap would: with the same exit status, or by the same signal. Serve
// doesn't return.
func Serve(j Job) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	end, err := j.serve(signals)
	if err != nil {
		j.say("%v. The command did not run.", err)
		end = Exit{ExitStatus: unready}
	}
	end.die()
}

// die ends this process with e's exit status, or by e's signal.
func (e Exit) die() {
	if s := syscall.Signal(e.Signal); e.Signal != 0 {
		if dumps(s) {
			os.Exit(128 + e.Signal)
		}
		signal.Reset(s)
		if err := syscall.Kill(os.Getpid(), s); err == nil {
			jitter.Sleep(context.Background(), time.Second) // another thread may get the signal
		}
		os.Exit(128 + e.Signal)
	}
	os.Exit(e.ExitStatus)
}

// dumps reports whether a Go program answers a signal with its stacks in the log and exit
// status 2.
func dumps(s syscall.Signal) bool {
	switch s {
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGKILL, syscall.SIGUSR1, syscall.SIGUSR2:
		return false
	}
	return true
}

// say writes an explanation into the job's log, as a section that Buildkite expands.
func (j Job) say(format string, a ...any) {
	fmt.Fprintf(j.Log, "+++ onejob: the container %q\n%s\n", contract.CommandContainer, fmt.Sprintf(format, a...)) //nolint:errcheck // then there is no log
}

func (j Job) serve(signals <-chan os.Signal) (Exit, error) {
	j.Env = withoutPlugin(j.Env)
	s := newServer(j.Env, j.Log)
	socket := filepath.Join(j.Dir, socketFile)
	l, err := s.listen(socket)
	if err != nil {
		return Exit{}, err
	}
	defer l.Close() //nolint:errcheck // the process ends
	lost := gone(filepath.Join(j.Dir, commandFile))

	end, err := j.here()
	if err != nil || end != (Exit{}) {
		return end, err
	}
	select {
	case sig := <-signals: // it came as the first phases ended
		return Exit{Signal: int(sig.(syscall.Signal))}, nil
	default:
	}
	s.set(kubernetes.RunStateStart)
	return j.await(s, lost, signals)
}

// here runs the first phases in this container. The signals of a cancellation go to
// the whole process group.
func (j Job) here() (Exit, error) {
	cmd := exec.Command(j.Bootstrap[0], j.Bootstrap[1:]...)
	cmd.Env = with(j.Env, "BUILDKITE_BOOTSTRAP_PHASES", "plugin,checkout")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, j.Log, j.Log
	return ended(cmd.Run())
}

// ended is how a process ended, by the error of its Run or Wait. An error means that it
// never started.
func ended(err error) (Exit, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return Exit{}, nil
	case !errors.As(err, &exit):
		return Exit{}, fmt.Errorf("the bootstrap can't be started: %w", err)
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return Exit{Signal: int(ws.Signal())}, nil
	}
	return Exit{ExitStatus: exit.ExitCode()}, nil
}

// await waits for the end of the command, or of its container.
func (j Job) await(s *server, lost <-chan struct{}, signals <-chan os.Signal) (Exit, error) {
	connecting, connected := context.WithTimeout(context.Background(), connects)
	defer connected()
	late, registered := connecting.Done(), s.registered
	var cancelled syscall.Signal
	for {
		select {
		case end := <-s.exit:
			return end, nil
		case <-registered:
			registered, late = nil, nil
		case sig := <-signals:
			cancelled, _ = sig.(syscall.Signal)
			s.set(kubernetes.RunStateInterrupt)
		case <-late:
			return Exit{}, fmt.Errorf("the container (image %s) runs, but did not connect to the runner within %s", j.Image, connects)
		case <-lost:
			return j.lost(s, cancelled)
		}
	}
}

// lost is the end of a command whose container has ended. The exit status may still arrive
// within lastWord.
func (j Job) lost(s *server, cancelled syscall.Signal) (Exit, error) {
	last, over := context.WithTimeout(context.Background(), lastWord)
	defer over()
	select {
	case end := <-s.exit:
		return end, nil
	case <-last.Done():
	}
	if cancelled != 0 {
		return Exit{Signal: int(cancelled)}, nil
	}
	select {
	case <-s.registered:
	default:
		return Exit{}, fmt.Errorf("the container (image %s) ended before it got the command", j.Image)
	}
	j.say("The container (image %s) was killed while the command ran. A common cause is its memory limit: that of the container agent in the queue's template, unless the step sets one. See the job's page for what Kubernetes reported. The exit status is %d, as of a killed container.", j.Image, killed)
	return Exit{ExitStatus: killed}, nil
}

// with is a copy of an environment with one variable set.
func with(env []string, name, value string) []string {
	return append(slices.DeleteFunc(slices.Clone(env), func(e string) bool { return strings.HasPrefix(e, name+"=") }), name+"="+value)
}

// CopyHooks copies the agent's own hooks into the shared folder, for the command's container.
// The hooks are in the runner's image, or on a volume of its container. It skips a folder
// that doesn't exist.
func CopyHooks(dir string, folders ...string) error {
	for i, folder := range folders {
		if _, err := os.Stat(folder); err != nil {
			continue // the agent, too, accepts a folder that doesn't exist
		}
		if err := os.CopyFS(hooksAt(dir, i), os.DirFS(folder)); err != nil {
			return fmt.Errorf("copying the hooks of %s for the command's container: %w", folder, err)
		}
	}
	return nil
}

// hooksAt is where the command's container finds the hooks of a folder.
func hooksAt(dir string, i int) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%d", hooksFolder, i))
}
