package floors

import (
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

const (
	mostLines     = 300 // of a product file
	mostOfOne     = 60  // of a product function
	mostOperators = 4   // && and || per 100 lines of k8s/
)

// No file and no function of the product is longer than one reads at once. Its tests,
// and what is made for tests (test/), may be.
func TestNothingIsLong(t *testing.T) {
	tooLong := func(what string, lines, most int) {
		if lines > most {
			t.Errorf("%s has %d lines, more than %d: cut it", what, lines, most)
		}
	}
	for path, file := range product(t) {
		tooLong(path, file.lines(), mostLines)
		for _, d := range file.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				lines := file.files.Position(fn.End()).Line - file.files.Position(fn.Pos()).Line + 1
				tooLong(path+" "+fn.Name.Name, lines, mostOfOne)
			}
		}
	}
}

// Conditions in k8s/ have names, or are cases: && and || stay few.
func TestFewOperators(t *testing.T) {
	lines, operators := 0, 0
	for path, file := range product(t) {
		if !strings.HasPrefix(path, "k8s/") {
			continue
		}
		lines += file.lines()
		ast.Inspect(file.syntax, func(n ast.Node) bool {
			if b, ok := n.(*ast.BinaryExpr); ok && (b.Op == token.LAND || b.Op == token.LOR) {
				operators++
			}
			return true
		})
	}
	t.Logf("%d in %d lines: %.1f per 100", operators, lines, float64(operators)*100/float64(lines))
	if operators*100 > mostOperators*lines {
		t.Errorf("%d boolean operators in %d lines of k8s/, more than %d per 100: name conditions, or make cases of them", operators, lines, mostOperators)
	}
}
