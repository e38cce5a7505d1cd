package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Both are built alike: as the image has them.
var buildArgs = []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"}

const buildEnv = "CGO_ENABLED=0"

// programs are the packages that are measured, by the names of their binaries.
var programs = map[string]string{
	"onejob-agent":    "github.com/onejob-dev/onejob/cmd/onejob-agent",
	"onejob-run":      "github.com/onejob-dev/onejob/cmd/onejob-run",
	"buildkite-agent": "github.com/buildkite/agent/v3", // of the version that go.mod pins
}

// build builds the programs and returns the directory that holds them.
func build(ctx context.Context) (string, error) {
	gomod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(gomod)))
	if root == "." || root == "/dev" {
		return "", errors.New("run it inside the repository")
	}
	dir := filepath.Join(root, ".cache", "bench")
	for name, pkg := range programs {
		fmt.Fprintf(os.Stderr, "building %s\n", name)
		cmd := exec.CommandContext(ctx, "go", append(buildArgs, "-o", filepath.Join(dir, name), pkg)...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), buildEnv)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("building %s: %w\n%s", name, err, out)
		}
	}
	return dir, nil
}
