package steps

import (
	"cmp"
	"regexp"
	"strings"
)

// line makes a command line of a container's command and args.
func (i Interposer) line(command, args []string) string {
	switch i {
	case InterposeVector:
		return quoted(append(append([]string(nil), command...), args...))
	case InterposeLegacy:
		return strings.Join(append(append([]string(nil), command...), args...), " ")
	}
	lines := strings.Join(command, "\n")
	if len(args) == 0 {
		return lines
	}
	return strings.TrimPrefix(lines+" "+quoted(args), " ")
}

// interposer is the step's, or else the queue's.
func interposer(params ...*CommandParams) Interposer {
	var i Interposer
	for _, p := range params {
		if p != nil {
			i = cmp.Or(i, p.Interposer)
		}
	}
	return i
}

// plainWord matches a word that needs no quotes in any shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quoted is words as a command line for a POSIX shell.
func quoted(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		if out[i] = w; !plainWord.MatchString(w) {
			out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}
