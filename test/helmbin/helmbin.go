// Package helmbin builds Helm, of the version that test/helm/go.mod pins, so that
// tests of the chart need none on the machine.
//
//	Path(t) -> .cache/helm/helm-<hash of its module>
package helmbin

import (
	"context"
	"sync"
	"testing"

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
func Build(ctx context.Context) (string, error) { return repo.Tool(ctx, "helm", program) }
