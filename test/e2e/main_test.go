package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/gobuild"
	"github.com/onejob-dev/onejob/test/stage"
)

// on is the stage that all tests of the package share, options is how it is set.
var (
	on      *stage.Stage
	options stage.Options
)

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("a cluster takes a minute to start; left out by -short")
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "onejob-e2e")
	if err == nil {
		defer os.RemoveAll(dir)
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		logf := func(format string, a ...any) { fmt.Printf("    "+format+"\n", a...) }
		if err = publish(ctx, dir); err == nil {
			err = cluster.Turn(ctx, logf)
		}
		if err == nil {
			options = stage.Options{
				Root: filepath.Join("..", ".."), Nodes: 1, Config: stage.QueueConfig(8, 20) + anyUID + trusted + deployer, Repository: dir, Logf: logf,
				Simulator: simulator.Config{HeartbeatTimeout: time.Minute}, // jobs kill their runners, and are waited for
			}
			on, err = stage.Up(ctx, options)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "setting the stage:", err)
		return 1
	}
	defer func() {
		if err := on.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "ending the stage:", err)
		}
	}()
	return m.Run()
}

// publish makes the repositories that the jobs check out.
func publish(ctx context.Context, dir string) error {
	script := "#!/bin/sh\nset -eu\nmkdir -p out\nhead -c 100000 /dev/zero | tr '\\0' x > out/$BUILDKITE_PARALLEL_JOB.txt\nfor i in $(seq 200); do echo \"line $i of job $BUILDKITE_PARALLEL_JOB\"; done\n"
	if err := publishPromises(ctx, dir); err != nil {
		return err
	}
	err := repository(ctx, dir, "e2e", func(work string) error {
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
		{"init", "--quiet", "--initial-branch=main"}, {"add", "."},
		{"-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "commit", "--quiet", "--message=x"},
		{"tag", "v1.0.0"},
	} {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w: %s", args[0], err, out)
		}
	}
	return stage.PublishGit(ctx, work, dir, name)
}
