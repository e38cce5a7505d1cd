// Package repo knows this repository: its root, its .cache, and how programs
// are built from it.
package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/onejob-dev/onejob/test/gobuild"
)

var root = sync.OnceValues(func() (string, error) {
	output, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("asking go for the module: %w", err)
	}
	gomod := strings.TrimSpace(string(output))
	if gomod == "" || gomod == os.DevNull {
		return "", errors.New("not in onejob's repository: no go.mod here or above")
	}
	return filepath.Dir(gomod), nil
})

// Root returns the directory of the module that the process runs in.
func Root() (string, error) { return root() }

// Cache returns the directory .cache/name in the repository, and makes it.
func Cache(name string) (string, error) {
	top, err := Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(top, ".cache", name)
	return dir, os.MkdirAll(dir, 0o755)
}

// Program is what Build makes.
type Program struct {
	Package string   // as go build takes it, seen from the repository's root or Dir
	Out     string   // path of the binary
	Dir     string   // default: the repository's root
	Flags   []string // of go build
	Env     []string // added to ours
}

// Build builds a program without cgo and puts it in place in one step, so that
// an interrupted build is never taken for a finished one. The caller keeps
// others from building the same file, with Lock.
func Build(ctx context.Context, p Program) error {
	if p.Dir == "" {
		var err error
		if p.Dir, err = Root(); err != nil {
			return err
		}
	}
	// The go command leaves a binary alone that is up to date, which takes one to look at. A link will do: with its
	// temporary directory on the same file system it renames a new one into place, and the old one's file stays as it is.
	temporary := p.Out + ".new"
	_ = os.Remove(temporary)
	if err := os.Link(p.Out, temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer os.Remove(temporary)
	err := gobuild.Build{
		Args: append(slices.Clone(p.Flags), "-o", temporary, p.Package), Dir: p.Dir,
		Env:      append(append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-trimpath -tags=urfave_cli_no_docs", "GOTMPDIR="+filepath.Dir(p.Out)), p.Env...),
		Progress: os.Stderr,
	}.Run(ctx)
	if err != nil {
		return err
	}
	// Of two links to one file, rename leaves both: that is the case of nothing to do.
	return os.Rename(temporary, p.Out)
}

// Lock waits for the lock on the file at path, which it makes, against other
// processes and other holders in this one.
func Lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}
