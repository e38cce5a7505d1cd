package agentbin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/test/gobuild"
	"github.com/onejob-dev/onejob/test/repo"
)

// keep is how long the binaries of a source that has changed since are kept,
// for test processes that still run them.
const keep = time.Hour

var onejobOnce = sync.OnceValues(func() (string, error) {
	return BuildOnejob(context.Background())
})

// Onejob returns a directory that holds onejob-agent and onejob-run, built from
// the module as it is now, and the stock buildkite-agent beside them, as in the
// image. It fails the test if they can't be built. It builds once a process and
// is safe for concurrent use. ONEJOB_BIN names a directory of binaries to take
// instead, an image's or one in memory.
func Onejob(tb testing.TB) string {
	tb.Helper()
	if dir := os.Getenv("ONEJOB_BIN"); dir != "" {
		return dir
	}
	dir, err := onejobOnce()
	if err != nil {
		tb.Fatalf("building onejob: %v", err)
	}
	return dir
}

// BuildOnejob is Onejob without a test. The directory is named after what is in
// it, so that a test process never sees another's newer build appear under it.
func BuildOnejob(ctx context.Context) (string, error) {
	stock, err := Build(ctx)
	if err != nil {
		return "", err
	}
	root := filepath.Join(filepath.Dir(stock), "..", "..", "onejob")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", fmt.Errorf("making the cache directory: %w", err)
	}
	tmp, err := os.MkdirTemp(root, "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil { // jobs run as other users too
		return "", err
	}

	module, err := repo.Root()
	if err != nil {
		return "", err
	}
	if err := gobuild.Program(ctx, module, tmp+string(filepath.Separator), "./cmd/onejob-agent", "./cmd/onejob-run"); err != nil {
		return "", err
	}
	if err := os.Link(stock, filepath.Join(tmp, "buildkite-agent")); err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, name := range []string{"onejob-agent", "onejob-run"} {
		if err := hashFile(sum, filepath.Join(tmp, name)); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(root, hex.EncodeToString(sum.Sum(nil)[:6]))
	// Who comes second with the same binaries finds them there.
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, syscall.EEXIST) && !errors.Is(err, syscall.ENOTEMPTY) {
		return "", fmt.Errorf("publishing the binaries: %w", err)
	}
	now := time.Now()
	if err := os.Chtimes(dir, now, now); err != nil {
		return "", err
	}
	return dir, prune(root, now.Add(-keep))
}

func hashFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// prune removes what nobody has asked for since before.
func prune(root string, before time.Time) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().Before(before) {
			if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
