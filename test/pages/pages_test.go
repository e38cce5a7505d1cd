package pages

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	for line, want := range map[string][][]string{
		"":                      nil,
		"# a comment":           nil,
		"onejob jobs # all":     {{"onejob", "jobs"}},
		"a 'b c' d=\"e f\" | g": {{"a", "b c", "d=e f"}, {"g"}},
		"a > file b && c & d":   {{"a", "b"}, {"c"}, {"d"}},
		"a >file; b <in":        {{"a"}, {"b"}},
		"a '' … x#y":            {{"a", "", "x#y"}},
		"a '|&;' b":             {{"a", "|&;", "b"}},
	} {
		if diff := cmp.Diff(want, Split(line)); diff != "" {
			t.Errorf("%s: -want +got\n%s", line, diff)
		}
	}
}

// The commands of the pages are found, those within others too, and each line of a block
// of commands begins with a program that the pages may use.
func TestCommands(t *testing.T) {
	known := map[string]bool{}
	for _, p := range Programs {
		known[p] = true
	}
	count := map[string]int{}
	for _, c := range Commands(t) {
		count[c.Program()]++
		if !known[c.Program()] {
			t.Errorf("%s: %q isn't a program that the pages use", c, c.Program())
		}
	}
	for program, least := range map[string]int{"onejob": 60, "onejob-agent": 3, "onejob-sim": 3, "kubectl": 60, "helm": 5} {
		if count[program] < least {
			t.Errorf("found %d commands of %s", count[program], program)
		}
	}
}
