package moving

import (
	"fmt"

	"github.com/onejob-dev/onejob/contract"
)

// Kinds of values that rows take. A value of another kind is named, and nothing of it is
// in the configuration.

func (m *mover) unread(key string, v any) {
	m.note(key, "its value isn't understood: "+contract.Line(fmt.Sprintf("%v", v), 60))
}

func of(is func(any) bool, do row) row {
	return func(m *mover, key string, v any) {
		if is(v) {
			do(m, key, v)
		} else {
			m.unread(key, v)
		}
	}
}

// words takes what a variable can have: one value, or a list of such.
func words(do row) row { return of(isWords, do) }

// word takes one value.
func word(do row) row { return of(isWord, do) }

func mapping(do row) row { return of(isMapping, do) }

// volume takes a volume that has a name.
func volume(do row) row { return of(isVolume, do) }

// mappings takes a list of mappings.
func mappings(do row) row { return of(isMappings, do) }

func isWord(v any) bool {
	switch v.(type) {
	case string, bool, float64:
		return true
	}
	return false
}

func isWords(v any) bool {
	items, isList := v.([]any)
	for _, item := range items {
		if !isWord(item) {
			return false
		}
	}
	return isList || isWord(v)
}

func isMapping(v any) bool {
	_, ok := v.(map[string]any)
	return ok
}

func isVolume(v any) bool {
	volume, _ := v.(map[string]any)
	name, _ := volume["name"].(string)
	return name != ""
}

func isMappings(v any) bool {
	items, isList := v.([]any)
	for _, item := range items {
		if !isMapping(item) {
			return false
		}
	}
	return isList
}
