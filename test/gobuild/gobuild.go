// Package gobuild runs `go build` and tells how far it is: the first build of
// what the tests and the demo run compiles over two thousand packages, which
// takes minutes on two cores.
//
//	go build -v ──names of packages, as each is compiled──▶ "812 of 2104 packages, 3m20s: k8s.io/apiserver/…"
//	go list  ──how many are to be compiled────────────────────────┘
package gobuild

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Build is one `go build`.
type Build struct {
	Args []string // of go, after "build"
	Dir  string
	Env  []string // the whole environment; nil is ours
	// Progress is where it is told how far the build is, nil for nowhere: one line
	// that changes on a terminal, a line every half minute elsewhere. What takes
	// less than two seconds is told nothing about.
	Progress *os.File
}

// Program builds packages into out, a file or a folder, as they are shipped: with
// the flags of `make build`, so that no package is compiled for it alone. dir is
// where the packages' paths start, the current one if it is empty.
func Program(ctx context.Context, dir, out string, packages ...string) error {
	args := append([]string{"-trimpath", "-tags=urfave_cli_no_docs", "-buildvcs=false", "-ldflags", "-s -w", "-o", out}, packages...)
	return Build{Args: args, Dir: dir, Env: append(os.Environ(), "CGO_ENABLED=0")}.Run(ctx)
}

// The progress of a build that takes longer than quiet is told.
const (
	quiet        = 2 * time.Second
	everyOnTerm  = 500 * time.Millisecond
	everyOnPipes = 30 * time.Second
)

// Run builds. The error has what go printed.
func (b Build) Run(ctx context.Context) error {
	cmd := b.command(ctx, append([]string{"build", "-v"}, b.Args...)...)
	lines, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &progress{name: b.name(), began: time.Now(), out: b.Progress}
	told, stop := context.WithCancel(ctx)
	var telling sync.WaitGroup
	if b.Progress != nil {
		telling.Go(func() { p.tell(told, func() int { return b.stale(told) }) })
	}
	printed := p.read(lines)
	err = cmd.Wait()
	stop()
	telling.Wait()
	if err != nil {
		return fmt.Errorf("go build %s: %w\n%s", strings.Join(b.Args, " "), err, printed)
	}
	return nil
}

func (b Build) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = b.Dir, b.Env
	return cmd
}

// stale counts the packages that are still to be compiled, 0 if it can't.
func (b Build) stale(ctx context.Context) int {
	args := []string{"list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"}
	for i := 0; i < len(b.Args); i++ {
		if b.Args[i] == "-o" {
			i++ // and its value
			continue
		}
		args = append(args, b.Args[i])
	}
	out, err := b.command(ctx, args...).Output()
	if err != nil {
		return 0
	}
	return len(bytes.Fields(out))
}

// name is the base name of what is built, empty if go chooses it.
func (b Build) name() string {
	if i := slices.Index(b.Args, "-o"); i >= 0 && i+1 < len(b.Args) {
		return strings.TrimSuffix(filepath.Base(b.Args[i+1]), ".new") + ": "
	}
	return ""
}

// progress is what is known of a build that runs.
type progress struct {
	name  string
	began time.Time
	out   *os.File

	mu   sync.Mutex
	done int
	last string
}

// read takes in the names that go prints, and returns what else it printed.
func (p *progress) read(r io.Reader) string {
	var rest strings.Builder
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := scanner.Text()
		if line == "" || strings.ContainsAny(line, " \t:#") {
			rest.WriteString(line + "\n")
			continue
		}
		p.mu.Lock()
		p.done, p.last = p.done+1, line
		p.mu.Unlock()
	}
	return rest.String()
}

func (p *progress) tell(ctx context.Context, count func() int) {
	terminal := term.IsTerminal(int(p.out.Fd()))
	every := everyOnPipes
	if terminal {
		every = everyOnTerm
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(quiet):
	}
	p.mu.Lock()
	total := p.done
	p.mu.Unlock()
	total += count()
	for tick := time.NewTicker(every); ; {
		switch {
		case !p.worthTelling(total):
		case terminal:
			fmt.Fprintf(p.out, "\r\x1b[K  %s", p.line(total))
		default:
			fmt.Fprintf(p.out, "  %s\n", p.line(total))
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			if terminal {
				fmt.Fprint(p.out, "\r\x1b[K")
			}
			return
		case <-tick.C:
		}
	}
}

// worthTelling: a package was compiled, and there are a few of them. A build that
// only links says nothing.
func (p *progress) worthTelling(total int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done > 0 && max(total, p.done) >= 10
}

// line says how far the build is.
func (p *progress) line(total int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := ""
	if total > p.done {
		of = fmt.Sprintf(" of %d", total)
	}
	return fmt.Sprintf("%scompiled %d%s packages in %s, now %s", p.name, p.done, of, time.Since(p.began).Round(time.Second), p.last)
}
