package reference

import (
	"encoding/json"
	"slices"
	"strings"
)

// required are the keys that can't be left out.
func required(of []Setting) (keys []string) {
	for _, s := range of {
		if s.Required {
			keys = append(keys, s.Key)
		}
	}
	return keys
}

// without is a text for those who read it as it is.
func without(text string) string { return strings.ReplaceAll(text, "`", "") }

// complete is all of a setting's JSON schema.
func (s *Setting) complete() object {
	out := slices.Clone(s.schema)
	if keys := required(s.Of); s.isMapping && keys != nil {
		out = append(out, pair{"required", keys})
	}
	if s.Default != nil {
		out = append(out, pair{"default", s.Default})
	}
	if s.Text != "" {
		out = append(out, pair{"description", without(s.Text)})
	}
	if s.isMapping {
		out = append(out, pair{"properties", properties(s.Of)})
	}
	return out
}

func properties(of []Setting) (out lines) {
	for _, s := range of {
		out = append(out, pair{s.Key, s.complete()})
	}
	return out
}

// Schema is the JSON schema of onejob.yaml.
func Schema(settings []Setting) string {
	var b strings.Builder
	write(&b, object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "onejob schedule"}, {"type", "object"}, {"additionalProperties", false},
		{"required", required(settings)}, {"properties", properties(settings)},
	}, "\n")
	return b.String() + "\n"
}

// write writes JSON: an object that has lines in it is on lines, and anything else on one.
func write(b *strings.Builder, v any, line string) {
	switch v := v.(type) {
	case *Setting:
		write(b, v.complete(), line)
	case lines:
		pairs(b, object(v), "{"+line+"  ", ","+line+"  ", line)
	case object:
		if deep(v) {
			write(b, lines(v), line)
			return
		}
		pairs(b, v, "{", ", ", line)
	case []object:
		items(b, v, line)
	case []string:
		items(b, v, line)
	default: // a string, a number or a bool
		e := json.NewEncoder(trimmed{b})
		e.SetEscapeHTML(false)
		_ = e.Encode(v)
	}
}

// pairs writes an object; before is what is before its first key, between what is before
// the others, and its end begins a line if they do.
func pairs(b *strings.Builder, o object, before, between, line string) {
	for i, p := range o {
		b.WriteString(map[bool]string{true: before, false: between}[i == 0])
		write(b, p.key, line)
		b.WriteString(": ")
		write(b, p.value, line+"  ")
	}
	if strings.HasPrefix(between, ",\n") {
		b.WriteString(line)
	}
	b.WriteString("}")
}

func items[T any](b *strings.Builder, list []T, line string) {
	for i, item := range list {
		b.WriteString(map[bool]string{true: "[", false: ", "}[i == 0])
		write(b, item, line)
	}
	b.WriteString("]")
}

// deep: there are lines in it.
func deep(v any) bool {
	switch v := v.(type) {
	case *Setting:
		return deep(v.complete())
	case lines:
		return true
	case object:
		return slices.ContainsFunc(v, func(p pair) bool { return deep(p.value) })
	}
	return false
}

// trimmed leaves out the newline that an encoder writes.
type trimmed struct{ *strings.Builder }

func (t trimmed) Write(p []byte) (int, error) {
	t.WriteString(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}
