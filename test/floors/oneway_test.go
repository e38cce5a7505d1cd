package floors

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// A job ID is parsed where it comes in (contract.ParseJobID, or by itself): a string that
// is only called one may have any case, or be a path.
func TestNoStringIsCalledAJobID(t *testing.T) {
	for path, file := range product(t) {
		if filepath.Dir(path) == "contract" {
			continue
		}
		ast.Inspect(file.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 || !isSelector(call.Fun, "contract", "JobID") {
				return true
			}
			if _, constant := call.Args[0].(*ast.BasicLit); !constant {
				t.Errorf("%s makes a job ID of a string: contract.ParseJobID does", file.at(call))
			}
			return true
		})
	}
}

// Text is cut by contract.Line (or Word, or Sentence), which leaves no half of a character
// and nothing that a terminal takes for a command.
func TestTextIsCutInOnePlace(t *testing.T) {
	for path, file := range product(t) {
		if dir := filepath.Dir(path); dir == "contract" || strings.HasPrefix(dir, "simulator") {
			continue // the simulator shares no code with what it judges
		}
		ast.Inspect(file.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			list, ok := call.Fun.(*ast.ArrayType)
			runes := ok && isIdent(list.Elt, "rune")
			if runes || isSelector(call.Fun, "utf8", "RuneStart") || isSelector(call.Fun, "strings", "ToValidUTF8") {
				t.Errorf("%s cuts a text by itself: contract.Line does", file.at(call))
			}
			return true
		})
	}
}

// waits are the functions that wait otherwise than by jitter.Sleep, and why.
var waits = map[string]string{
	"k8s/cache/coalesce.go Read":        "a connection is read at a pace; a read has no context",
	"k8s/scheduler/queue.go pause":      "a wake-up ends the wait, too",
	"k8s/scheduler/lease.go ended":      "a deadline beside what it waits for",
	"acquire/hurry.go sleep":            "a hurry cuts the wait short while it is on",
	"launcher/supervise.go signalled":   "deadlines beside what comes from the child",
	"launcher/supervise.go overdue":     "a deadline beside what comes from the child",
	"launcher/jobrun/cancel.go cancel":  "the job's process beginning ends the wait, too",
	"launcher/jobrun/progress.go Infof": "a deadline beside what it waits for",
	"demo/local.go run":                 "a picture every so often, and at each change",
}

// What waits to try again does it with package jitter: it ends with its context, and those
// who wait together don't come back together.
func TestOneWayToWait(t *testing.T) {
	used := map[string]bool{}
	for path, file := range product(t) {
		if dir := filepath.Dir(path); dir == "jitter" || strings.HasPrefix(dir, "simulator") {
			continue
		}
		for _, d := range file.syntax.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				for _, name := range []string{"After", "Sleep", "NewTimer", "NewTicker", "Tick"} {
					if e, ok := n.(*ast.SelectorExpr); ok && isSelector(e, "time", name) {
						who := path + " " + f.Name.Name
						if used[who] = true; waits[who] == "" {
							t.Errorf("%s waits with time.%s: jitter.Sleep does, or say here why not", file.at(e), name)
						}
					}
				}
				return true
			})
		}
	}
	for who := range waits {
		if !used[who] {
			t.Errorf("%s doesn't wait by itself any more", who)
		}
	}
}

// sourceFile is one of the module's Go files.
type sourceFile struct {
	files  *token.FileSet
	syntax *ast.File
}

func (f sourceFile) lines() int { return f.files.File(f.syntax.Package).LineCount() }

func (f sourceFile) at(n ast.Node) string {
	return strings.TrimPrefix(f.files.Position(n.Pos()).String(), "../../")
}

// product are the Go files of what is delivered, by their path in the repository: those
// of tests and of what is made for them are left out.
func product(t *testing.T) map[string]sourceFile {
	t.Helper()
	const root = "../.."
	files := token.NewFileSet()
	found := map[string]sourceFile{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || path == filepath.Join(root, "test")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		syntax, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		found[rel] = sourceFile{files, syntax}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 100 {
		t.Fatalf("only %d files were found", len(found))
	}
	return found
}

func isSelector(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	return isIdent(s.X, pkg)
}

func isIdent(e ast.Expr, name string) bool {
	x, ok := e.(*ast.Ident)
	return ok && x.Name == name
}
