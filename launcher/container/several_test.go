package container

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/buildkite/agent/v3/kubernetes"
	"github.com/buildkite/agent/v3/logger"
)

// three containers have a command each: what N says.
const three = "lint=node:22 test=golang:1 last=busybox"

// several are the processes of a pod with three command containers.
func (p *pod) several() (commands []*process, runner, serve *process) {
	p.Helper()
	runner = p.start("runner")
	for id := range 3 {
		commands = append(commands, p.start("run", fmt.Sprintf("N=%d", id), fmt.Sprintf("CONTAINER_TEST_ID=%d", id)))
	}
	if err := AwaitCommands(p.Context(), p.dir, 3); err != nil {
		p.Fatal(err)
	}
	p.until("the runner is there", func() bool { return isHeld(filepath.Join(p.dir, runnerFile)) })
	return commands, runner, p.start("serve", "CONTAINER_TEST_COMMANDS="+three)
}

// TestInTurn: of several containers each runs its command when the one before it has ended
// well; the first that doesn't is the job's end.
func TestInTurn(t *testing.T) {
	for _, tt := range []struct{ name, command, want, says, never string }{
		{"all pass", "echo did-$N", "exit status 0", `container "lint" (image node:22)|did-0|container "test" (image golang:1)|did-1|container "last" (image busybox)|did-2`, ""},
		{"the first fails", "echo did-$N; exit 5", "exit status 5", "did-0", "did-1"},
		{"one in the middle fails", "echo did-$N; exit $((N*3))", "exit status 3", "did-0|did-1", "did-2"},
		{"the last fails", "echo did-$N; test $N != 2 || exit 9", "exit status 9", "did-0|did-1|did-2", ""},
		{"one is killed", "echo did-$N; test $N != 1 || kill -KILL $$", "signal: killed", "did-0|did-1", "did-2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := aPod(t, "echo checked-out", tt.command)
			commands, runner, serve := p.several()
			if got := p.end(serve); got != tt.want {
				t.Errorf("it ended with %s, want %s", got, tt.want)
			}
			rest := serve.out.String()
			for _, want := range append([]string{"checked-out"}, strings.Split(tt.says, "|")...) {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Errorf("the log doesn't say %q after what comes before it:\n%s", want, serve.out)
				}
				rest = after
			}
			if tt.never != "" && strings.Contains(serve.out.String(), tt.never) {
				t.Errorf("the log has %q", tt.never)
			}
			runner.Process.Kill() // its job is over
			for _, c := range commands {
				if got := p.end(c); got != "exit status 0" {
					t.Errorf("a container ended with %s: %s", got, c.out)
				}
			}
		})
	}
}

// TestGoneBeforeItsTurn: a container that is killed while another runs its command is told
// by its name and image, and is the job's end when its turn comes.
func TestGoneBeforeItsTurn(t *testing.T) {
	t.Parallel()
	p := aPod(t, "", "echo did-$N; while test $N = 0 && test ! -e $CONTAINER_TEST_DIR/go; do sleep 0.02; done")
	commands, _, serve := p.several()
	p.until("the first runs", func() bool { return strings.Contains(serve.out.String(), "did-0") })
	syscall.Kill(-commands[1].Process.Pid, syscall.SIGKILL)
	p.end(commands[1])
	touch(t, filepath.Join(p.dir, "go"))
	if got := p.end(serve); got != "exit status 125" {
		t.Errorf("it ended with %s", got)
	}
	out := serve.out.String()
	if want := "+++ onejob: the container \"test\"\nthe container (image golang:1) ended before it got the command. The command did not run."; !strings.Contains(out, want) || strings.Contains(out, "did-2") {
		t.Errorf("the log says %s", out)
	}
}

// TestCancelledInTurn: what takes a cancellation's signal for a good end begins no other.
func TestCancelledInTurn(t *testing.T) {
	t.Parallel()
	p := aPod(t, "", "trap 'echo told; exit 0' TERM; echo did-$N; while :; do sleep 0.02; done")
	_, _, serve := p.several()
	p.until("the first runs", func() bool { return strings.Contains(serve.out.String(), "did-0") })
	serve.Process.Signal(syscall.SIGTERM)
	if got := p.end(serve); got != "signal: terminated" {
		t.Errorf("it ended with %s", got)
	}
	if out := serve.out.String(); !strings.Contains(out, "told") || strings.Contains(out, "did-1") {
		t.Errorf("the log says %s", out)
	}
}

// TestStockServerInTurn: our containers work with the stock agent's runner, in its order.
func TestStockServerInTurn(t *testing.T) {
	p := aPod(t, "", "echo did-$N; test $N != 1 || exit 5")
	p.start("runner")
	var out words
	r := kubernetes.NewRunner(logger.Discard, kubernetes.RunnerConfig{
		SocketPath: filepath.Join(p.dir, socketFile), ClientCount: 3, Stdout: &out, Stderr: &out,
	})
	for id := range 3 {
		p.start("run", fmt.Sprintf("N=%d", id), fmt.Sprintf("CONTAINER_TEST_ID=%d", id))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(out.String(), r.WaitStatus().ExitStatus()); got != "did-0\ndid-1\n5" {
		t.Errorf("%q", got)
	}
}

// TestNoSuchContainer: a container that the runner wasn't told of gets nothing.
func TestNoSuchContainer(t *testing.T) {
	c := &calls{newServer([]string{"A=b"}, new(words), 2)}
	var job kubernetes.RegisterResponse
	var state kubernetes.RunState
	for _, id := range []int{-1, 2} {
		if c.Register(id, &job) == nil || c.Status(id, &state) == nil || c.Exit(Exit{ID: id}, nil) == nil || job.Env != nil {
			t.Errorf("container %d was answered", id)
		}
	}
}

// TestWhoeverComesFirst: a runner and its containers find each other in any order.
func TestWhoeverComesFirst(t *testing.T) {
	for _, order := range [][]string{{"runner", "0", "1", "2"}, {"2", "1", "0", "runner"}, {"1", "runner", "2", "0"}} {
		t.Run(strings.Join(order, " "), func(t *testing.T) {
			t.Parallel()
			p := aPod(t, "", "echo did-$N")
			for _, who := range order {
				if who == "runner" {
					p.start("runner")
				} else {
					p.start("run", "N="+who, "CONTAINER_TEST_ID="+who)
				}
				time.Sleep(60 * time.Millisecond)
			}
			if err := AwaitCommands(t.Context(), p.dir, 3); err != nil {
				t.Fatal(err)
			}
			p.until("the runner is there", func() bool { return isHeld(filepath.Join(p.dir, runnerFile)) })
			serve := p.start("serve", "CONTAINER_TEST_COMMANDS="+three)
			if got := p.end(serve); got != "exit status 0" || strings.Count(serve.out.String(), "did-") != 3 {
				t.Errorf("it ended with %s:\n%s", got, serve.out)
			}
		})
	}
}
