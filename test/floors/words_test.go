package floors

import (
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// privateWord is what a Kubernetes Job is called in the code, and only there.
var privateWord = regexp.MustCompile(`(?i)(^|[^a-z])kjob`)

// A string of the product may reach a person: a log, an error, an Event, a job's page,
// a metric, a help text, a field of JSON.
func TestStringsSayKubernetesJob(t *testing.T) {
	for _, file := range product(t) {
		ast.Inspect(file.syntax, func(n ast.Node) bool {
			if _, ok := n.(*ast.ImportSpec); ok {
				return false
			}
			s, ok := n.(*ast.BasicLit)
			if ok && s.Kind == token.STRING && privateWord.MatchString(s.Value) {
				t.Errorf("%s: a user reads %q: say Kubernetes Job", file.files.Position(s.Pos()), s.Value)
			}
			return true
		})
	}
}

// What users read, and what they install, say Kubernetes Job too. A path into the code
// is none of that.
func TestPagesSayKubernetesJob(t *testing.T) {
	const root = "../.."
	pages := []string{filepath.Join(root, "README.md"), filepath.Join(root, "SECURITY.md"), filepath.Join(root, "k8s", "config", "config.schema.json")}
	for _, dir := range []string{"docs", "deploy"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && filepath.Ext(path) != ".go" {
				pages = append(pages, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(pages) < 20 {
		t.Fatalf("only %d pages were found", len(pages))
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range strings.Split(string(text), "\n") {
			if privateWord.MatchString(strings.ReplaceAll(line, "k8s/kjob/", "")) {
				t.Errorf("%s:%d says kjob: say Kubernetes Job", page, n+1)
			}
		}
	}
}
