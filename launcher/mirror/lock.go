package mirror

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/onejob-dev/onejob/jitter"
)

// The stock agent's locks of a mirror, by what comes after its name. It makes the first one
// before the mirror, and leaves both there.
const (
	cloneLock  = ".clonelockf"
	updateLock = ".updatelockf"
)

// lock takes both of the stock agent's locks of a mirror, in its order, so that no agent
// makes or updates the mirror meanwhile. It returns nil if it can't have them in time.
func lock(ctx context.Context, root *os.Root, name string, wait time.Duration) (unlock func()) {
	var held []*os.File
	unlock = func() {
		for _, f := range held {
			f.Close() //nolint:errcheck // that ends the lock
		}
	}
	until := time.Now().Add(wait)
	for _, kind := range []string{cloneLock, updateLock} {
		f, err := root.OpenFile(name+kind, os.O_CREATE|os.O_RDWR, 0o600) // NFS locks only what is open to be written
		if err == nil {
			held = append(held, f)
			err = take(ctx, f, until)
		}
		if err != nil {
			unlock()
			return nil
		}
	}
	return unlock
}

// take takes the lock of a file, in time.
func take(ctx context.Context, f *os.File, until time.Time) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil || time.Now().After(until) || ctx.Err() != nil {
			return err
		}
		jitter.Sleep(ctx, 100*time.Millisecond)
	}
}
