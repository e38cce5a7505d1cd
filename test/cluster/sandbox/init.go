//go:build linux

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
)

// Init is process 1 of the sandbox whose directory is dir: it starts and
// signals daemons as the owner asks, and reaps every orphan. It returns when
// the owner is gone; the process must then exit, which ends all the others.
func Init(dir string) error {
	syscall.CloseOnExec(socketFD)
	syscall.CloseOnExec(lockFD)
	// Without a handler the kernel drops signals to process 1, so a stray one does nothing.
	if err := isolate(dir); err != nil {
		return err
	}
	socket := os.NewFile(socketFD, "owner")
	one := &processOne{events: json.NewEncoder(socket), ours: map[int]bool{}}

	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	go func() {
		for range children {
			one.reap()
		}
	}()

	requests := json.NewDecoder(socket)
	for {
		var r request
		if err := requests.Decode(&r); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		one.answer(r)
	}
}

// isolate gives the sandbox its own /proc, /run and logs, and hides the
// machine-wide sysctls.
func isolate(dir string) error {
	type mount struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}
	mounts := []mount{
		// What the sandbox mounts stays in it.
		{"", "/", "", syscall.MS_REC | syscall.MS_SLAVE, ""},
		{"proc", "/proc", "proc", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC, ""},
		// containerd's shims, CNI and the kubelet write here by paths that can't be set.
		{"tmpfs", "/run", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV, "mode=755"},
		{"tmpfs", "/var/log", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV, "mode=755"},
	}
	for _, name := range maskedSysctls {
		file := sysctlFile(dir, name)
		if _, err := os.Stat(file); err == nil {
			mounts = append(mounts, mount{file, filepath.Join("/proc/sys", name), "", syscall.MS_BIND, ""})
		}
	}
	for _, m := range mounts {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mounting %s: %w", m.target, err)
		}
	}
	if err := wholeProc(); err != nil {
		return err
	}
	if err := hideKubelet(); err != nil {
		return err
	}
	// Kubelets propagate mounts to their pods. Last, as what is mounted on a directory would show in those bound to it.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing mounts: %w", err)
	}
	return nil
}

// wholeProc is one more /proc. In a user namespace the kernel mounts one only where a whole
// one is in sight, and the sandbox's own lacks the sysctls that are hidden.
func wholeProc() error {
	const dir = "/run/proc"
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("proc", dir, "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", dir, err)
	}
	return nil
}

// hideKubelet gives the sandbox a /var/lib without the machine's kubelet
// directory: kubelets put the sockets of device plugins there, whatever their
// root directory is, and the machine may be a node of a cluster itself. The
// directory may also not exist, and must not come to: so the sandbox's /var/lib
// is a new one, with all else bound into it.
func hideKubelet() error {
	const dir, old = "/var/lib", "/run/var-lib"
	if err := os.Mkdir(old, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount(dir, old, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("binding %s: %w", dir, err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mounting %s: %w", dir, err)
	}
	entries, err := os.ReadDir(old)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() || entry.Name() == "kubelet" {
			continue // nothing there is a plain file that a daemon needs
		}
		from, to := filepath.Join(old, entry.Name()), filepath.Join(dir, entry.Name())
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(from, to, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
			return fmt.Errorf("binding %s: %w", to, err)
		}
	}
	return nil
}

// processOne holds init's state. It must not use os/exec: the reaper below
// would take its children's statuses.
type processOne struct {
	mutex  sync.Mutex // over fork and ours, and over events
	events *json.Encoder
	ours   map[int]bool // pids that the owner started
}

func (one *processOne) answer(r request) {
	one.mutex.Lock()
	defer one.mutex.Unlock()
	reply := event{Seq: r.Seq}
	var err error
	switch {
	case r.Start != nil:
		// The lock is held until the pid is noted: its end can't be reaped unnoticed in between.
		if reply.Pid, err = spawn(r.Start); err == nil {
			one.ours[reply.Pid] = true
		}
	case r.Signal != 0 && one.ours[r.Pid]:
		err = syscall.Kill(r.Pid, syscall.Signal(r.Signal))
	case r.Signal != 0:
		err = syscall.ESRCH
	}
	if err != nil {
		reply.Err = err.Error()
	}
	_ = one.events.Encode(reply) // an owner that is gone shows at the next read
}

func (one *processOne) reap() {
	one.mutex.Lock()
	defer one.mutex.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if !one.ours[pid] {
			continue // an orphan: a container's shim, mostly
		}
		delete(one.ours, pid)
		code := status.ExitStatus()
		if status.Signaled() {
			code = 128 + int(status.Signal())
		}
		_ = one.events.Encode(event{Pid: pid, Exited: true, Status: code})
	}
}

// spawn starts c, with its output added to its log.
func spawn(c *Command) (int, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	pid, err := syscall.ForkExec(c.Argv[0], c.Argv, &syscall.ProcAttr{
		Env:   c.Env,
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, &os.PathError{Op: "exec", Path: c.Argv[0], Err: err}
	}
	for _, file := range c.Cgroups {
		if err := os.WriteFile(file, fmt.Appendf(nil, "%d", pid), 0o644); err != nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return 0, err
		}
	}
	return pid, nil
}
