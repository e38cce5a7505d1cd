// Package kueuebin builds Kueue, of the version that test/kueue/go.mod pins, for
// tests of what onejob does under it.
//
//	Build(ctx)     -> .cache/kueue/kueue-<hash of its module>
//	Resources(ctx) -> the folder of Kueue's CustomResourceDefinitions
package kueuebin

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/onejob-dev/onejob/test/repo"
)

// Build returns the absolute path of the program, building it if need be. It is safe
// for many test processes at once.
func Build(ctx context.Context) (string, error) { return repo.Tool(ctx, "kueue", ".") }

// Resources has a kustomization.yaml, whose resources are all that the program needs
// to be known to the API server; its patches are for webhooks.
func Resources(ctx context.Context) (string, error) {
	root, err := repo.Root()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kueue")
	cmd.Dir = filepath.Join(root, "test", "kueue")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("asking go for Kueue's module: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "config", "components", "crd"), nil
}
