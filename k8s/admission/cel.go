package admission

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onejob-dev/onejob/k8s/policy"
)

// quoted is a string literal of CEL.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f || r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// listed is a list literal.
func listed(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = quoted(w)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// among: a value is what one of the patterns stands for.
func among(value string, patterns []string) string {
	return value + ".matches(" + quoted(policy.Expression(patterns)) + ")"
}

func all(of ...string) string { return "(" + strings.Join(of, " && ") + ")" }

func either(of ...string) string { return "(" + strings.Join(of, " || ") + ")" }

// list is a field that may be absent, of something that is there.
func list(of, field string) string { return optional(of, field) + ".orValue([])" }

func optional(of, fields string) string {
	return of + ".?" + strings.ReplaceAll(fields, ".", ".?")
}

var variable = regexp.MustCompile(`\{\{env\.[A-Za-z0-9_]*\}\}`)

// same: what stands there has all that a value of JSON has. The API server may have added
// defaults; the caller says which fields else there may be.
func same(at string, v any) string {
	switch v := v.(type) {
	case map[string]any:
		of := []string{"true"}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			of = append(of, quoted(k)+" in "+at, same(at+"["+quoted(k)+"]", v[k]))
		}
		return all(of...)
	case []any:
		of := []string{fmt.Sprintf("size(%s) == %d", at, len(v))}
		for i := range v {
			of = append(of, same(fmt.Sprintf("%s[%d]", at, i), v[i]))
		}
		return all(of...)
	case string:
		if variable.MatchString(v) {
			return at + ".matches(" + quoted("^"+filled(v)+"$") + ")"
		}
		return at + " == " + quoted(v)
	case bool:
		return at + " == " + strconv.FormatBool(v)
	case float64:
		return at + " == " + strconv.FormatInt(int64(v), 10)
	}
	return "true"
}

// only: it has no other keys than a value of JSON, but for those that the API server adds.
func only(at string, v any, defaults ...string) string {
	m, _ := v.(map[string]any)
	return at + ".all(k, k in " + listed(append(slices.Sorted(maps.Keys(m)), defaults...)) + ")"
}

// exactly: what stands there has all that a value of JSON has, and at no depth more. It is
// for what the API server adds no defaults to.
func exactly(at string, v any) string { return all(append([]string{same(at, v)}, closed(at, v)...)...) }

// closed: at no depth of it are other keys.
func closed(at string, v any) (of []string) {
	switch v := v.(type) {
	case map[string]any:
		of = append(of, only(at, v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			of = append(of, closed(at+"["+quoted(k)+"]", v[k])...)
		}
	case []any:
		for i := range v {
			of = append(of, closed(fmt.Sprintf("%s[%d]", at, i), v[i])...)
		}
	}
	return of
}

// filled is a string of a template with variables, as a regular expression.
func filled(s string) string {
	parts := variable.Split(s, -1)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return strings.Join(parts, `[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,252}`)
}

// object is a value as JSON has it.
func object(v any) (out any) {
	doc, err := json.Marshal(v)
	if err != nil || json.Unmarshal(doc, &out) != nil {
		return nil
	}
	return out
}

func field(v any, path ...string) any {
	for _, k := range path {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}
