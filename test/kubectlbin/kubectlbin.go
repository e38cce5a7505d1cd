// Package kubectlbin builds kubectl, of the version that test/kubectl/go.mod pins, so that
// tests of the pages need none on the machine.
//
//	Build(ctx) -> .cache/kubectl/kubectl-<hash of its module>
package kubectlbin

import (
	"context"

	"github.com/onejob-dev/onejob/test/repo"
)

// Build returns the absolute path of kubectl, building it if need be. It is safe for many
// test processes at once.
func Build(ctx context.Context) (string, error) { return repo.Tool(ctx, "kubectl", ".") }
