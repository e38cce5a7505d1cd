package steps

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// ClassTag is the agent tag that names a resource class.
const ClassTag = "resource_class"

// ClassOf is the class that a job's tags ("key=value") name, or the default one; nil
// if neither does. A class that isn't there is an error that lists those that are.
func ClassOf(tags []string, classes map[string]Class, byDefault string) (*Class, error) {
	name := byDefault
	for _, tag := range tags {
		if value, ok := strings.CutPrefix(tag, ClassTag+"="); ok {
			name = value
		}
	}
	if name == "" {
		return nil, nil
	}
	class, ok := classes[name]
	if !ok {
		return nil, fmt.Errorf("%s: there is no class %q; this queue has %s", ClassTag, contract.Line(name, maxShown), list(slices.Sorted(maps.Keys(classes))))
	}
	return &class, nil
}

// apply sets the class in a pod: it wins over what the step's own podSpec says, and
// patches come after it.
func (c *Class) apply(pod *corev1.PodSpec, isCommand func(string) bool) {
	if c == nil {
		return
	}
	if len(c.NodeSelector) > 0 {
		pod.NodeSelector = merged(pod.NodeSelector, c.NodeSelector)
	}
	for _, t := range c.Tolerations {
		pod.Tolerations = append(pod.Tolerations, *t.DeepCopy())
	}
	if c.Affinity != nil {
		pod.Affinity = c.Affinity.DeepCopy()
	}
	if c.PriorityClassName != "" {
		pod.PriorityClassName = c.PriorityClassName
		pod.Priority, pod.PreemptionPolicy = nil, nil
	}
	if c.RuntimeClassName != nil {
		name := *c.RuntimeClassName
		pod.RuntimeClassName = &name
	}
	if c.PodResource != nil {
		if pod.Resources == nil {
			pod.Resources = &corev1.ResourceRequirements{}
		}
		overlay(pod.Resources, c.PodResource)
	}
	for i := range pod.Containers {
		if c.Resource != nil && isCommand(pod.Containers[i].Name) {
			overlay(&pod.Containers[i].Resources, c.Resource)
		}
	}
}

// overlay sets amounts over others, and leaves those that it doesn't name.
func overlay(to, from *corev1.ResourceRequirements) {
	for name, amount := range from.Requests {
		if to.Requests == nil {
			to.Requests = corev1.ResourceList{}
		}
		to.Requests[name] = amount.DeepCopy()
	}
	for name, amount := range from.Limits {
		if to.Limits == nil {
			to.Limits = corev1.ResourceList{}
		}
		to.Limits[name] = amount.DeepCopy()
	}
}

func merged(a, b map[string]string) map[string]string {
	m := maps.Clone(a)
	if m == nil {
		m = map[string]string{}
	}
	maps.Copy(m, b)
	return m
}
