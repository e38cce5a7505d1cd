package onejob_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The index has each page, and README leads to the index.
func TestIndex(t *testing.T) {
	index := read(t, "docs/README.md")
	found, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range found {
		if name := filepath.Base(page); name != "README.md" && !strings.Contains(index, "("+name+")") {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
	readme := read(t, "README.md")
	if lines := strings.Count(readme, "\n"); lines > 85 || !strings.Contains(readme, "(docs/README.md)") {
		t.Errorf("README.md has %d lines, and is to be two screens with a link to docs/README.md", lines)
	}
}

// kubernetesSays are texts of Kubernetes' own, which no source of ours has.
var kubernetesSays = []string{"0/N nodes are available: …"}

// What docs/troubleshooting.md says that one sees, onejob says: each text in italics in a
// first column, up to its "…", and each message of the scheduler's log, stands in the
// source.
func TestQuotesAreSaid(t *testing.T) {
	var all, ofTheLog strings.Builder
	for _, path := range sources(t) {
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			all.WriteString(read(t, path))
			if strings.HasPrefix(path, "k8s/scheduler/") {
				ofTheLog.WriteString(read(t, path))
			}
		}
	}
	page := read(t, "docs/troubleshooting.md")
	_, log, _ := strings.Cut(page, "## In the scheduler's log")
	log, _, _ = strings.Cut(log, "\n## ")
	found := 0
	said := func(where, source string, pattern *regexp.Regexp, wrap string) {
		for _, row := range regexp.MustCompile(`(?m)^\| (.*?) \|`).FindAllStringSubmatch(where, -1) {
			for _, q := range pattern.FindAllStringSubmatch(row[1], -1) {
				text, _, _ := strings.Cut(q[1], "…")
				found++
				own := strings.Contains(source, wrap+text+wrap)
				for _, k := range kubernetesSays {
					own = own || q[1] == k
				}
				if !own && q[1] != "msg" {
					t.Errorf("docs/troubleshooting.md quotes %q, which onejob doesn't say", q[1])
				}
			}
		}
	}
	said(page, all.String(), regexp.MustCompile(`\*([^*]+)\*`), "")
	said(log, ofTheLog.String(), regexp.MustCompile("`([^`]+)`"), `"`)
	if found < 25 {
		t.Errorf("found %d quotes", found)
	}
}
