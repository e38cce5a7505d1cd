package gobuild

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "go.mod", "module example.test/x\n\ngo 1.26\n")
	write(t, dir, "main.go", "package main\n\nfunc main() {}\n")
	b := Build{Args: []string{"-o", filepath.Join(dir, "x"), "."}, Dir: dir}
	if n := b.stale(t.Context()); n < 1 {
		t.Errorf("%d packages are to be compiled before the build, want at least its own", n)
	}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "x")); err != nil {
		t.Error(err)
	}

	write(t, dir, "main.go", "package main\n\nfunc main() { undefined() }\n")
	if err := b.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "undefined: undefined") {
		t.Errorf("a program that doesn't compile: %v, want the compiler's words", err)
	}
}

func TestProgress(t *testing.T) {
	p := &progress{name: "x: ", began: time.Now()}
	if p.worthTelling(100) {
		t.Error("a build that has compiled nothing yet is worth telling")
	}
	rest := p.read(strings.NewReader("fmt\nexample.test/a\n# example.test/a\na.go:1:2: wrong\nexample.test/b\n"))
	if want := "# example.test/a\na.go:1:2: wrong\n"; rest != want {
		t.Errorf("the rest is %q, want %q", rest, want)
	}
	if p.worthTelling(9) || !p.worthTelling(10) {
		t.Error("ten packages are worth telling, nine are not")
	}
	if got, want := p.line(7), "x: compiled 3 of 7 packages in 0s, now example.test/b"; got != want {
		t.Errorf("the line is %q, want %q", got, want)
	}
	if got, want := p.line(0), "x: compiled 3 packages in 0s, now example.test/b"; got != want {
		t.Errorf("without a total the line is %q, want %q", got, want)
	}
}
