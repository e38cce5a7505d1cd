package signals

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// envReady names the file descriptor that the child of an Init closes once it
// takes signals.
const envReady = "ONEJOB_READY_FD"

// IsInit reports whether the process is PID 1 and must call Init.
func IsInit() bool { return os.Getpid() == 1 }

// Init starts argv (argv[0] is the program's path) with the process's own
// environment and files, and is its init until it ends: every signal that can
// be caught is forwarded to it, every process that ends is reaped. It returns
// the child's exit status, 128+n if signal n ended it.
//
// Signals that come before the child calls Watch are kept until then, because they
// would kill the child without a word. A child that never calls Watch gets none.
//
// It returns an error only if the child can't be started.
func Init(argv []string) (int, error) {
	// Before the child exists, so that no signal is lost in between: the kernel
	// drops signals to a PID 1 that has no handler for them.
	sigs := make(chan os.Signal, 64)
	signal.Notify(sigs)

	taken, ready, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("making a pipe: %w", err)
	}
	defer taken.Close() //nolint:errcheck // only read

	// A process group of its own: a terminal's Ctrl-C then comes once, through
	// us, and not a second time from the terminal.
	child, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Env:   append(os.Environ(), envReady+"=3"),
		Files: []uintptr{0, 1, 2, ready.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	ready.Close() //nolint:errcheck // the child has its own
	if err != nil {
		return 0, fmt.Errorf("starting %s: %w", argv[0], err)
	}
	watching := make(chan struct{})
	go func() {
		taken.Read(make([]byte, 1)) //nolint:errcheck // ends when the child closes its end, or dies
		close(watching)
	}()
	var kept []syscall.Signal
	for {
		if status, ended := reap(child); ended {
			return status, nil
		}
		select {
		case <-watching:
			watching = nil
			for _, sig := range kept {
				forward(child, sig)
			}
		case s := <-sigs:
			switch sig, ok := s.(syscall.Signal); {
			case !ok || !forwarded(sig):
			case watching != nil:
				kept = append(kept, sig)
			default:
				forward(child, sig)
			}
		}
	}
}

func forward(child int, sig syscall.Signal) {
	// The child can be gone only if a SIGCHLD is on its way.
	if err := syscall.Kill(child, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		fmt.Fprintf(os.Stderr, "forwarding %s: %v\n", Name(sig), err)
	}
}

// tellInit tells the Init that started us, if one did, that we take signals.
func tellInit() {
	if fd, err := strconv.Atoi(os.Getenv(envReady)); err == nil {
		syscall.Close(fd)     //nolint:errcheck // it is only there to be closed
		os.Unsetenv(envReady) //nolint:errcheck // the name is good
	}
}

// reap waits for every process that has ended, and reports whether child was
// one of them, and with what status. One SIGCHLD may stand for many.
func reap(child int) (status int, ended bool) {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil || pid <= 0:
			return status, ended
		case pid == child && ws.Signaled():
			status, ended = 128+int(ws.Signal()), true
		case pid == child:
			status, ended = ws.ExitStatus(), true
		}
	}
}

// forwarded reports whether sig is for the child: SIGCHLD is ours, SIGURG is
// the Go runtime's own, and SIGPIPE is about our own files.
func forwarded(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE:
		return false
	}
	return true
}

// Name returns a signal's name as Buildkite and people write it: "SIGTERM".
func Name(sig os.Signal) string {
	s, ok := sig.(syscall.Signal)
	if !ok {
		return sig.String()
	}
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}
