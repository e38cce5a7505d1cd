// Package helmbin builds Helm, of the version that test/helm/go.mod pins, so that
// tests of the chart need none on the machine.
//
//	Path(t) -> .cache/helm/helm-<hash of go.sum>
package helmbin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/onejob-dev/onejob/test/gobuild"
	"github.com/onejob-dev/onejob/test/repo"
)

const program = "helm.sh/helm/v4/cmd/helm"

var once = sync.OnceValues(func() (string, error) { return Build(context.Background()) })

// Path returns the absolute path of helm, building it if need be. It fails the test
// if that can't be done. It is safe for many tests and many test processes at once.
func Path(tb testing.TB) string {
	tb.Helper()
	path, err := once()
	if err != nil {
		tb.Fatalf("building helm: %v", err)
	}
	return path
}

// Build is Path without a test.
func Build(ctx context.Context) (string, error) {
	root, err := repo.Root()
	if err != nil {
		return "", err
	}
	module := filepath.Join(root, "test", "helm")
	sum, err := os.ReadFile(filepath.Join(module, "go.sum"))
	if err != nil {
		return "", err
	}
	dir, err := repo.Cache("helm")
	if err != nil {
		return "", err
	}
	// Packages are tested by processes of their own, at the same time.
	unlock, err := repo.Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, fmt.Sprintf("helm-%x", sha256.Sum256(sum))[:20])
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	// The rename makes a build that was interrupted invisible.
	if err := gobuild.Program(ctx, module, path+".new", program); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}
