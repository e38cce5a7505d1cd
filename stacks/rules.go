package stacks

import "strings"

// Match reports whether a queue with these tags ("key=value") meets all of a job's
// agent query rules. A rule without a value after its =, or with the value *, asks for
// any value of its key (Buildkite's documentation, "Agent targeting"). onejob adds that
// a tag with the value * offers every value. The rule for the queue itself counts as
// met, because the list is the queue's own; jobs of a default queue may lack it.
func Match(rules, tags []string) bool {
	for _, r := range rules {
		if !met(r, tags) {
			return false
		}
	}
	return true
}

// Missing are the rules that these tags don't meet.
func Missing(rules, tags []string) []string {
	var out []string
	for _, r := range rules {
		if !met(r, tags) {
			out = append(out, r)
		}
	}
	return out
}

func met(rule string, tags []string) bool {
	key, want := SplitTag(rule)
	anyValue := want == "*" || want == "" && strings.Contains(rule, "=") // not of a rule that is a key alone
	if key == "" || key == "queue" {
		return true
	}
	for _, t := range tags {
		k, v := SplitTag(t)
		if k == key && (anyValue || v == want || v == "*") {
			return true
		}
	}
	return false
}

// SplitTag is the key and the value of a tag, or of a rule that asks for one.
func SplitTag(s string) (key, value string) {
	key, value, _ = strings.Cut(s, "=")
	return strings.TrimSpace(key), strings.TrimSpace(value)
}
