//go:build linux

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/onejob-dev/onejob/test/repo"
)

// ownerVariable makes this test binary an owner to be killed, instead of a test:
// its value is the keeper's path.
const ownerVariable = "ONEJOB_TEST_SANDBOX_OWNER"

func TestMain(m *testing.M) {
	if keeper := os.Getenv(ownerVariable); keeper != "" {
		if err := own(keeper); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// own starts a sandbox with a daemon that has a child, says where, and waits to be killed.
func own(keeper string) error {
	s, err := Start(context.Background(), keeper)
	if err != nil {
		return err
	}
	// The mount and the cgroup are what must go without anybody's help.
	script := "mount -t tmpfs tmpfs /mnt && (setsid sleep 1000 &) ; exec sleep 1000"
	cgroup, err := s.MakeCgroup("daemon")
	if err != nil {
		return err
	}
	if _, err := s.Start(Command{Name: "daemon", Argv: []string{"/bin/sh", "-c", script}, Cgroups: []string{s.CgroupFile(cgroup)}}); err != nil {
		return err
	}
	fmt.Println(s.Dir)
	select {}
}

func buildKeeper(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("namespaces are left out by -short")
	}
	if os.Geteuid() != 0 {
		t.Fatal("namespaces need root: run as root, or with -short")
	}
	path := filepath.Join(t.TempDir(), "keeper")
	if err := repo.Build(t.Context(), repo.Program{Package: "./test/cluster/sandbox/keeper", Out: path}); err != nil {
		t.Fatal(err)
	}
	return path
}

func start(t *testing.T, keeper string) *Sandbox {
	t.Helper()
	s, err := Start(t.Context(), keeper)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func shell(name, script string) Command {
	return Command{Name: name, Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}
}

func TestRunAndStatus(t *testing.T) {
	s := start(t, buildKeeper(t))
	tests := []struct {
		script string
		status int
	}{
		{"exit 0", 0},
		{"exit 3", 3},
		{"kill -9 $$", 128 + 9},
		{"sleep 0.2; exit 4", 4},
	}
	for _, test := range tests {
		p, err := s.Start(shell("status", test.script))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.Wait(t.Context()); err != nil || got != test.status {
			t.Errorf("%q: got status %d, error %v, want %d", test.script, got, err, test.status)
		}
	}
	err := s.Run(t.Context(), shell("fails", "echo a reason; exit 1"))
	if err == nil || !strings.Contains(err.Error(), "a reason") {
		t.Errorf("Run of a failing program: got %v, want its output", err)
	}
	if _, err := s.Start(Command{Name: "none", Argv: []string{"/nonexistent"}}); err == nil {
		t.Error("starting a program that doesn't exist: got no error")
	}
}

// A process is found by the machine's number of it, whichever of the reaper's threads
// started it.
func TestPID(t *testing.T) {
	s := start(t, buildKeeper(t))
	for range 20 {
		p, err := s.Start(shell("sleeps", "exec sleep 60"))
		if err != nil {
			t.Fatal(err)
		}
		pid, err := p.PID()
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
			t.Error(err)
		}
		if got, err := p.Wait(t.Context()); err != nil || got != 128+int(syscall.SIGUSR1) {
			t.Fatalf("got status %d, error %v after a signal to %d", got, err, pid)
		}
		if pid, err := p.PID(); err == nil {
			t.Errorf("the process that has ended is %d", pid)
		}
	}
}

// Many short processes at once, each with an orphan: the reaper must lose no
// status, and the early ends must find their process.
func TestStatusesUnderLoad(t *testing.T) {
	s := start(t, buildKeeper(t))
	var all []*Process
	for n := range 100 {
		p, err := s.Start(shell("load", fmt.Sprintf("true & true & exit %d", n)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	for n, p := range all {
		if got, err := p.Wait(t.Context()); err != nil || got != n {
			t.Errorf("process %d: got status %d, error %v", n, got, err)
		}
	}
}

// What a kubelet does to the machine must stay in the sandbox.
func TestIsolation(t *testing.T) {
	s := start(t, buildKeeper(t))
	before, err := os.ReadFile("/proc/sys/kernel/panic")
	if err != nil {
		t.Fatal(err)
	}
	script := `set -e
echo 12 > /proc/sys/kernel/panic && test "$(cat /proc/sys/kernel/panic)" = 12
mkdir -p /var/lib/kubelet/device-plugins && touch /run/onejob-test /var/log/onejob-test
test "$(ls /var/lib | grep -v '^kubelet$' | head -1)" # the rest of it is still there
test "$(readlink /proc/self)" -lt 1000
mount -t tmpfs tmpfs /mnt && touch /mnt/onejob-test`
	if err := s.Run(t.Context(), shell("isolation", script)); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile("/proc/sys/kernel/panic"); string(after) != string(before) {
		t.Errorf("the machine's kernel.panic went from %q to %q", before, after)
	}
	for _, path := range []string{"/run/onejob-test", "/var/log/onejob-test", "/mnt/onejob-test"} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is on the machine", path)
		}
	}
	// The veth pair is there, and leads to the sandbox.
	if err := s.Run(t.Context(), shell("network", "ip address add "+s.Addresses.Inside+"/30 dev eth0 && ip link set eth0 up")); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command("ip", "route", "get", s.Addresses.Inside).CombinedOutput(); err != nil || !strings.Contains(string(output), "onejob") {
		t.Errorf("no route to the sandbox: %v, %s", err, output)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	s := start(t, buildKeeper(t))
	traces := tracesOf(t, s.Dir)
	p, err := s.Start(shell("daemon", "sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left := traces.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if status, err := p.Wait(t.Context()); err != nil || status != 128+9 {
		t.Errorf("the daemon: got status %d, error %v, want 137", status, err)
	}
	if _, err := s.Start(shell("late", "true")); !errors.Is(err, ErrEnded) {
		t.Errorf("Start after Close: got %v, want ErrEnded", err)
	}
}

func TestKilledOwnerLeavesNothing(t *testing.T) {
	keeper := buildKeeper(t)
	owner, dir := startOwner(t, keeper)
	traces := tracesOf(t, dir)
	if len(traces.processes()) < 3 {
		t.Fatalf("got processes %v, want init and two sleeps", traces.processes())
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	traces.gone(t, 5*time.Second)
}

// With the keeper killed nobody is left to clean up: all processes, mounts and
// namespaces must be gone all the same, and the next start removes the rest.
func TestKilledKeeperIsSwept(t *testing.T) {
	keeper := buildKeeper(t)
	owner, dir := startOwner(t, keeper)
	traces := tracesOf(t, dir)
	for _, pid := range traces.keepers {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); len(traces.processes()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("processes %v outlive the keeper", traces.processes())
		}
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("the directory is gone, so this tests nothing: %v", err)
	}
	next := start(t, keeper)
	if next.Dir != dir {
		t.Logf("another slot was free: %s", next.Dir)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	if left := traces.left(); len(left) > 0 {
		t.Errorf("left after the sweep: %v", left)
	}
}

func TestSandboxesSideBySide(t *testing.T) {
	keeper := buildKeeper(t)
	one, two := start(t, keeper), start(t, keeper)
	if one.Dir == two.Dir || one.Addresses == two.Addresses {
		t.Fatalf("both have %s and %v", one.Dir, one.Addresses)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if err := two.Run(t.Context(), shell("still", "true")); err != nil {
		t.Errorf("the second, after the first's end: %v", err)
	}
}

func startOwner(t *testing.T, keeper string) (owner *exec.Cmd, dir string) {
	t.Helper()
	owner = exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerVariable+"="+keeper)
	owner.Stderr = os.Stderr
	output, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = owner.Process.Kill()
		_ = owner.Wait()
	})
	if _, err := fmt.Fscanln(output, &dir); err != nil {
		t.Fatalf("the owner has no sandbox: %v", err)
	}
	return owner, dir
}
