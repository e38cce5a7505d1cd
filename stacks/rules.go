package stacks

import "strings"

// Match reports whether a queue with these tags ("key=value") meets all of a
// job's agent query rules. A value of * in a rule asks for any value of the
// key, in a tag it offers every value. The rule on the queue itself is met: the
// list is the queue's own.
func Match(rules, tags []string) bool {
	for _, r := range rules {
		key, want, _ := strings.Cut(r, "=")
		if key = strings.TrimSpace(key); key == "" || key == "queue" {
			continue
		}
		if !offered(key, strings.TrimSpace(want), tags) {
			return false
		}
	}
	return true
}

func offered(key, want string, tags []string) bool {
	for _, t := range tags {
		k, v, _ := strings.Cut(t, "=")
		if strings.TrimSpace(k) != key {
			continue
		}
		if v = strings.TrimSpace(v); v == want || v == "*" || want == "*" {
			return true
		}
	}
	return false
}
