// Package pages reads the pages for users as tests need them: each command that a
// reader is told to type, and each block of YAML.
//
//	Commands(t) -> "kubectl -n onejob exec deploy/onejob -- onejob jobs | grep x"
//	               is three: kubectl …, onejob jobs, grep x
//	Blocks(t)   -> what stands between ```yaml and ```
package pages

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/test/repo"
)

// Command is one program with its arguments.
type Command struct {
	// Page is the page's path in the repository.
	Page  string
	Words []string
	// Inline: it stands in a sentence, where a part of a command is enough.
	Inline bool
}

// Program is the name of the program.
func (c Command) Program() string { return filepath.Base(c.Words[0]) }

// String is the command and where it stands.
func (c Command) String() string { return c.Page + ": " + strings.Join(c.Words, " ") }

// Block is a fenced block of a page.
type Block struct{ Page, Language, Text string }

// Programs are those that the pages may use. A line of a block of commands that begins
// with anything else is an error.
var Programs = []string{
	"onejob", "onejob-agent", "onejob-sim", "kubectl", "helm", "make", "docker", "buildkite-agent", "export",
	"curl", "grep", "tail", "go", "git", "vault", "cd", "promtool",
}

var (
	fence  = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	inline = regexp.MustCompile("`((?:onejob|onejob-agent|onejob-sim|kubectl|helm) [^`\n]+)`")
	quoted = regexp.MustCompile("(?m)^\n((?: {4,}\\S.*\n|\n {4,}\\S.*\n)+)") // a line of a list has none before it
)

// Paths are the pages.
func Paths(tb testing.TB) (root string, paths []string) {
	tb.Helper()
	root, err := repo.Root()
	if err != nil {
		tb.Fatal(err)
	}
	for _, pattern := range []string{"README.md", "SECURITY.md", "docs/*.md", "deploy/*.md", "deploy/*/*.md", "examples/*.md", "examples/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			tb.Fatal(err)
		}
		for _, f := range found {
			paths = append(paths, strings.TrimPrefix(f, root+"/"))
		}
	}
	return root, paths
}

// each calls f for each page.
func each(tb testing.TB, f func(path, text string)) {
	tb.Helper()
	root, paths := Paths(tb)
	for _, path := range paths {
		b, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			tb.Fatal(err)
		}
		f(path, string(b))
	}
}

// Blocks are all fenced blocks with a language.
func Blocks(tb testing.TB) (blocks []Block) {
	tb.Helper()
	each(tb, func(path, text string) {
		for _, m := range fence.FindAllStringSubmatch(text, -1) {
			if m[1] != "" {
				blocks = append(blocks, Block{path, m[1], m[2]})
			}
		}
	})
	return blocks
}

// Commands are all commands: those of indented and of shell blocks, and those that
// stand in sentences. Without programs it returns those of all.
func Commands(tb testing.TB, programs ...string) (commands []Command) {
	tb.Helper()
	add := func(path, line string, inline bool) {
		for _, words := range Split(line) {
			for words != nil {
				c := Command{path, words, inline}
				if len(programs) == 0 || slices.Contains(programs, c.Program()) {
					commands = append(commands, c)
				}
				words = within(words)
			}
		}
	}
	each(tb, func(path, text string) {
		for _, m := range fence.FindAllStringSubmatch(text, -1) {
			if slices.Contains([]string{"sh", "bash", "shell", "console"}, m[1]) {
				typed(m[2], func(line string) { add(path, line, false) })
			}
		}
		text = fence.ReplaceAllString(text, "")
		for _, block := range quoted.FindAllStringSubmatch(text, -1) {
			if !isDrawing(block[1]) {
				typed(block[1], func(line string) { add(path, line, false) })
			}
		}
		for _, m := range inline.FindAllStringSubmatch(text, -1) {
			add(path, m[1], true)
		}
	})
	return commands
}

// isDrawing: an indented block that shows something else than commands: a picture, a few
// lines of YAML, or what a program says.
func isDrawing(block string) bool {
	line, _, _ := strings.Cut(strings.TrimSpace(block), "\n")
	first, _, _ := strings.Cut(line, " ")
	says := !slices.Contains(Programs, first) && (strings.Contains(line, ": ") || strings.HasSuffix(line, ":"))
	return says || strings.ContainsAny(block, "─│▶")
}

// typed calls f for each line of a block, with its continuations.
func typed(block string, f func(line string)) {
	for line := range strings.SplitSeq(strings.ReplaceAll(block, "\\\n", " "), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			f(line)
		}
	}
}

// within is the command that a command runs: kubectl exec … -- COMMAND, and
// kubectl onejob. It is nil if there is none.
func within(words []string) []string {
	if words[0] != "kubectl" {
		return nil
	}
	if i := slices.Index(words, "--"); i > 0 && i+1 < len(words) {
		return words[i+1:]
	}
	if len(words) > 1 && words[1] == "onejob" {
		return words[1:]
	}
	return nil
}

// Split cuts a line of a shell into its commands, and these into words: without
// comments, without the files that > and < name, and without the "…" that stands for
// more.
func Split(line string) (commands [][]string) {
	var words []string
	var word strings.Builder
	begun, redirected := false, false
	endWord := func() {
		if w := word.String(); begun && !redirected && w != "…" {
			words = append(words, w)
		}
		if begun {
			redirected = false
		}
		word.Reset()
		begun = false
	}
	end := func() {
		if endWord(); len(words) > 0 {
			commands = append(commands, words)
		}
		words = nil
	}
	quote := rune(0)
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case r == ' ':
			endWord()
		case r == '#' && !begun:
			end()
			return commands
		case r == '|' || r == '&' || r == ';':
			end()
		case r == '>' || r == '<':
			endWord()
			redirected = true
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	end()
	return commands
}
