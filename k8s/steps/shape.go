package steps

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/onejob-dev/onejob/contract"
)

var (
	quantityType = reflect.TypeFor[resource.Quantity]()
	unmarshaler  = reflect.TypeFor[json.Unmarshaler]()
	pullPolicies = []string{string(corev1.PullAlways), string(corev1.PullIfNotPresent), string(corev1.PullNever)}
	interposers  = []string{string(InterposeBuildkite), string(InterposeVector), string(InterposeLegacy)}
)

// maxListed is the largest number of known fields that an error lists: a PodSpec has forty.
const maxListed = 30

// read fills to, a pointer, with a JSON value that has its shape, and reports whether it did.
// What is read is what was checked: of a key that is there twice v has one.
func (f *faults) read(at string, v, to any) bool {
	before := len(f.list)
	f.shape(at, v, reflect.TypeOf(to))
	if len(f.list) > before {
		return false
	}
	checked, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(checked, to)
	}
	if err != nil { // a quantity, a date: what only its own type can read
		f.bad(at, "%s", contract.Line(err.Error(), 3*maxShown))
	}
	return err == nil
}

// shape holds a JSON value against the type that it is for, and says every field that
// the type lacks and every value of another kind. encoding/json would say the first
// alone, and take PODSPEC for podSpec.
func (f *faults) shape(at string, v any, t reflect.Type) {
	if v == nil {
		return
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == quantityType {
		f.quantity(at, v)
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return // a quantity, a time, a number or a name: it reads itself
	}
	switch t.Kind() {
	case reflect.Struct:
		if m, ok := v.(map[string]any); ok {
			f.fields(at, m, t)
		} else {
			f.bad(at, "%s, but it must be a mapping", kindOf(v))
		}
	case reflect.Map:
		m, ok := v.(map[string]any)
		if !ok {
			f.bad(at, "%s, but it must be a mapping", kindOf(v))
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			f.shape(at+"."+shown(k), m[k], t.Elem())
		}
	case reflect.Slice:
		f.entries(at, v, t)
	default:
		f.scalar(at, v, t)
	}
}

func (f *faults) fields(at string, m map[string]any, t reflect.Type) {
	known := fieldsOf(t)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if of, ok := known[k]; ok {
			f.shape(at+"."+k, m[k], of)
			continue
		}
		f.unknown(at, k, slices.Sorted(maps.Keys(known)))
	}
}

func (f *faults) unknown(at, key string, known []string) {
	if strings.HasPrefix(key, "$") {
		f.bad(at, "%s: there are no directives here; a patch adds and replaces, it can't remove", shown(key))
		return
	}
	text := "there is no such field"
	if nearest := nearest(key, known); nearest != "" {
		text += ", but there is " + nearest
	}
	if len(known) <= maxListed {
		text += ". There are " + list(known)
	}
	f.bad(at+"."+shown(key), "%s", text)
}

func (f *faults) entries(at string, v any, t reflect.Type) {
	if t.Elem().Kind() == reflect.Uint8 {
		f.scalar(at, v, reflect.TypeFor[string]())
		return
	}
	entries, ok := v.([]any)
	if !ok {
		f.bad(at, "%s, but it must be a list", kindOf(v))
	}
	if len(entries) > maxEntries && t.Elem().Kind() == reflect.Struct {
		f.bad(at, "it has %d entries, and a list of a step's may have %d", len(entries), maxEntries)
		return
	}
	for i, entry := range entries {
		m, _ := entry.(map[string]any)
		name, _ := m["name"].(string)
		f.shape(place(at, i, name), entry, t.Elem())
	}
}

// hugeExponent matches an exponent of three digits or more: Quantity's parser computes such
// a number digit by digit.
var hugeExponent = regexp.MustCompile(`[eE][+-]?[0-9]{3}`)

func (f *faults) quantity(at string, v any) {
	const longest = 32
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case float64:
		text = strconv.FormatFloat(v, 'g', -1, 64)
	}
	if len(text) > longest || hugeExponent.MatchString(text) {
		f.bad(at, "%q is not a valid amount: write it with %d characters at the most, and an exponent of two digits, such as 1500m or 2Gi", shown(text), longest)
	}
}

func (f *faults) scalar(at string, v any, t reflect.Type) {
	want, fits := "a string", false
	switch t.Kind() {
	case reflect.Bool:
		want = "true or false"
		_, fits = v.(bool)
	case reflect.Int, reflect.Int32, reflect.Int64:
		want = "a whole number"
		n, number := v.(float64)
		fits = number && n == float64(int64(n))
	case reflect.String:
		var s string
		if s, fits = v.(string); strings.ContainsRune(s, 0) {
			f.bad(at, "it has a NUL character in it, which no container can be given")
		}
	default:
		return
	}
	if !fits {
		f.bad(at, "%s, but it must be %s%s", kindOf(v), want, quotes(v, t))
	}
}

// quotes is the hint for the commonest of all: a number where Kubernetes has a string.
func quotes(v any, t reflect.Type) string {
	switch v.(type) {
	case float64, bool:
		if t.Kind() == reflect.String {
			return ": put it in quotes"
		}
	}
	return ""
}

func kindOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "it is a mapping"
	case []any:
		return "it is a list"
	case string:
		return fmt.Sprintf("it is the string %q", shown(v))
	}
	return fmt.Sprintf("it is %v", v)
}

// fieldsOf are a struct's fields by their names in JSON, those of what it embeds among
// them.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name == "" && field.Anonymous:
			maps.Copy(fields, fieldsOf(field.Type))
		case name != "":
			fields[name] = field.Type
		}
	}
	return fields
}

// nearest is the known word that differs least from key, empty if more than a third of key's
// letters differ.
func nearest(key string, known []string) string {
	best, least := "", len(key)/3+1
	if len(key) > 2*maxShown {
		return ""
	}
	for _, word := range known {
		if d := distance(strings.ToLower(key), strings.ToLower(word)); d < least {
			best, least = word, d
		}
	}
	return best
}

// distance is Levenshtein's, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := last
			if a[i] != b[j] {
				change++
			}
			last = row[j+1]
			row[j+1] = min(change, row[j]+1, last+1)
		}
	}
	return row[len(b)]
}

func shown(s string) string { return contract.Line(s, maxShown) }
