package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/onejob-dev/onejob/test/gobuild"
	"github.com/onejob-dev/onejob/test/repo"
)

// programs are the packages that are measured, by the names of their binaries.
var programs = map[string]string{
	"onejob-agent":    "github.com/onejob-dev/onejob/cmd/onejob-agent",
	"onejob-run":      "github.com/onejob-dev/onejob/cmd/onejob-run",
	"buildkite-agent": "github.com/buildkite/agent/v3", // of the version that go.mod pins
}

// build builds the programs and returns the directory that holds them.
func build(ctx context.Context) (string, error) {
	root, err := repo.Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, ".cache", "bench")
	for name, pkg := range programs {
		fmt.Fprintf(os.Stderr, "building %s\n", name)
		if err := gobuild.Program(ctx, root, filepath.Join(dir, name), pkg); err != nil {
			return "", err
		}
	}
	return dir, nil
}
