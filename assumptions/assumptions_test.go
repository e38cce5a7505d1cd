package assumptions

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each field of a Profile has its question, in the same order, with at least two answers and
// all the text for the page.
func TestTable(t *testing.T) {
	if n := profileType.NumField(); n != len(All) {
		t.Fatalf("%d fields, %d questions", n, len(All))
	}
	for i, a := range All {
		if fieldOf(a.Name) != i {
			t.Errorf("%s is the field %d, want %d", a.Name, fieldOf(a.Name), i)
		}
		if len(a.Sides) < 2 || a.Settles == "" || a.Why != "" || !strings.HasSuffix(a.Question, "?") {
			t.Errorf("%s isn't told whole: %+v", a.Name, a)
		}
		seen := map[string]bool{}
		for _, s := range a.Sides {
			if seen[s.Name] || s.Name == "" || s.Buildkite == "" || s.Onejob == "" {
				t.Errorf("%s: the side %+v is double or isn't told whole", a.Name, s)
			}
			seen[s.Name] = true
		}
	}
	for _, a := range Unplayed {
		if fieldOf(a.Name) >= 0 || a.Why == "" || a.Settles == "" || len(a.Sides) > 0 {
			t.Errorf("%s has a field, or isn't told whole", a.Name)
		}
	}
}

func TestOpposite(t *testing.T) {
	shipped := Shipped()
	if d := Diff(shipped, Profile{}); len(d) != 0 {
		t.Errorf("an empty profile differs from the shipped one in %v", d)
	}
	if d := Diff(shipped, shipped.Opposite()); len(d) != len(All) {
		t.Errorf("%d of %d answers differ", len(d), len(All))
	}
	if shipped.Opposite().Opposite() != shipped {
		t.Error("the opposite of the opposite is another one")
	}
	if got := shipped.String(); got != "as shipped" {
		t.Errorf("the shipped profile is %q", got)
	}
	if got := shipped.With("job-list", "late").String(); got != "job-list=late" {
		t.Errorf("the profile is %q", got)
	}
}

// A seed gives the same profile each time, and every answer appears.
func TestRandom(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		p := Random(rand.New(rand.NewPCG(seed, 1)))
		if p != Random(rand.New(rand.NewPCG(seed, 1))) {
			t.Fatalf("seed %d has two profiles", seed)
		}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		for _, a := range All {
			seen[a.Name+p.Answer(a.Name)] = true
		}
	}
	for _, a := range All {
		for _, s := range a.Sides {
			if !seen[a.Name+s.Name] {
				t.Errorf("%s is never %s", a.Name, s.Name)
			}
		}
	}
}

func TestParse(t *testing.T) {
	tests := []struct {
		name, text string
		want       Profile
		err        []string
	}{
		{"empty", "", Shipped(), nil},
		{"yaml", "job-list: late\n", Shipped().With("job-list", "late"), nil},
		{"json", `{"start-again": "refused"}`, Shipped().With("start-again", "refused"), nil},
		{"unknown question", "job-lists: late", Profile{}, []string{`"job-lists" is not one of unstarted-job,`, "exhausted-rule"}},
		{"unknown answer", "job-list: later", Profile{}, []string{`job-list: "later" is not one of current, late`}},
		{"both", "job-list: later\nx: y", Profile{}, []string{`"later"`, `"x"`}},
		{"no text", "job-list: 3", Profile{}, []string{"job-list must be a string"}},
		{"null", "job-list:", Profile{}, []string{"job-list must be a string"}},
		{"twice", "job-list: late\njob-list: current", Profile{}, []string{"job-list"}},
		{"list", "[]", Profile{}, []string{"reading the profile"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.text))
			if got != tt.want || (err != nil) != (tt.err != nil) {
				t.Errorf("Parse = %s, %v", got, err)
			}
			for _, want := range tt.err {
				if err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, err)
				}
			}
		})
	}
}

// Parse and Load read back the YAML of a profile.
func TestFile(t *testing.T) {
	want := Random(rand.New(rand.NewPCG(1, 2))).With("unknown-job-state", "null") // in YAML a word of its own
	path := filepath.Join(t.TempDir(), "profile.yaml")
	if err := os.WriteFile(path, want.YAML(), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(path); err != nil || got != want {
		t.Errorf("Load = %s, %v, want %s", got, err, want)
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Parse(text); err != nil || got != want {
		t.Errorf("as JSON: %s, %v, want %s", got, err, want)
	}
	for name, want := range map[string]Profile{NameShipped: Shipped(), NameOpposite: Shipped().Opposite()} {
		if got, err := Load(name); err != nil || got != want {
			t.Errorf("Load(%s) = %s, %v", name, got, err)
		}
	}
	if _, err := Load(path + ".no"); err == nil || !strings.Contains(err.Error(), "neither shipped nor opposite") {
		t.Errorf("a file that isn't there: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("job-list: late\n"))
	f.Add([]byte(`{"x": 1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(p.YAML()); err != nil || again != p {
			t.Errorf("read back: %s, %v, want %s", again, err, p)
		}
	})
}
