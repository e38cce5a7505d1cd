package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onejob-dev/onejob/jitter"
)

// The files of a pod's shared folder.
const (
	runnerFile  = "runner"
	commandFile = "command"
	socketFile  = "step.sock"
	stayFile    = "stay"
	binFolder   = "bin"
	hooksFolder = "hooks"
)

// appears is how often a file is looked for that is about to be there.
const appears = 20 * time.Millisecond

// HoldRunner makes the runner's presence known to the command's container until
// the process ends.
func HoldRunner(dir string) error { return hold(filepath.Join(dir, runnerFile)) }

// AskToStay has the containers of commands end no sooner than the runner, which may stay
// so that people can look into them. It comes before the runner is known to be there.
func AskToStay(dir string) error { return os.WriteFile(filepath.Join(dir, stayFile), nil, 0o644) } //nolint:gosec // another user reads it

// AwaitCommand returns when the command's container is there.
func AwaitCommand(ctx context.Context, dir string) error {
	return await(ctx, filepath.Join(dir, commandFile))
}

// hold locks a file, which is only there once it is locked, for as long as the
// process lives. Programs that it starts don't inherit the lock.
func hold(path string) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-")
	if err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	err = file.Chmod(0o666) // the other container may have another user
	if err == nil {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX)
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", path, err)
	}
	held = append(held, file)
	return nil
}

// held keeps the garbage collector from closing what is held.
var held []*os.File

// await returns when a file is there.
func await(ctx context.Context, path string) error {
	for {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		if !jitter.Sleep(ctx, appears) {
			return context.Cause(ctx)
		}
	}
}

// gone is closed when nobody holds a file that was held once.
func gone(path string) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		file, err := os.Open(path)
		if err != nil {
			return // it was there: then its folder is gone, too
		}
		defer file.Close() //nolint:errcheck // only read
		for errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH), unix.EINTR) {
		}
	}()
	return over
}

// isHeld reports whether a file is there and somebody holds it.
func isHeld(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close() //nolint:errcheck // only read
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
