package onejob_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/test/pages"
)

var (
	citation = regexp.MustCompile(`[\w./]*\bprotocol\.md(?:#[\w-]*)?`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	link     = regexp.MustCompile(`\]\(#([\w-]+)\)`)
	place    = regexp.MustCompile("`([\\w.]+)` in `([\\w./]+\\.go)`")
	promise  = regexp.MustCompile(`(?m)^- .*\n(?:  .*\n)*`)
	testName = regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	dropped  = regexp.MustCompile(`[^\w\- ]`) // by GitHub, from a heading's anchor
	pageLink = regexp.MustCompile(`\]\(([^)\s#]*)(?:#([\w-]+))?\)`)
)

// Comments cite docs/protocol.md by its sections, and each of them is there. So
// are the names that the page says its facts are for.
func TestCitations(t *testing.T) {
	page := read(t, "docs/protocol.md")
	sections := sectionsOf(page)
	listed := map[string]bool{"contents": true, "what-onejob-knows-about-buildkite": true}
	for _, l := range link.FindAllStringSubmatch(page, -1) {
		listed[l[1]] = true
		if !sections[l[1]] {
			t.Errorf("docs/protocol.md has a link to #%s, and no such section", l[1])
		}
	}
	for s := range sections {
		if !listed[s] {
			t.Errorf("docs/protocol.md has no link to its section #%s", s)
		}
	}
	for _, p := range place.FindAllStringSubmatch(page, -1) {
		name := p[1][strings.LastIndexByte(p[1], '.')+1:]
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(read(t, p[2])) {
			t.Errorf("docs/protocol.md names %s in %s, which isn't there", p[1], p[2])
		}
	}

	cited := 0
	for _, path := range sources(t) {
		for _, c := range citation.FindAllString(read(t, path), -1) {
			cited++
			file, section, _ := strings.Cut(c, "#")
			if strings.TrimPrefix(file, "../") != "docs/protocol.md" || section != "" && !sections[section] {
				t.Errorf("%s cites %s, which isn't there", path, c)
			}
		}
	}
	if cited < 20 {
		t.Errorf("found %d citations", cited)
	}
}

// Each link of a page that leads into the repository leads to a file that is there, and
// to a section that it has.
func TestLinks(t *testing.T) {
	_, paths := pages.Paths(t)
	found := 0
	for _, path := range append(paths, "ARCHITECTURE.md", "HACKING.md") {
		for _, l := range pageLink.FindAllStringSubmatch(read(t, path), -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			found++
			to := path
			if l[1] != "" {
				to = filepath.Join(filepath.Dir(path), l[1])
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s has a link to %s: %v", path, l[1], err)
			} else if l[2] != "" && !sectionsOf(read(t, to))[l[2]] {
				t.Errorf("%s has a link to %s#%s, which has no such section", path, l[1], l[2])
			}
		}
	}
	if found < 40 {
		t.Errorf("found %d links", found)
	}
}

// Whatever else names a page or a section of one, such as a comment, a text of the product or
// a value of the chart, names one that is there.
func TestPagesThatAreNamed(t *testing.T) {
	named, found := regexp.MustCompile(`(?:^|[^\w./-])((?:docs|deploy)/[\w/-]+\.md)(?:#([\w-]+))?`), 0
	paths := sources(t)
	for _, pattern := range []string{"deploy/*.yaml", "deploy/*/*.yaml", "deploy/*/*/*.yaml", "deploy/*/*.json", "Makefile", "Dockerfile.agent"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, more...)
	}
	for _, path := range paths {
		for _, n := range named.FindAllStringSubmatch(read(t, path), -1) {
			found++
			if _, err := os.Stat(n[1]); err != nil {
				t.Errorf("%s names %s, which isn't there", path, n[1])
			} else if n[2] != "" && !sectionsOf(read(t, n[1]))[n[2]] {
				t.Errorf("%s names %s#%s, which has no such section", path, n[1], n[2])
			}
		}
	}
	if found < 50 {
		t.Errorf("found %d names of pages", found)
	}
}

// sectionsOf are a page's headings as anchors.
func sectionsOf(page string) map[string]bool {
	sections := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(page, -1) {
		sections[strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")] = true
	}
	return sections
}

// Each promise of SECURITY.md names the tests that hold it, and they are there.
func TestPromisesAreTested(t *testing.T) {
	tests := map[string]bool{}
	for _, path := range sources(t) {
		for _, name := range testFunc.FindAllStringSubmatch(read(t, path), -1) {
			tests[name[1]] = true
		}
	}
	promises := promise.FindAllString(read(t, "SECURITY.md"), -1)
	if len(promises) < 15 {
		t.Errorf("found %d promises", len(promises))
	}
	for _, p := range promises {
		if !testName.MatchString(p) {
			t.Errorf("no test is named for %q", p)
		}
	}
	for _, name := range testName.FindAllStringSubmatch(read(t, "SECURITY.md"), -1) {
		if !tests[name[1]] {
			t.Errorf("SECURITY.md names %s, which isn't there", name[1])
		}
	}
}

// A file that a comment or a manifest names is beside it, or the name begins with the
// file's package.
func TestFilesInComments(t *testing.T) {
	comment, file := regexp.MustCompile(`(?m)(?:^|\s)(?://|#) .*$`), regexp.MustCompile(`[\w./]*\w\.go\b`)
	manifests, err := filepath.Glob("deploy/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, path := range append(sources(t), manifests...) {
		if filepath.Ext(path) == ".md" {
			continue
		}
		for _, c := range comment.FindAllString(read(t, path), -1) {
			for _, name := range file.FindAllString(c, -1) {
				named++
				if !slices.ContainsFunc([]string{filepath.Dir(path), "k8s", "."}, func(dir string) bool {
					_, err := os.Stat(filepath.Join(dir, name))
					return err == nil
				}) {
					t.Errorf("%s names %s, which isn't there", path, name)
				}
			}
		}
	}
	if named < 5 {
		t.Errorf("found %d names of files", named)
	}
}

// sources are the Go files, but for this one, and the pages.
func sources(t *testing.T) []string {
	var paths []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch ext := filepath.Ext(path); {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (d.Name()[0] == '.' || path == "bin" || path == "docs"):
			return fs.SkipDir
		case (ext == ".go" || ext == ".md") && path != "docs_test.go":
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func read(t *testing.T, path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What people read, and what the product makes up, shows one job: contract.SampleJobID.
func TestOneSampleJob(t *testing.T) {
	uuid := regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		ext := filepath.Ext(path)
		switch {
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || path == "test" || path == "simulator" || path == "bin"):
			return filepath.SkipDir
		case d.IsDir(), strings.HasSuffix(path, "_test.go"), ext != ".go" && ext != ".md" && ext != ".yaml" && ext != ".txt":
			return nil
		}
		b, err := os.ReadFile(path)
		for _, id := range uuid.FindAllString(string(b), -1) {
			if id != string(contract.SampleJobID) {
				t.Errorf("%s shows the job %s: the sample is %s", path, id, contract.SampleJobID)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
