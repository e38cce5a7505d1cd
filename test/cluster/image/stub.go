package image

import (
	"context"
	"os"
	"path/filepath"

	"github.com/onejob-dev/onejob/test/cluster/internal/repo"
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
	tree := filepath.Join(cache, "stub")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return "", err
	}
	if err := repo.Build(ctx, repo.Program{
		Package: "./test/cluster/image/stub", Out: filepath.Join(tree, "stub"),
		Flags: []string{"-trimpath", "-buildvcs=false", "-ldflags", "-s -w"},
	}); err != nil {
		return "", err
	}
	layer, path := filepath.Join(cache, "stub.layer"), filepath.Join(cache, "stub.tar")
	if err := packTree(layer, tree); err != nil {
		return "", err
	}
	return path, writeLayout(path, StubName, Config{User: "65532:65532", Entrypoint: []string{"/stub"}}, []string{layer})
}
