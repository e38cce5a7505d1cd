//go:build linux

package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Keep is the keeper: it makes the sandbox, starts init in it, reports to the owner, waits for init's end and removes what the kernel leaves
// behind. It is to be called from main, with the descriptors that Start hands
// down.
func Keep() error {
	// PR_SET_PDEATHSIG is about the thread that forked, so that one must stay.
	runtime.LockOSThread()
	syscall.CloseOnExec(socketFD)
	syscall.CloseOnExec(reportFD)
	socket := os.NewFile(socketFD, "owner")
	reports := os.NewFile(reportFD, "report")

	// The owner's Ctrl-C is not ours: the socket tells us, after the owner had
	// its chance to say goodbye. A SIGTERM that means us ends the sandbox.
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)

	s, err := takeSlot()
	if err != nil {
		return sendReport(reports, report{Err: err.Error()})
	}
	init, err := s.make(socket)
	if err != nil {
		if init != nil {
			_ = init.Process.Kill()
			_ = init.Wait()
		}
		_ = s.sweep()
		return sendReport(reports, report{Err: err.Error()})
	}
	// From here on only init holds the socket: its end is the sandbox's.
	socket.Close()
	if err := sendReport(reports, report{Slot: s.number, Dir: s.dir()}); err != nil {
		_ = init.Process.Kill() // the owner is gone already
	}
	ended := make(chan struct{})
	go func() {
		select {
		case <-terminate:
			_ = init.Process.Kill()
		case <-ended:
		}
	}()
	_ = init.Wait()
	close(ended)
	return s.sweep()
}

func sendReport(to *os.File, r report) error {
	defer to.Close()
	return json.NewEncoder(to).Encode(r)
}

// make builds what lies outside of the namespaces, and init inside of them.
func (s *slot) make(socket *os.File) (*exec.Cmd, error) {
	for _, dir := range []string{"logs", "sysctl"} {
		if err := os.MkdirAll(filepath.Join(s.dir(), dir), 0o700); err != nil {
			return nil, err
		}
	}
	for _, name := range maskedSysctls {
		value, err := os.ReadFile(filepath.Join("/proc/sys", name))
		if os.IsNotExist(err) {
			continue // not every kernel has all of them
		}
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(s.sysctl(name), value, 0o644); err != nil {
			return nil, err
		}
	}
	if err := makeCgroup(cgroupName(s.number)); err != nil {
		return nil, fmt.Errorf("making cgroups: %w", err)
	}

	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	init := exec.Command(self, "init", s.dir())
	init.ExtraFiles = []*os.File{socket, s.lock}
	init.Stderr = os.Stderr
	init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := init.Start(); err != nil {
		return nil, fmt.Errorf("making namespaces: %w", err)
	}
	data, _ := json.Marshal(mark{Init: init.Process.Pid, Start: startTime(init.Process.Pid)})
	if err := os.WriteFile(s.markPath(), data, 0o600); err != nil {
		return init, err
	}
	if err := s.connect(init.Process.Pid); err != nil {
		return init, fmt.Errorf("connecting the sandbox: %w", err)
	}
	return init, nil
}

// connect lays a veth pair between the machine and the sandbox, and a route to
// the sandbox's pods. The pods' addresses differ from slot to slot, so that no
// translation is needed: each side sees the other's own.
func (s *slot) connect(pid int) error {
	a := addressesOf(s.number)
	batch := fmt.Sprintf(`link add %[1]s type veth peer name eth0 netns %[2]d
address add %[3]s/30 dev %[1]s
link set %[1]s up
route add %[4]s via %[5]s
`, s.link(), pid, a.Host, a.Pods, a.Inside)
	var output strings.Builder
	// A predecessor's link may still be on its way out with its namespace.
	for try := 0; ; try++ {
		output.Reset()
		ip := exec.Command("ip", "-batch", "-")
		ip.Stdin = strings.NewReader(batch)
		ip.Stdout, ip.Stderr = &output, &output
		err := ip.Run()
		if err == nil {
			return nil
		}
		if try == 20 {
			return fmt.Errorf("ip: %w: %s", err, strings.TrimSpace(output.String()))
		}
		_ = exec.Command("ip", "link", "delete", s.link()).Run()
		time.Sleep(50 * time.Millisecond)
	}
}

// maskedSysctls are the machine-wide ones that a kubelet sets to its liking.
// In the sandbox a plain file lies over each, so it writes to that instead.
var maskedSysctls = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

func (s *slot) sysctl(name string) string { return sysctlFile(s.dir(), name) }

func sysctlFile(dir, name string) string {
	return filepath.Join(dir, "sysctl", strings.ReplaceAll(name, "/", "."))
}
