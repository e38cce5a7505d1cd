package reference

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onejob-dev/onejob/test/repo"
)

var update = flag.Bool("update", false, "write the references again")

// Matches compares a file of the repository with what it has to be, or writes it.
func Matches(tb testing.TB, path, want string) {
	tb.Helper()
	whole := filepath.Join(root(tb), path)
	got, err := os.ReadFile(whole)
	if err == nil && string(got) != want && *update {
		err = os.WriteFile(whole, []byte(want), 0o644) //nolint:gosec // a file of the repository
	}
	if err != nil {
		tb.Fatal(err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" && !*update {
		tb.Errorf("%s isn't what the code says: run make reference (-is +written)\n%s", path, diff)
	}
}

// Block compares a page's block with what it has to be, or writes it.
func Block(tb testing.TB, page, name, want string) {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(root(tb), page))
	if err != nil {
		tb.Fatal(err)
	}
	begin, end := "<!-- begin "+name+": written by make reference -->\n", "<!-- end "+name+" -->"
	before, rest, begins := strings.Cut(string(b), begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		tb.Fatalf("%s has no block %q", page, strings.TrimSpace(begin))
	}
	Matches(tb, page, before+begin+"\n"+strings.TrimSpace(want)+"\n\n"+end+after)
}

// Table is a table of a page.
func Table(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, r := range rows {
		cells := make([]string, len(r))
		for i, c := range r {
			cells[i] = strings.ReplaceAll(c, "|", `\|`)
		}
		line(cells)
	}
	return b.String()
}

// Rows are settings as rows of a table; those of apart have a table of their own.
func Rows(tb testing.TB, page string, settings []Setting, before string, apart ...string) (rows [][]string) {
	tb.Helper()
	for _, s := range settings {
		key := before + s.Key
		text, otherwise := s.Text, ""
		switch d := byDefault.FindStringSubmatch(text); {
		case d != nil:
			text, otherwise = strings.Replace(text, d[0], "", 1), d[1]
		case s.Default != nil:
			otherwise = fmt.Sprintf("`%v`", s.Default)
		}
		rows = append(rows, []string{"`" + key + "`", s.Value, otherwise, Linked(tb, page, strings.TrimSpace(text))})
		if s.isMapping && !slices.Contains(apart, key) {
			rows = append(rows, Rows(tb, page, s.Of, key+".")...)
		}
	}
	return rows
}

// place is a page that a text names, with its section.
var place = regexp.MustCompile(`\b((?:docs|deploy)/[\w/-]+\.md)(?:#([\w-]+))?`)

// Linked has a link for each page that a text names, as a page shows it.
func Linked(tb testing.TB, page, text string) string {
	tb.Helper()
	return place.ReplaceAllStringFunc(text, func(name string) string {
		m := place.FindStringSubmatch(name)
		to, err := filepath.Rel(filepath.Dir(page), m[1])
		if err != nil {
			tb.Fatal(err)
		}
		if m[1] == page {
			to = ""
		}
		if m[2] != "" {
			to += "#" + m[2]
		}
		return "[" + heading(tb, m[1], m[2]) + "](" + to + ")"
	})
}

var headings = regexp.MustCompile(`(?m)^#+ (.*)$`)

// heading is the heading of a section, or of a page, up to its colon.
func heading(tb testing.TB, page, section string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(root(tb), page))
	if err != nil {
		tb.Fatal(err)
	}
	for _, h := range headings.FindAllStringSubmatch(string(b), -1) {
		if anchor := strings.ReplaceAll(regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"); section == "" || anchor == section {
			title, _, _ := strings.Cut(h[1], ": ")
			return title
		}
	}
	tb.Errorf("a comment names %s#%s, and there is no such section", page, section)
	return section
}

func root(tb testing.TB) string {
	tb.Helper()
	root, err := repo.Root()
	if err != nil {
		tb.Fatal(err)
	}
	return root
}
