package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/onejob-dev/onejob/launcher/mirror"
)

// mirrored repairs the git mirrors that the job's environment names, and becomes the
// program of args.
func mirrored(args []string) error {
	if len(args) < 2 || args[0] != "--" {
		return errByHand
	}
	program, err := exec.LookPath(args[1])
	if err != nil {
		return err
	}
	skip, _ := strconv.ParseBool(os.Getenv("BUILDKITE_SKIP_CHECKOUT"))
	if dir := os.Getenv("BUILDKITE_GIT_MIRRORS_PATH"); dir != "" && !skip {
		mirror.Repair{Dir: dir, Repository: os.Getenv("BUILDKITE_REPO"), Log: os.Stdout}.Run(context.Background())
	}
	return syscall.Exec(program, args[1:], os.Environ()) //nolint:gosec // our own runner names it
}
