package policy

import (
	"regexp"
	"slices"
	"strings"
)

// matches reports whether a pattern matches a whole name: * matches any part without a /,
// ** any part.
func matches(pattern, name string) bool {
	var re strings.Builder
	for i, part := range strings.Split(pattern, "**") {
		if i > 0 {
			re.WriteString(".*")
		}
		for j, word := range strings.Split(part, "*") {
			if j > 0 {
				re.WriteString("[^/]*")
			}
			re.WriteString(regexp.QuoteMeta(word))
		}
	}
	return regexp.MustCompile(`\A(?s:` + re.String() + `)\z`).MatchString(name)
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}
