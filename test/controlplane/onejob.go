package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/onejob-dev/onejob/test/gobuild"
	"github.com/onejob-dev/onejob/test/repo"
)

// BuildOnejob builds cmd/onejob of this checkout, as it is shipped, into dir and
// returns its path.
func BuildOnejob(ctx context.Context, dir string) (string, error) {
	root, err := repo.Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "onejob")
	return path, gobuild.Program(ctx, root, path, "./cmd/onejob")
}

// Configure writes a onejob.yaml with the one queue, settings being what it
// says of it beside its name, and returns its path.
func (s *Fixture) Configure(settings string) (string, error) {
	path := filepath.Join(s.Dir, "onejob.yaml")
	text := fmt.Sprintf("endpoint: %s\nqueues:\n- name: %s\n  namespace: %s\n%s", s.Endpoint, Queue, s.Namespace, settings)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
