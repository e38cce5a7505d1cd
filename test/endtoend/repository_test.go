package endtoend

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/onejob-dev/onejob/test/fixture"
	"github.com/onejob-dev/onejob/test/gobuild"
)

// publish makes the repositories that the jobs check out.
func publish(ctx context.Context, dir string) error {
	script := "#!/bin/sh\nset -eu\nmkdir -p out\nhead -c 100000 /dev/zero | tr '\\0' x > out/$BUILDKITE_PARALLEL_JOB.txt\nfor i in $(seq 200); do echo \"line $i of job $BUILDKITE_PARALLEL_JOB\"; done\n"
	if err := publishPromises(ctx, dir); err != nil {
		return err
	}
	if err := publishMirrored(ctx, dir); err != nil {
		return err
	}
	err := repository(ctx, dir, "examples", func(work string) error {
		return os.CopyFS(work, os.DirFS(examples))
	})
	if err != nil {
		return err
	}
	err = repository(ctx, dir, "e2e", func(work string) error {
		return os.WriteFile(filepath.Join(work, "build.sh"), []byte(script), 0o755)
	})
	if err != nil {
		return err
	}
	return repository(ctx, dir, "hunt", func(work string) error {
		return gobuild.Program(ctx, "", filepath.Join(work, "hunter"), "./hunter")
	})
}

// repository publishes one with a commit of what fill puts into its folder.
func repository(ctx context.Context, dir, name string, fill func(work string) error) error {
	work := filepath.Join(dir, "work-"+name)
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	if err := fill(work); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"},
		{"-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "commit", "--quiet", "--allow-empty", "--message=before"}, // what a shallow clone leaves out
		{"add", "."},
		{"-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "commit", "--quiet", "--message=x"},
		{"tag", "v1.0.0"},
	} {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w: %s", args[0], err, out)
		}
	}
	return fixture.PublishGit(ctx, work, dir, name)
}
