package status

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// docs/monitoring.md has each field of the JSON at its place, the states and the phases,
// and no other.
func TestDocumentedJSON(t *testing.T) {
	b, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	_, text, found := strings.Cut(text, "`/?format=json` has the same data")
	text, _, ends := strings.Cut(text, "\n## ")
	_, block, begins := strings.Cut(text, "\n\n")
	block, words, after := strings.Cut(block, "\n\n")
	if !found || !ends || !begins || !after {
		t.Fatal("docs/monitoring.md has another shape")
	}

	var c Cluster
	fill(reflect.ValueOf(&c).Elem())
	var answer any
	if err := json.Unmarshal(get(t, c, "/?format=json").Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	paths(answer, "", served)
	documented, states := inBlock(block)
	if diff := cmp.Diff(sorted(served), sorted(documented)); diff != "" {
		t.Errorf("-served +documented\n%s", diff)
	}
	if want := []string{Ready, Paused, Stopped, Starting, Standby}; !slices.Equal(states, want) {
		t.Errorf("documented are the states %v, want %v", states, want)
	}
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(words, -1) {
		told[m[1]] = true
	}
	for _, phase := range Phases {
		if !told[phase] {
			t.Errorf("the phase %s isn't documented", phase)
		}
	}
	if len(told) != len(Phases) {
		t.Errorf("documented are the phases %v, want %v", sorted(told), Phases)
	}
}

// fill gives each field a value, so that none is left out, and each list one element.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(at))
			return
		}
		for _, f := range v.Fields() {
			fill(f)
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Int:
		v.SetInt(1)
	default:
		panic(fmt.Sprintf("no value for a %s", v.Type()))
	}
}

// paths are the keys of objects, each after those that it is in.
func paths(value any, in string, to map[string]bool) {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			to[in+key] = true
			paths(inner, in+key+".", to)
		}
	case []any:
		for _, inner := range value {
			paths(inner, in, to)
		}
	}
}

// inBlock reads the same of the documented block, where most keys have no value and the
// states stand as a|b.
func inBlock(block string) (keys map[string]bool, states []string) {
	keys = map[string]bool{}
	var in []string
	last := ""
	for _, m := range regexp.MustCompile(`"([^"]+)"|[{}]`).FindAllStringSubmatch(block, -1) {
		switch {
		case m[0] == "{":
			in = append(in, last)
		case m[0] == "}":
			in = in[:len(in)-1]
		case strings.Contains(m[1], "|"):
			states = strings.Split(m[1], "|")
		default:
			last = m[1]
			keys[strings.TrimPrefix(strings.Join(append(slices.Clone(in), last), "."), ".")] = true
		}
	}
	return keys, states
}

func sorted(set map[string]bool) (out []string) {
	for s := range set {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}
