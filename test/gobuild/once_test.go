package gobuild

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// step is one compilation: the key of go's build cache, over the package's sources,
// its flags and what it imports.
type step struct{ pkg, key string }

// steps adds what a go command would compile, if nothing were cached, to all.
func steps(t *testing.T, dir string, all map[step]bool, args ...string) {
	t.Helper()
	graph := filepath.Join(t.TempDir(), "graph.json")
	args = append([]string{args[0], "-n", "-debug-actiongraph=" + graph}, args[1:]...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -tags=urfave_cli_no_docs", "GOWORK=off")
	if _, err := cmd.Output(); err != nil {
		var failed *exec.ExitError
		errors.As(err, &failed)
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, failed.Stderr[max(0, len(failed.Stderr)-2000):])
	}
	b, err := os.ReadFile(graph)
	var actions []struct{ Mode, Package, ActionID string }
	if err == nil {
		err = json.Unmarshal(b, &actions)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range actions {
		if a.Mode == "build" && a.Package != "" {
			all[step{a.Package, a.ActionID}] = true
		}
	}
}

// What the demo and the tests run is compiled once, but for the race detector: the
// same flags, and for Kubernetes, which is a module of its own, the same versions.
// A package of this module is compiled anew with its tests in it.
func TestEachPackageIsCompiledOnce(t *testing.T) {
	const root, module = "../..", "github.com/onejob-dev/onejob"
	var twice []string
	// What is compiled meanwhile changes the keys of what imports it.
	for range 3 {
		all := map[step]bool{}
		steps(t, root, all, "build", "-o", t.TempDir(), "./cmd/...", "./demo", "./test/chaos/cmd", "./test/cluster/sandbox/keeper")
		steps(t, root, all, "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(t.TempDir(), "agent"), "github.com/buildkite/agent/v3")
		steps(t, filepath.Join(root, "test", "cluster", "kube"), all, "build", "-ldflags", "-s -w", "-o", filepath.Join(t.TempDir(), "kube"), ".")
		steps(t, root, all, "test", "./...")
		count := map[string]int{}
		for s := range all {
			count[s.pkg]++
		}
		twice = nil
		for pkg, n := range count {
			if n > 1 && !strings.HasPrefix(pkg, module) {
				twice = append(twice, pkg)
			}
		}
		t.Logf("%d packages in %d steps", len(count), len(all))
		if len(count) < 1000 {
			t.Fatalf("there are %d packages", len(count))
		}
		if len(twice) == 0 {
			return
		}
	}
	t.Errorf("these %d packages are compiled more than once; give both go.mod the same version of their modules: %q", len(twice), twice)
}
