package repo

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// Tool builds a program of the module in test/NAME, which pins it, into .cache/NAME,
// unless it is there, and returns its absolute path. It is safe for many processes at
// once. pkg is the package as go build takes it, seen from that module.
func Tool(ctx context.Context, name, pkg string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	module := filepath.Join(root, "test", name)
	key, err := hash(module)
	if err != nil {
		return "", err
	}
	dir, err := Cache(name)
	if err != nil {
		return "", err
	}
	// Packages are tested by processes of their own, at the same time.
	unlock, err := Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, name+"-"+key)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, Build(ctx, Program{Package: pkg, Dir: module, Out: path, Flags: []string{"-trimpath", "-buildvcs=false", "-ldflags", "-s -w"}})
}

// hash is over a module's own files: its go.sum covers the rest.
func hash(module string) (string, error) {
	files, err := os.ReadDir(module)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(module, file.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", file.Name(), len(data), data)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}
