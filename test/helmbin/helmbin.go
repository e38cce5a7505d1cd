// Package helmbin builds Helm, of the version that test/helm/go.mod pins, so that
// tests of the chart need none on the machine.
//
//	Path(t) -> .cache/helm/helm-<hash of go.sum>
package helmbin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/onejob-dev/onejob/test/gobuild"
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
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("asking go for the module: %w", err)
	}
	gomod := strings.TrimSpace(string(out))
	if gomod == "" || gomod == os.DevNull {
		return "", errors.New("not inside a Go module")
	}
	module := filepath.Join(filepath.Dir(gomod), "test", "helm")
	sum, err := os.ReadFile(filepath.Join(module, "go.sum"))
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(gomod), ".cache", "helm")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, fmt.Sprintf("helm-%x", sha256.Sum256(sum))[:20])
	if there(path) {
		return path, nil
	}

	// Packages are tested by processes of their own, at the same time.
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("waiting for another build: %w", err)
	}
	if there(path) {
		return path, nil
	}
	if err := gobuild.Program(ctx, module, path+".tmp", program); err != nil {
		return "", err
	}
	return path, os.Rename(path+".tmp", path)
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
