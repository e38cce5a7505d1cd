package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var mutants = flag.Int("mutants", 0, "how many histories may be needed to find each of testdata/mutants; 0: don't look")

// breaksNothing is what a mutant breaks that is no bug.
const breaksNothing = "nothing"

// TestHistories has some histories under the race detector; make histories has more.
func TestHistories(t *testing.T) {
	var out strings.Builder
	tell(t, options{count: 200, from: 1, bad: 3}, &out)
	t.Log(out.String())
}

// TestMutants plants known bugs, one at a time, and wants each to be found: by histories, or,
// where the bug is in code that they don't run, by each of the tests that the mutant names. Of
// one that breaks nothing, histories and scheduler.TestOutcomes must see nothing. The checkout
// stays as it is: the compiler is given an overlay. That the patches apply is looked at always.
func TestMutants(t *testing.T) {
	patches, err := filepath.Glob("testdata/mutants/*.patch")
	if err != nil || len(patches) < 10 {
		t.Fatalf("%d mutants, %v; want at least 10", len(patches), err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, patch := range patches {
		t.Run(strings.TrimSuffix(filepath.Base(patch), ".patch"), func(t *testing.T) {
			t.Parallel()
			m := readMutant(t, patch)
			dir := t.TempDir()
			changed := m.overlay(t, patch, root, dir)
			if *mutants == 0 {
				t.Skip("it applies; make histories looks for it, with -mutants")
			}
			if m.tests != nil {
				findByTests(t, m, patch, changed)
				return
			}
			bin := filepath.Join(dir, "histories")
			if out, err := exec.Command("go", "build", "-overlay", changed, "-o", bin, ".").CombinedOutput(); err != nil {
				t.Fatalf("%s doesn't compile: %v\n%s\n%s", patch, err, out, m.refresh(patch))
			}
			out, err := exec.Command(bin, "--bad=1", fmt.Sprintf("--n=%d", *mutants)).CombinedOutput()
			if m.breaks == breaksNothing {
				if err != nil {
					t.Errorf("histories: %v\n%s", err, out[max(0, len(out)-8000):])
				}
				checkHarmless(t, changed)
				return
			}
			found := foundBy.FindSubmatch(out)
			switch {
			case err == nil:
				t.Fatalf("%d histories did not find it: %s", *mutants, m.about)
			case found == nil:
				t.Fatalf("no history tells of it: %v\n%s", err, out[max(0, len(out)-8000):])
			case !regexp.MustCompile(`^(` + m.breaks + `):`).Match(found[2]):
				t.Errorf("it should break %q", m.breaks)
			}
			t.Logf("%s\nfound by history %s: %s", m.about, found[1], found[2])
			if tried := triedOf.FindSubmatch(out); tried != nil {
				t.Logf("it took %s", tried[0])
			}
		})
	}
}

// overlay writes the changed files, and the overlay that tells the compiler of them, to dir.
func (m mutant) overlay(t *testing.T, patch, root, dir string) (file string) {
	overlay := map[string]map[string]string{"Replace": {}}
	for file, hunks := range m.files {
		old, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatalf("%s\n%s", err, m.refresh(patch))
		}
		text, err := applied(string(old), hunks)
		if err != nil {
			t.Fatalf("%s: %s: %s\n%s", patch, file, err, m.refresh(patch))
		}
		to := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay["Replace"][filepath.Join(root, file)] = to
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// findByTests wants each of the mutant's tests to fail with the bug. That they pass without
// it is the business of their own package.
func findByTests(t *testing.T, m mutant, patch, changed string) {
	pkg, tests := m.tests[0], m.tests[1:]
	args := []string{"test", "-count=1", "-vet=off", "-timeout=2m", "-overlay=" + changed, "-run=^(" + strings.Join(tests, "|") + ")$", "../../" + pkg}
	out, err := exec.Command("go", args...).CombinedOutput()
	if err == nil {
		t.Fatalf("%s did not find it: %s", strings.Join(m.tests, " "), m.about)
	}
	for _, name := range tests {
		if !regexp.MustCompile(`(?m)^--- FAIL: ` + name + `\b`).Match(out) {
			t.Errorf("%s in %s did not find it: %s\n%s\n%s", name, pkg, m.about, out[max(0, len(out)-8000):], m.refresh(patch))
		}
	}
	t.Logf("%s\nfound by %s", m.about, strings.Join(m.tests, " "))
}

var (
	foundBy = regexp.MustCompile(`history (\d+): \d+ violations.*\n\s*(.+)`)
	triedOf = regexp.MustCompile(`\d+ histories in \S+`)
)

// checkHarmless wants a mutant to decide, count and record what we do.
func checkHarmless(t *testing.T, changed string) {
	decided := func(args ...string) (all []string) {
		args = append(append([]string{"test", "-count=1", "-run=^TestOutcomes$", "-v"}, args...), "../../k8s/scheduler", "-outcomes.words=false")
		out, err := exec.Command("go", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out[max(0, len(out)-8000):])
		}
		for _, line := range regexp.MustCompile(`decided: (.+)`).FindAllSubmatch(out, -1) {
			all = append(all, string(line[1]))
		}
		return all
	}
	ours := decided()
	if diff := cmp.Diff(ours, decided("-overlay="+changed)); diff != "" || len(ours) < 10 {
		t.Errorf("%d outcomes; what is decided (-ours +the mutant's):\n%s", len(ours), diff)
	}
	t.Logf("%d outcomes and %d histories are as ever", len(ours), *mutants)
}

func (m mutant) refresh(patch string) string {
	return fmt.Sprintf(`The code has changed since this mutant was made. Make the same mistake in the code
as it is now, keep it as a patch, and take it back:
  git diff -- %[2]s > diff && git checkout -- %[2]s
  (sed -n '/^--- /q;p' test/histories/%[1]s; cat diff) > diff.new && mv diff.new test/histories/%[1]s && rm diff
If the code can't be wrong in this way any more, remove the mutant.`, patch, strings.Join(slices.Sorted(maps.Keys(m.files)), " "))
}

// mutant is a patch: what it is about, which invariants it may break (what stands before the
// colon of a violation) or which package's tests find it, and its hunks by file.
type mutant struct {
	about, breaks string
	tests         []string // a package, and names of its tests
	files         map[string][]hunk
}

// hunk is what is to be replaced, with its surroundings, and by what. Line
// numbers don't matter.
type hunk struct{ old, new string }

func readMutant(t *testing.T, patch string) mutant {
	t.Helper()
	b, err := os.ReadFile(patch)
	if err != nil {
		t.Fatal(err)
	}
	m, file := mutant{files: map[string][]hunk{}}, ""
	for line := range strings.Lines(string(b)) {
		hunks := m.files[file]
		switch {
		case strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "index "):
		case strings.HasPrefix(line, "+++ b/"):
			file = strings.TrimSpace(strings.TrimPrefix(line, "+++ b/"))
		case strings.HasPrefix(line, "@@"):
			m.files[file] = append(hunks, hunk{})
		case len(hunks) > 0:
			h := &hunks[len(hunks)-1]
			if line[0] != '+' {
				h.old += line[1:]
			}
			if line[0] != '-' {
				h.new += line[1:]
			}
		case strings.HasPrefix(line, "breaks: "):
			m.breaks = strings.TrimSpace(strings.TrimPrefix(line, "breaks: "))
		case strings.HasPrefix(line, "found by: "):
			m.tests = strings.Fields(strings.TrimPrefix(line, "found by: "))
		default:
			m.about += line
		}
	}
	m.about = strings.TrimSpace(m.about)
	byTests := len(m.tests) > 1
	if m.about == "" || (m.breaks == "") != byTests || len(m.files) == 0 {
		t.Fatalf("%s: it begins with a sentence about the bug and a line \"breaks: \", or \"found by: \" with a package and its tests; then comes a unified diff", patch)
	}
	return m
}

// applied puts hunks into a text. Each must fit at exactly one place.
func applied(text string, hunks []hunk) (string, error) {
	for i, h := range hunks {
		if n := strings.Count(text, h.old); n != 1 {
			return "", fmt.Errorf("hunk %d fits at %d places, want one:\n%s", i+1, n, h.old)
		}
		text = strings.Replace(text, h.old, h.new, 1)
	}
	return text, nil
}

// A patch that fits nowhere, or twice, says so.
func TestMutantApplies(t *testing.T) {
	for _, tt := range []struct {
		name, text, old string
		ok              bool
	}{
		{"once", "a\nb\nc\n", "b\n", true},
		{"gone", "a\nc\n", "b\n", false},
		{"twice", "b\nb\n", "b\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := applied(tt.text, []hunk{{tt.old, "x\n"}})
			if (err == nil) != tt.ok || tt.ok && !slices.Equal(strings.Fields(got), []string{"a", "x", "c"}) {
				t.Errorf("applied: %q, %v; want ok: %v", got, err, tt.ok)
			}
		})
	}
}
