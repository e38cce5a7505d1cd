package image

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/onejob-dev/onejob/test/repo"
)

// StubName is the name of the image that Stub builds. Every node of a cluster
// has it: each pod's sandbox runs it too, as what Kubernetes calls pause.
const StubName = "localhost/onejob-stub:dev"

// Stub builds an image with nothing but one static program and returns its
// path. Without arguments the program waits for SIGTERM; "say WORDS", "exit N",
// "sleep SECONDS" and "get URL" are what else it can do. It isn't root.
func Stub(ctx context.Context) (string, error) {
	cache, err := repo.Cache("image")
	if err != nil {
		return "", err
	}
	unlock, err := repo.Lock(filepath.Join(cache, "stub.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	program := filepath.Join(cache, "stub")
	if err := repo.Build(ctx, repo.Program{
		Package: "./test/cluster/image/stub", Out: program, Flags: []string{"-trimpath", "-buildvcs=false", "-ldflags", "-s -w"},
	}); err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(cache, "layers-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	tree := filepath.Join(scratch, "stub")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return "", err
	}
	if err := os.Link(program, filepath.Join(tree, "stub")); err != nil {
		return "", err
	}
	hash := sha256.New()
	if err := hashFile(hash, program); err != nil {
		return "", err
	}
	l, err := keepLayer(cache, tree, fmt.Sprintf("stub-%x", hash.Sum(nil)[:16]))
	if err != nil {
		return "", err
	}
	prune(filepath.Join(cache, "stub-*.layer"), time.Hour)
	path := filepath.Join(cache, "stub.tar")
	return path, writeLayout(path, StubName, runtime.GOARCH, Config{User: "65532:65532", Entrypoint: []string{"/stub"}}, []layer{l})
}
