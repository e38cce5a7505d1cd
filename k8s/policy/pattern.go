package policy

import (
	"regexp"
	"slices"
)

// matches reports whether a pattern matches a whole name: * matches any part without a /,
// ** any part.
func matches(pattern, name string) bool {
	return regexp.MustCompile(`\A(?s:` + expression(pattern) + `)\z`).MatchString(name)
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}
