package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// ClassTag is the agent tag by which a job asks for a resource class.
const ClassTag = "resource_class"

// Class is a resource class: what is merged over the queue's template for a job that asks
// for it. Its fields have agent-stack-k8s's names, or Kubernetes' own.
type Class struct {
	// Resource is requests and limits of the container in which the command runs.
	Resource *corev1.ResourceRequirements `json:"resource,omitempty"`
	// PodResource is requests and limits of the pod as a whole (Kubernetes 1.34).
	PodResource *corev1.ResourceRequirements `json:"podResource,omitempty"`
	// NodeSelector is merged over the template's.
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// Tolerations come after the template's.
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// Affinity replaces the template's.
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
	// PriorityClassName replaces the template's.
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// RuntimeClassName replaces the template's.
	RuntimeClassName string `json:"runtimeClassName,omitempty"`
	// Image is the image for the command of a step without `image:`. The command then runs in a
	// container of its own beside the runner.
	Image string `json:"image,omitempty" min:"1"`
}

// className is what a tag's value may be and a key in Kubernetes, too.
var className = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// IsClassName reports whether a resource class may have this name.
func IsClassName(name string) bool { return className.MatchString(name) }

// ClassName is the class that a job's agent query rules ask for, empty if any will do.
func ClassName(rules []string) (name string) {
	for _, r := range rules {
		if key, value := stacks.SplitTag(r); key == ClassTag && value != "*" {
			name = value
		}
	}
	return name
}

// NoClass says that a queue lacks a class, and which it has.
func NoClass(name string, classes []string) error {
	return fmt.Errorf("%s: there is no class %q; this queue has %s", ClassTag, contract.Line(name, 60), strings.Join(classes, ", "))
}

// offerClasses adds to a queue's tags those by which its classes are asked for.
func (q *Queue) offerClasses() {
	for _, name := range slices.Sorted(maps.Keys(q.ResourceClasses)) {
		if tag := ClassTag + "=" + name; !slices.Contains(q.Tags, tag) {
			q.Tags = append(slices.Clip(q.Tags), tag)
		}
	}
}

func (f *faults) classes(at string, q Queue) {
	for _, name := range slices.Sorted(maps.Keys(q.ResourceClasses)) {
		if !IsClassName(name) {
			f.bad("%s: resource-classes: %q can't be asked for: a name has up to 63 of A-Z a-z 0-9 . _ - and begins and ends with a letter or a number", at, name)
		}
	}
	if name := q.DefaultResourceClass; name != "" {
		if _, ok := q.ResourceClasses[name]; !ok {
			f.bad("%s: default-resource-class-name: %q is not one of resource-classes", at, name)
		}
	}
}
