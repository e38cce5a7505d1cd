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
	"github.com/onejob-dev/onejob/contract/plugin"
	"github.com/onejob-dev/onejob/jitter"
)

// connects is how long a container that is there may take to connect.
const connects = 30 * time.Second

// lastWord is how long the end of a command may take to come when its container is gone.
const lastWord = 200 * time.Millisecond

// unready is the stock bootstrap's exit status for what isn't the command's fault:
// Buildkite is told -1 (process_run_error).
const unready = 125

// killed is the exit status that Kubernetes has for a container that was killed.
const killed = 137

// Job is what the runner's side serves.
type Job struct {
	Dir string
	// Commands are the containers, at least one, in the order in which they run.
	Commands []contract.Command
	// Bootstrap is the command that runs a job's phases.
	Bootstrap []string
	// Env is the job's, and CheckoutEnv has more for its checkout.
	Env         []string
	CheckoutEnv []contract.CheckoutEnv
	Log         io.Writer
}

// Serve is what the agent's job runner starts in the place of the bootstrap. It runs
// the first phases here, has the command's container run the others, and ends as the
// bootstrap would have: by the same exit status, or the same signal. Of several containers
// each begins when the one before it has ended well, as in the stock agent.
func Serve(j Job) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	end, err := j.serve(signals)
	if err != nil {
		j.say(j.Commands[0], "%v. The command did not run.", err)
		end = Exit{ExitStatus: unready}
	}
	end.die()
}

// die ends this process as e was ended.
func (e Exit) die() {
	if s := syscall.Signal(e.Signal); e.Signal != 0 {
		if dumps(s) {
			os.Exit(128 + e.Signal)
		}
		signal.Reset(s)
		if err := syscall.Kill(os.Getpid(), s); err == nil {
			jitter.Sleep(context.Background(), time.Second) // it comes to any of our threads
		}
		os.Exit(128 + e.Signal)
	}
	os.Exit(e.ExitStatus)
}

// dumps: by such a signal a Go program ends with its stacks in the log, and status 2.
func dumps(s syscall.Signal) bool {
	switch s {
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGKILL, syscall.SIGUSR1, syscall.SIGUSR2:
		return false
	}
	return true
}

// say explains something in the job's log, where nobody can miss it.
func (j Job) say(c contract.Command, format string, a ...any) {
	fmt.Fprintf(j.Log, "+++ onejob: the container %q\n%s\n", c.Name, fmt.Sprintf(format, a...)) //nolint:errcheck // then there is no log
}

func (j Job) serve(signals <-chan os.Signal) (Exit, error) {
	// The pod is what the plugin was for. The agent's own runner takes it out, too.
	if all := value(j.Env, plugin.Env); all != "" {
		j.Env = with(j.Env, plugin.Env, plugin.Without(all))
	}
	s := newServer(j.Env, j.Log, len(j.Commands))
	socket := filepath.Join(j.Dir, socketFile)
	l, err := s.listen(socket)
	if err != nil {
		return Exit{}, err
	}
	defer l.Close() //nolint:errcheck // the process ends
	lost := make([]<-chan struct{}, len(j.Commands))
	for id := range lost {
		lost[id] = gone(commandAt(j.Dir, id))
	}

	end, err := j.here()
	if err != nil || end != (Exit{}) {
		return end, err
	}
	return j.inTurn(s, lost, signals), nil
}

// inTurn has the containers run their commands, one after the other.
func (j Job) inTurn(s *server, lost []<-chan struct{}, signals <-chan os.Signal) Exit {
	for id, c := range j.Commands {
		select {
		case sig := <-signals: // in the last moment of what was before
			return Exit{Signal: int(sig.(syscall.Signal))}
		default:
		}
		if len(j.Commands) > 1 {
			fmt.Fprintf(j.Log, "~~~ onejob: the container %q (image %s)\n", c.Name, c.Image) //nolint:errcheck // then there is no log
		}
		w := waiter{Job: j, command: c, peer: s.clients[id]}
		end, err := w.await(lost[id], signals)
		if err != nil {
			j.say(c, "%v. The command did not run.", err)
			end = Exit{ExitStatus: unready}
		}
		if w.cancelled != 0 && end == (Exit{}) && id < len(j.Commands)-1 {
			end = Exit{Signal: int(w.cancelled)} // it took the signal well; no other begins
		}
		if end != (Exit{}) {
			return end
		}
	}
	return Exit{}
}

// here runs the first phases in this container. The signals of a cancellation go to
// the whole process group.
func (j Job) here() (Exit, error) {
	keys, err := os.MkdirTemp(keysIn(), "onejob-keys-")
	if len(j.CheckoutEnv) > 0 && err != nil {
		return Exit{}, fmt.Errorf("making a folder for the checkout's keys: %w", err)
	}
	defer os.RemoveAll(keys) //nolint:errcheck // no command runs before that
	env, err := checkoutEnv(j.Env, j.CheckoutEnv, keys)
	if err != nil {
		return Exit{}, err
	}
	cmd := exec.Command(j.Bootstrap[0], j.Bootstrap[1:]...)
	cmd.Env = with(env, "BUILDKITE_BOOTSTRAP_PHASES", "plugin,checkout")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, j.Log, j.Log
	return ended(cmd.Run())
}

// ended is the end of a process.
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

// waiter waits for the command of one container.
type waiter struct {
	Job
	command contract.Command
	peer    *peer
	// cancelled is the signal by which the job is cancelled, 0 if it isn't.
	cancelled syscall.Signal
}

// await starts the command, and waits for its end, or that of its container.
func (w *waiter) await(lost <-chan struct{}, signals <-chan os.Signal) (Exit, error) {
	select {
	case <-lost:
		return Exit{}, w.endedEarly()
	default:
	}
	w.peer.set(kubernetes.RunStateStart)
	connecting, connected := context.WithTimeout(context.Background(), connects)
	defer connected()
	late, registered := connecting.Done(), w.peer.registered
	for {
		select {
		case end := <-w.peer.exit:
			return end.without(), nil
		case <-registered:
			registered, late = nil, nil
		case sig := <-signals:
			w.cancelled, _ = sig.(syscall.Signal)
			w.peer.set(kubernetes.RunStateInterrupt)
		case <-late:
			return Exit{}, fmt.Errorf("the container (image %s) runs, but did not connect to the runner within %s", w.command.Image, connects)
		case <-lost:
			return w.lost()
		}
	}
}

func (w *waiter) endedEarly() error {
	return fmt.Errorf("the container (image %s) ended before it got the command", w.command.Image)
}

// without is an end for whoever doesn't care which container's it is.
func (e Exit) without() Exit {
	e.ID = 0
	return e
}

// lost is for a container that is gone. Its last word may still be on its way.
func (w *waiter) lost() (Exit, error) {
	last, over := context.WithTimeout(context.Background(), lastWord)
	defer over()
	select {
	case end := <-w.peer.exit:
		return end.without(), nil
	case <-last.Done():
	}
	if w.cancelled != 0 {
		return Exit{Signal: int(w.cancelled)}, nil
	}
	select {
	case <-w.peer.registered:
	default:
		return Exit{}, w.endedEarly()
	}
	w.say(w.command, "The container (image %s) was killed while the command ran. A common cause is its memory limit: that of the container agent in the queue's template, unless the step sets one. See the job's page for what Kubernetes reported. The exit status is %d, as of a killed container.", w.command.Image, killed)
	return Exit{ExitStatus: killed}, nil
}

// with is an environment with a variable set.
func with(env []string, name, value string) []string {
	return append(slices.DeleteFunc(slices.Clone(env), func(e string) bool { return strings.HasPrefix(e, name+"=") }), name+"="+value)
}

// CopyHooks has the command's container find the agent's own hooks, which are in the
// runner's image, or on a volume of its container.
func CopyHooks(dir string, folders ...string) error {
	more := 1 // the first folder is the one of BUILDKITE_HOOKS_PATH, which always has a place
	for i, folder := range folders {
		if _, err := os.Stat(folder); err != nil {
			continue // as in the agent, there need not be one
		}
		at := 0
		if i > 0 {
			at, more = more, more+1
		}
		if err := os.CopyFS(hooksAt(dir, at), os.DirFS(folder)); err != nil {
			return fmt.Errorf("copying the hooks of %s for the command's container: %w", folder, err)
		}
	}
	return nil
}

// hooksAt is where the command's container finds the hooks of a folder.
func hooksAt(dir string, i int) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%d", hooksFolder, i))
}
