// Package agentbin builds the stock buildkite-agent of the version that go.mod
// pins, so that tests run the real thing and never another version of it.
//
//	Path(t) -> .cache/buildkite-agent/<version>/buildkite-agent
//
// The first caller on a machine builds (minutes when the build cache is cold);
// all others, in this process or another, wait for it and share the file.
package agentbin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/onejob-dev/onejob/test/gobuild"
	"github.com/onejob-dev/onejob/test/repo"
)

const module = "github.com/buildkite/agent/v3"

var once = sync.OnceValues(func() (string, error) {
	return Build(context.Background())
})

// Path returns the absolute path of the pinned buildkite-agent, building it if
// need be. It fails the test if the binary can't be built. It is safe for
// concurrent use by many tests and many test processes.
func Path(tb testing.TB) string {
	tb.Helper()
	path, err := once()
	if err != nil {
		tb.Fatalf("building the stock agent: %v", err)
	}
	return path
}

// Build is Path without a test: it returns the path of the binary in the
// repository's .cache, which it fills first when it is empty.
func Build(ctx context.Context) (string, error) {
	root, err := repo.Root()
	if err != nil {
		return "", err
	}
	version, err := goOutput(ctx, root, "list", "-m", "-f", "{{.Version}}", module)
	if err != nil {
		return "", err
	}
	dir, err := repo.Cache(filepath.Join("buildkite-agent", version))
	if err != nil {
		return "", fmt.Errorf("making the cache directory: %w", err)
	}
	path := filepath.Join(dir, "buildkite-agent")
	if built(path) {
		return path, nil
	}

	// Packages are tested by processes of their own, at the same time.
	unlock, err := repo.Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if built(path) {
		return path, nil
	}

	// The rename makes a build that was interrupted invisible.
	tmp := path + ".new"
	if err := gobuild.Program(ctx, root, tmp, module); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, path); err != nil {
		return "", fmt.Errorf("publishing the binary: %w", err)
	}
	return path, nil
}

func built(path string) bool {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

func goOutput(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running go %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
