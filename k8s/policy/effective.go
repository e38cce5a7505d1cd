package policy

import (
	"cmp"
	"reflect"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/k8s/config"
)

// Effective is a policy with the default of each list that isn't given: whoever else holds
// a pod against it means the same.
func Effective(p config.Policy) config.Policy {
	p.Level = cmp.Or(p.Level, DefaultLevel)
	if p.Volumes == nil {
		if p.Volumes = slices.Clone(defaultVolumes); len(p.Host.Paths) > 0 {
			p.Volumes = append(p.Volumes, "hostPath")
		}
	}
	if p.Capabilities == nil {
		p.Capabilities = slices.Clone(harmlessCapabilities)
	}
	return p
}

// Labels and Annotations are the patterns of keys that a step may set. Of annotations those
// without a dot or a slash are people's own.
func Labels(p config.Policy) []string      { return slices.Concat(defaultLabels, p.Metadata) }
func Annotations(p config.Policy) []string { return slices.Concat(defaultAnnotations, p.Metadata) }

// Expression is a regular expression, as CEL takes it, for what any of the patterns stands
// for.
func Expression(patterns []string) string {
	if len(patterns) == 0 {
		return `^[^\s\S]$` // nothing
	}
	parts := make([]string, len(patterns))
	for i, p := range patterns {
		parts[i] = expression(p)
	}
	return `^(?s:` + strings.Join(parts, "|") + `)$`
}

// Unsaid are the fields of a PodSpec that are no step's to say.
func Unsaid() (fields []string) {
	t := reflect.TypeFor[corev1.PodSpec]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if !slices.Contains(podFields, name) {
			fields = append(fields, name)
		}
	}
	return fields
}

func expression(pattern string) string {
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
	return re.String()
}
