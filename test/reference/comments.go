package reference

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/onejob-dev/onejob/test/repo"
)

// comments are what users read of the fields of a package's structs, by "Type.Field".
type comments map[string]string

// of is the field's text; a field without one fails the test.
func (c comments) of(tb testing.TB, owner reflect.Type, f reflect.StructField) string {
	tb.Helper()
	text := c[owner.String()+"."+f.Name]
	if text == "" {
		tb.Errorf("%s.%s has no comment, which is its description for users", owner, f.Name)
	}
	return text
}

// read reads the comments in a directory of the repository.
func (c comments) read(tb testing.TB, dir string) {
	tb.Helper()
	root, err := repo.Root()
	if err != nil {
		tb.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil || files == nil {
		tb.Fatalf("there is no Go in %s: %v", dir, err)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			tb.Fatal(err)
		}
		name := file.Name.Name
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, field := range f.Names {
						c[name+"."+spec.Name.Name+"."+field.Name] = sentence(field.Name, f.Doc.Text())
					}
				}
			}
			return false
		})
	}
}

var verb = regexp.MustCompile(`^(is|are) `)

// sentence is the first paragraph of a field's comment without the field's name:
// "MaxInFlight is the most …" is "The most …".
func sentence(field, comment string) string {
	text, _, _ := strings.Cut(comment, "\n\n")
	text = strings.Join(strings.Fields(text), " ")
	text = verb.ReplaceAllString(strings.TrimPrefix(text, field+" "), "")
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + text[size:]
}
