package signals

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain lets the test's own program play the parts of an init and of its
// child, as real processes.
func TestMain(m *testing.M) {
	switch os.Getenv("SIGNALS_TEST_PART") {
	case "init":
		script := os.Args[len(os.Args)-1]
		if !strings.Contains(script, "$"+envReady) {
			script = "exec 3>&-\n" + script // as Watch does
		}
		status, err := Init([]string{"/bin/bash", "-c", script})
		if err != nil {
			fmt.Println(err)
			status = 99
		}
		os.Exit(status)
	case "unread":
		w := Watch(context.Background())
		for range 3 {
			fmt.Fprintln(os.Stderr, "nobody reads this")
		}
		if w.Stop.Err() != nil {
			os.Exit(6)
		}
		os.Exit(5)
	case "hidden":
		if err := Hide(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("hidden")
		time.Sleep(time.Minute)
	}
	goleak.VerifyTestMain(m)
}

// initProcess starts an init whose child is a script, as PID 1 of a PID
// namespace where it can.
func initProcess(t *testing.T, script string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	argv := []string{os.Args[0], script}
	if os.Geteuid() == 0 {
		argv = append([]string{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc"}, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "SIGNALS_TEST_PART=init")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, out
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

func TestInitPassesTheStatusOn(t *testing.T) {
	for _, tt := range []struct {
		script string
		want   int
	}{
		{"exit 0", 0}, {"exit 27", 27}, {"exit 255", 255},
		{"kill -TERM $$", 143}, {"kill -KILL $$", 137}, {"kill -SEGV $$", 139},
	} {
		t.Run(tt.script, func(t *testing.T) {
			t.Parallel()
			cmd, out := initProcess(t, tt.script)
			if got := exitCode(cmd.Wait()); got != tt.want {
				t.Errorf("status %d, want %d; it printed %q", got, tt.want, out)
			}
		})
	}
}

func TestInitReapsOrphans(t *testing.T) {
	t.Parallel()
	// 200 orphans end while the child lives; then it counts zombies. Only a
	// PID 1 (or a subreaper) is given orphans.
	if os.Geteuid() != 0 {
		t.Fatal("a PID namespace needs root: run the tests as root")
	}
	cmd, out := initProcess(t, `
		for i in $(seq 200); do ( sleep 0.0$((RANDOM % 9)) & ) ; done
		sleep 1
		grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l
		[ $(cat /proc/1/comm) = $(basename `+os.Args[0]+` | cut -c1-15) ] && echo init
		exit 5`)
	if got := exitCode(cmd.Wait()); got != 5 {
		t.Errorf("status %d, want 5", got)
	}
	if got := strings.Fields(out.String()); len(got) != 2 || got[0] != "0" || got[1] != "init" {
		t.Errorf("zombies and PID 1: %q, want 0 and init", out)
	}
}

func TestInitForwards(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGWINCH} {
		t.Run(Name(sig), func(t *testing.T) {
			t.Parallel()
			short := strings.TrimPrefix(Name(sig), "SIG")
			cmd, out := initProcess(t, fmt.Sprintf(`trap 'echo got; exit 7' %s; echo ready; while :; do sleep 0.02; done`, short))
			target := innermost(t, cmd.Process.Pid)
			if err := syscall.Kill(target, sig); err != nil {
				t.Fatal(err)
			}
			if got := exitCode(cmd.Wait()); got != 7 || !strings.Contains(out.String(), "got") {
				t.Errorf("status %d, output %q", got, out)
			}
		})
	}
}

// A signal that comes before the child takes signals isn't lost, and doesn't
// end it.
func TestInitKeepsEarlySignals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, out := initProcess(t, `
		cd `+dir+`
		while :; do sleep 0.02; [ -e sent ] && break; done
		trap 'echo got; exit 7' TERM
		eval "exec $`+envReady+`>&-"
		while :; do sleep 0.02; done`)
	if err := syscall.Kill(innermost(t, cmd.Process.Pid), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // for a signal that is forwarded at once
	if err := os.WriteFile(filepath.Join(dir, "sent"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := exitCode(cmd.Wait()); got != 7 || !strings.HasSuffix(out.String(), "got\n") {
		t.Errorf("status %d, output %q", got, out)
	}
}

// innermost waits until the init's child runs its loop, and returns the init's
// PID in our namespace: the child of unshare, or the process itself.
func innermost(t *testing.T, pid int) int {
	t.Helper()
	for range 500 {
		time.Sleep(10 * time.Millisecond)
		init := pid
		if os.Geteuid() == 0 {
			if init = child(pid); init == 0 {
				continue
			}
		}
		if script := child(init); script != 0 && child(script) != 0 { // the loop's sleep
			return init
		}
	}
	t.Fatal("the init's child never ran")
	return 0
}

func child(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) == 0 {
		// A Go program may have forked from another thread.
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		for _, task := range tasks {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
			fields = append(fields, strings.Fields(string(b))...)
		}
	}
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(fields[0])
	return n
}

func TestWatcher(t *testing.T) {
	for _, tt := range []struct {
		name        string
		sigs        []os.Signal
		stop, force string
	}{
		{"none", nil, "", ""},
		{"SIGTERM", []os.Signal{syscall.SIGTERM}, "SIGTERM", ""},
		{"SIGINT", []os.Signal{syscall.SIGINT}, "SIGINT", ""},
		{"SIGHUP is ignored", []os.Signal{syscall.SIGHUP}, "", ""},
		{"a second forces", []os.Signal{syscall.SIGTERM, syscall.SIGINT}, "SIGTERM", "SIGINT"},
		{"SIGQUIT forces", []os.Signal{syscall.SIGQUIT}, "SIGQUIT", "SIGQUIT"},
		{"SIGQUIT forces later", []os.Signal{syscall.SIGTERM, syscall.SIGQUIT}, "SIGTERM", "SIGQUIT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := Watch(t.Context())
			defer w.Close()
			for _, sig := range tt.sigs {
				w.Deliver(sig)
			}
			for _, c := range []struct {
				name string
				ctx  context.Context
				want string
			}{{"Stop", w.Stop, tt.stop}, {"Force", w.Force, tt.force}} {
				r, ok := From(c.ctx)
				if got := map[bool]string{true: fmt.Sprint(r)}[ok]; got != c.want {
					t.Errorf("%s is ended by %q, want %q", c.name, got, c.want)
				}
				if (c.ctx.Err() != nil) != (c.want != "") {
					t.Errorf("%s: %v", c.name, c.ctx.Err())
				}
			}
		})
	}
}

func TestWatcherGetsRealSignals(t *testing.T) {
	w := Watch(context.Background())
	defer w.Close()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-w.Stop.Done()
	r, ok := From(w.Stop)
	if !ok || r.ExitCode() != 143 || time.Since(r.At) > time.Minute {
		t.Errorf("From = %+v, %v", r, ok)
	}
}

// A log collector that goes away must not take the runner with it.
func TestWatcherSurvivesAnUnreadLog(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), "SIGNALS_TEST_PART=unread"), w
	if err := cmd.Run(); exitCode(err) != 5 {
		t.Errorf("it ended with %v, want to go on to exit status 5", err)
	}
}

// TestHide looks from another process of the same user, as a job does. Root
// with CAP_SYS_PTRACE may look at anything, so both are run as nobody.
func TestHide(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("becoming another user needs root: run the tests as root")
	}
	const nobody = 65534
	program := readable(t, os.Args[0])
	look := func(part string) string {
		cmd := exec.Command(program)
		cmd.Env = []string{"SIGNALS_TEST_PART=" + part, "SECRET=x"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if part == "" {
			cmd = exec.Command("sleep", "60")
			cmd.Env = []string{"SECRET=x"}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer cmd.Process.Kill()
		if part != "" {
			out.Read(make([]byte, 16)) // it says when it is hidden
		}
		spy := exec.Command("/bin/sh", "-c", fmt.Sprintf("cat /proc/%d/environ; head -c1 /proc/%[1]d/mem 2>&1; ls /proc/%[1]d/fd 2>&1", cmd.Process.Pid))
		spy.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		b, _ := spy.CombinedOutput()
		return string(b)
	}
	if got := look(""); !strings.Contains(got, "SECRET=x") {
		t.Fatalf("an ordinary process can't be looked at either, so this test shows nothing: %q", got)
	}
	if got := look("hidden"); strings.Contains(got, "SECRET") || strings.Count(got, "ermission denied") != 3 {
		t.Errorf("a hidden process shows %q", got)
	}
}

// readable returns a copy of a program that any user can run.
func readable(t *testing.T, path string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "signals")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := os.ReadFile(path)
	if err == nil {
		err = errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "program"), b, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "program")
}

func TestKillByEnv(t *testing.T) {
	entry := fmt.Sprintf("SIGNALS_TEST_MARK=%d", time.Now().UnixNano())
	// A process group of its own, and a grandchild in yet another session.
	cmd := exec.Command("/bin/bash", "-c", "setsid sleep 60 & sleep 60")
	cmd.Env = append(os.Environ(), entry)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if child(cmd.Process.Pid) != 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := KillByEnv(entry + "0"); n != 0 {
		t.Errorf("killed %d processes that only begin alike", n)
	}
	if n := KillByEnv(entry); n < 2 {
		t.Errorf("killed %d processes, want the script and its sleeps", n)
	}
	if got := cmd.Wait(); got == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the script ended with %v", got)
	}
	if n := KillByEnv(entry); n != 0 {
		t.Errorf("%d processes were left", n)
	}
}
