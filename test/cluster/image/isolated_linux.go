package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
)

// isolated runs a program in a mount namespace of its own, and ends it with
// this process: debootstrap mounts in its tree, and that must not stay.
func isolated(ctx context.Context, program string, args ...string) error {
	// PR_SET_PDEATHSIG is about the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	command := exec.CommandContext(ctx, program, args...)
	command.Env = slices.Clone(surroundings)
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy"} {
		if value, ok := os.LookupEnv(name); ok {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w\n%s", filepath.Base(program), err, output[max(0, len(output)-3000):])
	}
	return nil
}
