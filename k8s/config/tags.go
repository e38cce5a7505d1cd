package config

import (
	"slices"
	"strings"
	"unicode"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// Unmatched says for a job's page why no queue takes a job of queue own with these rules,
// and what to do. It is empty if own has every tag.
func Unmatched(rules []string, own Queue, all []Queue) string {
	why, other := Lack(rules, own, all)
	switch {
	case why == "":
		return ""
	case other != "":
		why += ". Ask for queue=" + other + " in the step's agents"
	default:
		why += ". Change the step's agents, or add the tag to the queue (tags in onejob.yaml)"
	}
	return "no queue of this onejob installation takes this job: " + why
}

// Lack says which of a job's tags queue own lacks. other is a queue of all that has every
// tag, if there is one; else why names the values that own or another queue offers.
func Lack(rules []string, own Queue, all []Queue) (why, other string) {
	missing := stacks.Missing(rules, own.Tags)
	if len(missing) == 0 {
		return "", ""
	}
	why = "queue " + shown(own) + " lacks the tag " + clip(missing[0], 32)
	if len(missing) > 1 {
		why = "queue " + shown(own) + " lacks the tags " + clip(strings.Join(missing, ", "), 32)
	}
	for _, q := range all {
		if q.Name != own.Name && stacks.Match(rules, q.Tags) {
			other = clip(q.Name, 32)
			return why + "; queue " + other + " has all that it asks for", other
		}
	}
	key, _ := stacks.SplitTag(missing[0])
	if have := offers(own, key); have != "" {
		return why + ", and offers " + clip(have, 30), ""
	}
	for _, q := range all {
		if have := offers(q, key); have != "" {
			return why + "; queue " + shown(q) + " offers " + clip(have, 24), ""
		}
	}
	return why + ", and offers no " + clip(key, 30), ""
}

// shown is a queue's name, which may be long.
func shown(q Queue) string { return clip(q.Name, 16) }

// offers are the tags of a key that a queue has.
func offers(q Queue, key string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(q.Tags), func(t string) bool {
		k, _ := stacks.SplitTag(t)
		return k != key
	}), ", ")
}

// clip makes a pipeline's text safe to show: one line of at most n bytes, with ? for each
// character that can't be printed.
func clip(s string, n int) string {
	return contract.Line(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s), n)
}
