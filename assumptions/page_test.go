package assumptions

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the tables of docs/assumptions.md anew")

const (
	page = "../docs/assumptions.md"
	from = "<!-- the tables: go test ./assumptions -update -->\n"
)

// The page says of each assumption what the table says.
func TestPage(t *testing.T) {
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, have, found := strings.Cut(string(b), from)
	if !found {
		t.Fatalf("%s has no line %q", page, from)
	}
	want := tables()
	if *update {
		if err := os.WriteFile(page, []byte(head+from+want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("go test ./assumptions -update writes the page anew (-want +have):\n%s", diff)
	}
}

func tables() string {
	var out strings.Builder
	for _, section := range []struct {
		title string
		rows  []Assumption
	}{
		{"Acquiring a job", acquireTable}, {"An agent and its job", sessionTable}, {"A stack's calls", stackTable}, {"A pipeline's steps", pipelineTable},
	} {
		fmt.Fprintf(&out, "\n## %s\n", section.title)
		for _, a := range section.rows {
			fmt.Fprintf(&out, "\n### %s\n\n%s\n\n| answer | Buildkite | onejob |\n|---|---|---|\n", a.Name, a.Question)
			for i, s := range a.Sides {
				name := "`" + s.Name + "`"
				if i == 0 {
					name += ", shipped"
				}
				fmt.Fprintf(&out, "| %s | %s | %s |\n", name, s.Buildkite, s.Onejob)
			}
			fmt.Fprintf(&out, "\nSettled by: %s\n", a.Settles)
		}
	}
	out.WriteString("\n## Not played\n\nNo profile answers these.\n\n| question | settled by | why it isn't played |\n|---|---|---|\n")
	for _, a := range Unplayed {
		fmt.Fprintf(&out, "| %s | %s | %s |\n", a.Question, a.Settles, a.Why)
	}
	return out.String()
}
