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

// appears is how often something is looked for that is about to be there.
const appears = 20 * time.Millisecond

// A file is looked for after a fiftieth of the time that was waited already, within soon and
// seldom. Of many pods that start at once each waits for long, and what they use meanwhile
// is missing where the next one is started.
const (
	soon   = 2 * time.Millisecond
	seldom = 200 * time.Millisecond
)

// HoldRunner shows the command's container that the runner lives, until the process ends.
func HoldRunner(dir string) error { return hold(filepath.Join(dir, runnerFile)) }

// AskToStay has the containers of commands end no sooner than the runner, which may stay
// so that people can look into them; one whose command still runs ends at once. It comes
// before the runner is known to be there.
func AskToStay(dir string) error { return os.WriteFile(filepath.Join(dir, stayFile), nil, 0o644) } //nolint:gosec // another user reads it

// AwaitCommands returns when the command's container is there, or all n of them.
func AwaitCommands(ctx context.Context, dir string, n int) error {
	for id := range max(1, n) {
		if err := await(ctx, commandAt(dir, id)); err != nil {
			return err
		}
	}
	return nil
}

// commandAt is the file that a command's container holds.
func commandAt(dir string, id int) string {
	if id == 0 {
		return filepath.Join(dir, commandFile)
	}
	return filepath.Join(dir, fmt.Sprintf("%s-%d", commandFile, id))
}

// hold makes a file that is locked for as long as the process lives. The file has its name
// only once it is locked. Child processes don't inherit the lock.
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

// held keeps the garbage collector from closing the locked files.
var held []*os.File

// await returns when a file exists, or with ctx's cause.
func await(ctx context.Context, path string) error {
	for began := time.Now(); ; {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		if !jitter.Sleep(ctx, untilNext(time.Since(began))) {
			return context.Cause(ctx)
		}
	}
}

// untilNext is how long to wait for the next look.
func untilNext(waited time.Duration) time.Duration { return min(max(soon, waited/50), seldom) }

// gone returns a channel that is closed once no process locks a file that a process had
// locked.
func gone(path string) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		file, err := os.Open(path)
		if err != nil {
			return // the file existed, so its folder is gone
		}
		defer file.Close() //nolint:errcheck // only read
		for errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH), unix.EINTR) {
		}
	}()
	return over
}

// isHeld reports whether a file exists and a process locks it.
func isHeld(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close() //nolint:errcheck // only read
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
