package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/buildkite/agent/v3/kubernetes"
	"github.com/buildkite/agent/v3/logger"
	"go.uber.org/goleak"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/signals"
)

// TestMain lets the test's own program run as both sides, in real processes.
func TestMain(m *testing.M) {
	dir := os.Getenv("CONTAINER_TEST_DIR")
	switch os.Getenv("CONTAINER_TEST_PART") {
	case "runner":
		if err := HoldRunner(dir); err != nil {
			panic(err)
		}
		time.Sleep(time.Minute)
		os.Exit(1)
	case "serve":
		commands := contract.ParseCommands(os.Getenv("CONTAINER_TEST_COMMANDS"))
		if len(commands) == 0 {
			commands = []contract.Command{{Name: "command", Image: "node:22"}}
		}
		Serve(Job{
			Dir: dir, Commands: commands, Bootstrap: []string{filepath.Join(dir, "checkout")}, Env: os.Environ(), Log: os.Stdout,
			CheckoutEnv: contract.ParseCheckoutEnv(os.Getenv("CONTAINER_TEST_CHECKOUT_ENV")),
		})
	case "run":
		w := signals.Watch(context.Background())
		id, _ := strconv.Atoi(os.Getenv("CONTAINER_TEST_ID"))
		os.Exit(Run(w.Stop, dir, id, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// pod is a shared folder with its processes.
type pod struct {
	*testing.T
	dir string
}

// aPod is a pod with a checkout and a command, both shell scripts.
func aPod(t *testing.T, checkout, command string) *pod {
	t.Helper()
	p := &pod{t, t.TempDir()}
	if err := os.Mkdir(filepath.Join(p.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{"checkout": checkout, "bin/buildkite-agent": command} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte("#!/bin/bash\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// process is a process of a pod.
type process struct {
	*exec.Cmd
	out   *words
	ended chan struct{}
}

// words is a buffer that may be read while a process writes to it.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func (p *pod) start(part string, env ...string) *process {
	p.Helper()
	r := &process{exec.Command(os.Args[0]), new(words), make(chan struct{})}
	r.Stdout, r.Stderr = r.out, r.out
	r.Env = append(append(os.Environ(), "CONTAINER_TEST_PART="+part, "CONTAINER_TEST_DIR="+p.dir, "TMPDIR="+p.dir), env...)
	r.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.Start(); err != nil {
		p.Fatal(err)
	}
	go func() { r.Wait(); close(r.ended) }()
	p.Cleanup(func() { syscall.Kill(-r.Process.Pid, syscall.SIGKILL); <-r.ended })
	return r
}

// all starts a pod's processes; the job's runner starts when the container is there.
func (p *pod) all() (runner, command, serve *process) {
	p.Helper()
	runner, command = p.start("runner"), p.start("run")
	if err := AwaitCommands(p.Context(), p.dir, 1); err != nil {
		p.Fatal(err)
	}
	p.until("the runner is there", func() bool { return isHeld(filepath.Join(p.dir, runnerFile)) })
	return runner, command, p.start("serve")
}

// end waits for a process and describes how it ended.
func (p *pod) end(r *process) string {
	p.Helper()
	select {
	case <-r.ended:
	case <-time.After(20 * time.Second):
		p.Fatalf("it goes on:\n%s", r.out)
	}
	return r.ProcessState.String()
}

func (p *pod) until(what string, cond func() bool) {
	p.Helper()
	for range 1000 {
		if cond() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.Fatalf("never: %s", what)
}

// TestEnds: the agent's job runner sees the command's own exit status or signal.
func TestEnds(t *testing.T) {
	for _, tt := range []struct{ name, checkout, command, want, says, never string }{
		{"passes", "echo checked-out", "echo done", "exit status 0", "checked-out\ndone\n", ""},
		{"fails", "", "echo done; exit 3", "exit status 3", "done", ""},
		{"is ended by a signal", "", "kill -TERM $$", "signal: terminated", "", ""},
		{"is killed", "", "kill -KILL $$", "signal: killed", "", ""},
		{"crashes", "", "ulimit -c 0; kill -SEGV $$", "exit status 139", "", "goroutine"},
		{"has no checkout", "echo no such branch; exit 9", "echo done", "exit status 9", "no such branch", "done"},
		{"has its checkout ended by a signal", "kill -INT $$", "echo done", "signal: interrupt", "", "done"},
		{"has its phases", "echo 1:$BUILDKITE_BOOTSTRAP_PHASES", "echo 2:$BUILDKITE_BOOTSTRAP_PHASES", "exit status 0", "1:plugin,checkout\n2:plugin,command\n", ""},
		{"leaves a process that keeps its output", "", "sleep 30 & echo done; exit 4", "exit status 4", "done", ""},
		{"says much", "", "for i in $(seq 20000); do echo line-$i; done", "exit status 0", "line-19999\nline-20000\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := aPod(t, tt.checkout, tt.command)
			runner, command, serve := p.all()
			if got := p.end(serve); got != tt.want {
				t.Errorf("the runner's side ended with %s, want %s; it said:\n%s", got, tt.want, serve.out)
			}
			runner.Process.Kill() // its job is over
			if got := p.end(command); got != "exit status 0" {
				t.Errorf("the container ended with %s: %s", got, command.out)
			}
			if out := serve.out.String(); !strings.Contains(out, tt.says) || tt.never != "" && strings.Contains(out, tt.never) {
				t.Errorf("the log says %.300q, want %q and no %q", out, tt.says, tt.never)
			}
		})
	}
}

// TestCancelled: the signal of a cancellation reaches the command's whole process group, from
// the runner only. The container ignores the signal that its own pod gets.
func TestCancelled(t *testing.T) {
	t.Parallel()
	p := aPod(t, "", `trap 'echo told; exit 7' TERM; (trap 'echo child told; exit' TERM; while :; do sleep 0.02; done) & echo begun; while :; do sleep 0.02; done`)
	runner, command, serve := p.all()
	p.until("the command runs", func() bool { return strings.Contains(serve.out.String(), "begun") })
	command.Process.Signal(syscall.SIGTERM)
	time.Sleep(300 * time.Millisecond) // for what must not happen
	if out := serve.out.String(); strings.Contains(out, "told") {
		t.Errorf("the pod's signal reached the command: %s", out)
	}
	serve.Process.Signal(syscall.SIGTERM)
	if got := p.end(serve); got != "exit status 7" {
		t.Errorf("it ended with %s", got)
	}
	if out := serve.out.String(); !strings.Contains(out, "\ntold") || !strings.Contains(out, "child told") {
		t.Errorf("not all were told: %s", out)
	}
	syscall.Kill(-runner.Process.Pid, syscall.SIGKILL)
	p.end(command)
}

// TestContainerIsKilled: the runner notices at once, and the log names the container.
func TestContainerIsKilled(t *testing.T) {
	t.Parallel()
	p := aPod(t, "", "echo begun; sleep 60")
	_, command, serve := p.all()
	p.until("the command runs", func() bool { return strings.Contains(serve.out.String(), "begun") })
	began := time.Now()
	syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
	if got := p.end(serve); got != "exit status 137" {
		t.Errorf("it ended with %s", got)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("that took %s", took)
	}
	if out := serve.out.String(); !strings.Contains(out, "node:22") || !strings.Contains(out, "memory limit") {
		t.Errorf("the log says %q", out)
	}
}

// TestRunnerIsKilled: the container ends when the runner ends, or when the job's runner kills
// onejob-step serve because a command doesn't end.
func TestRunnerIsKilled(t *testing.T) {
	for _, who := range []string{"runner", "serve"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			p := aPod(t, "", "trap '' TERM; echo begun; sleep 60")
			runner, command, serve := p.all()
			p.until("the command runs", func() bool { return strings.Contains(serve.out.String(), "begun") })
			victim := map[string]*process{"runner": runner, "serve": serve}[who]
			syscall.Kill(-victim.Process.Pid, syscall.SIGKILL)
			if got := p.end(command); got != "exit status 0" {
				t.Errorf("the container ended with %s: %s", got, command.out)
			}
		})
	}
}

// TestStoppedEarly: without a runner, or without a job, the container ends.
func TestStoppedEarly(t *testing.T) {
	t.Run("before there is a runner", func(t *testing.T) {
		t.Parallel()
		p := aPod(t, "", "")
		command := p.start("run")
		p.until("it is there", func() bool { return isHeld(filepath.Join(p.dir, commandFile)) })
		time.Sleep(100 * time.Millisecond) // it watches for signals already
		command.Process.Signal(syscall.SIGTERM)
		p.end(command)
	})
	t.Run("the runner gets no job", func(t *testing.T) {
		t.Parallel()
		p := aPod(t, "", "")
		command, runner := p.start("run"), p.start("runner")
		if err := AwaitCommands(t.Context(), p.dir, 1); err != nil {
			t.Fatal(err)
		}
		p.until("the runner is there", func() bool { return isHeld(filepath.Join(p.dir, runnerFile)) })
		runner.Process.Kill()
		if got := p.end(command); got != "exit status 0" {
			t.Errorf("the container ended with %s: %s", got, command.out)
		}
	})
}

// TestAwaitCommandsIsStopped: whoever waits for the container can be told to stop.
func TestAwaitCommandsIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	if err := AwaitCommands(ctx, t.TempDir(), 1); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

// TestStockServer: onejob's container works with the stock agent's runner.
func TestStockServer(t *testing.T) {
	p := aPod(t, "", "echo $WORD; exit 5")
	p.start("runner")
	var out words
	r := kubernetes.NewRunner(logger.Discard, kubernetes.RunnerConfig{
		SocketPath: filepath.Join(p.dir, socketFile), ClientCount: 1, Stdout: &out, Stderr: &out, Env: []string{"WORD=stock"},
	})
	command := p.start("run")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(out.String(), r.WaitStatus().ExitStatus()); got != "stock\n5" {
		t.Errorf("%q", got)
	}
	p.end(command)
}

// TestStockClient: onejob's server works with the stock agent's client.
func TestStockClient(t *testing.T) {
	var out words
	s := newServer([]string{"WORD=ours"}, &out, 1)
	path := filepath.Join(t.TempDir(), socketFile)
	l, err := s.listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := &kubernetes.Client{SocketPath: path}
	reply, err := c.Connect(t.Context())
	if err != nil || fmt.Sprint(reply.Env) != "[WORD=ours]" {
		t.Fatal(reply, err)
	}
	defer c.Close()
	time.AfterFunc(50*time.Millisecond, func() { s.clients[0].set(kubernetes.RunStateStart) })
	interrupted := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := c.StatusLoop(ctx, func(err error) { interrupted <- err }); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "said")
	s.clients[0].set(kubernetes.RunStateInterrupt)
	if err := <-interrupted; err != nil {
		t.Error(err)
	}
	if err := c.Exit(6); err != nil {
		t.Error(err)
	}
	if e := <-s.clients[0].exit; e != (Exit{ExitStatus: 6}) || out.String() != "said" {
		t.Errorf("%+v, %q", e, out.String())
	}
	second := &kubernetes.Client{SocketPath: path}
	defer second.Close()
	if _, err := second.Connect(t.Context()); err == nil {
		t.Error("a second container was registered")
	}
}

func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	if err := CopyHooks(dir, t.TempDir(), filepath.Join(dir, "none"), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	got := environment(
		[]string{"PATH=/image/bin", "HOME=/home/onejob", "ONEJOB_STEP_DIR=/onejob", "SAME=container", "KUBERNETES_SERVICE_HOST=10.0.0.1"},
		[]string{"PATH=/runner/bin", "HOME=/root", "SAME=job", "KUBERNETES_PORT=x", "BUILDKITE_COMMAND=make", "BUILDKITE_SHELL=/no/such/bash -e -c", "BUILDKITE_HOOKS_PATH=/etc/hooks", "BUILDKITE_SOCKETS_PATH=/run"}, dir)
	for name, want := range map[string]string{
		"PATH": "/image/bin", "HOME": "/home/onejob", "ONEJOB_STEP_DIR": "", "SAME": "job", "KUBERNETES_PORT": "", "KUBERNETES_SERVICE_HOST": "10.0.0.1",
		"BUILDKITE_COMMAND": "make", "BUILDKITE_SHELL": "/bin/sh -e -c", "BUILDKITE_HOOKS_PATH": hooksAt(dir, 0), "BUILDKITE_SOCKETS_PATH": filepath.Join(dir, "sockets", strconv.Itoa(os.Getuid())),
		"BUILDKITE_BOOTSTRAP_PHASES": "plugin,command", "BUILDKITE_BIN_PATH": filepath.Join(dir, "bin"),
	} {
		if v := value(got, name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
}

// Hooks are those of each folder that there is, as a volume of a ConfigMap has them, too:
// links to a folder beside them.
func TestCopyHooks(t *testing.T) {
	volume := t.TempDir()
	for _, err := range []error{
		os.Mkdir(filepath.Join(volume, "..2026_01"), 0o755), os.WriteFile(filepath.Join(volume, "..2026_01", "pre-command"), []byte("#!/bin/sh\necho hi\n"), 0o755),
		os.Symlink("..2026_01", filepath.Join(volume, "..data")), os.Symlink("..data/pre-command", filepath.Join(volume, "pre-command")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, folders := range [][]string{{volume}, {"/none", volume}, {"/none", "/none", volume}, {volume, "/none", volume, "/none", volume}} {
		dir := t.TempDir()
		if err := CopyHooks(dir, folders...); err != nil {
			t.Fatal(err)
		}
		env := hooks([]string{"BUILDKITE_HOOKS_PATH=x", "BUILDKITE_ADDITIONAL_HOOKS_PATHS=x"}, dir)
		want, got := strings.Count(strings.Join(folders, ","), volume), 0
		for _, found := range append(strings.Split(value(env, "BUILDKITE_ADDITIONAL_HOOKS_PATHS"), ","), value(env, "BUILDKITE_HOOKS_PATH")) {
			if out, err := exec.Command(filepath.Join(found, "pre-command")).Output(); err == nil && string(out) == "hi\n" {
				got++
			}
		}
		if got != want {
			t.Errorf("%v: %d hooks are found, want %d: %v", folders, got, want, env)
		}
	}
}

func TestExecWithoutAShell(t *testing.T) {
	for _, tt := range []struct {
		command string
		want    int
	}{
		{"true", 0}, {"sh -c 'exit 3'", 3}, {"\n  true\nsh -c 'exit 4'\ntrue\n", 4}, {"sh -c 'kill -KILL $$'", 137},
		{"no-such-program", 127}, {"echo 'never ends", 2}, {"", 0},
	} {
		if got := Exec(tt.command, new(words)); got != tt.want {
			t.Errorf("%q ends with %d, want %d", tt.command, got, tt.want)
		}
	}
}

// Any user can make sockets, with any umask of Copy.
func TestSocketsAreForAll(t *testing.T) {
	dir, program := t.TempDir(), filepath.Join(t.TempDir(), "onejob-step")
	if err := os.WriteFile(program, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer syscall.Umask(syscall.Umask(0o022))
	if err := Copy(dir, program); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "sockets"))
	if err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// A container whose runner may stay ends with it, and not with its command.
func TestContainerStaysWithTheRunner(t *testing.T) {
	p := aPod(t, "true", "exit 3")
	if err := AskToStay(p.dir); err != nil {
		t.Fatal(err)
	}
	runner, command, serve := p.all()
	<-serve.ended
	select {
	case <-command.ended:
		t.Fatal("the container ended with its command")
	case <-time.After(300 * time.Millisecond):
	}
	syscall.Kill(-runner.Process.Pid, syscall.SIGKILL)
	<-command.ended
	if code := command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d\n%s", code, command.out)
	}
}

// TestStay: a container stays with the runner once its command has ended. One whose command
// runs on when the job is over ends at once, and the command with it.
func TestStay(t *testing.T) {
	for name, stays := range map[string]bool{"exit 3": true, "trap '' TERM; echo begun; exec sleep 60": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := aPod(t, "", name)
			if err := AskToStay(p.dir); err != nil {
				t.Fatal(err)
			}
			runner, command, serve := p.all()
			if !stays {
				p.until("it runs", func() bool { return strings.Contains(serve.out.String(), "begun") })
				syscall.Kill(serve.Process.Pid, syscall.SIGKILL)
				p.end(command)
				return
			}
			p.end(serve)
			select {
			case <-command.ended:
				t.Fatal("it didn't stay")
			case <-time.After(500 * time.Millisecond):
			}
			syscall.Kill(runner.Process.Pid, syscall.SIGKILL)
			p.end(command)
		})
	}
}
