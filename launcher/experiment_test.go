package launcher

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExperiments(t *testing.T) {
	o := Options{Experiment: []string{"normalised-upload-paths", " agent-api", "", "zip-plugins", "zip-plugins", "typo", "typo", "git-mirrors"}}
	working, without := o.experiments()
	if !slices.Equal(working, []string{"normalised-upload-paths", "zip-plugins"}) {
		t.Errorf("working: %q", working)
	}
	if !slices.Equal(without, []string{"agent-api", "typo", "git-mirrors"}) {
		t.Errorf("without effect: %q", without)
	}
	var reported []string
	for _, f := range o.features() {
		if e, ok := strings.CutPrefix(f, "experiment-"); ok {
			reported = append(reported, e)
		}
	}
	if !slices.Equal(reported, working) {
		t.Errorf("reported: %q, want those that work", reported)
	}
	for e, want := range map[string]string{"agent-api": "concurrency group", "typo": "misspelt"} {
		if got := withoutEffect(e); !strings.Contains(got, want) {
			t.Errorf("%s has no effect because %q, want %q in it", e, got, want)
		}
	}
}

// TestExperimentsAreTheAgents compares our lists with the pinned agent's, which
// can't be imported: none is forgotten, none is made up.
func TestExperimentsAreTheAgents(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/buildkite/agent/v3").Output()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "internal", "experiments", "experiments.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{} // by constant
	var available []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		switch v := spec.Values[0].(type) {
		case *ast.BasicLit:
			names[spec.Names[0].Name], _ = strconv.Unquote(v.Value)
		case *ast.CompositeLit:
			if spec.Names[0].Name == "Available" {
				for _, e := range v.Elts {
					available = append(available, names[e.(*ast.KeyValueExpr).Key.(*ast.Ident).Name])
				}
			}
		}
		return true
	})
	slices.Sort(available)
	ours := slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(noEffect)), effective...)))
	if diff := cmp.Diff(available, ours); diff != "" {
		t.Errorf("the agent's experiments (-) and ours (+):\n%s", diff)
	}
}
