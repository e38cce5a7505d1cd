package kjob

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// A resource class is the administrator's, as the template is: it is merged over that once,
// and what comes of it is checked as one. So for each kind of step
//
//	template  <  class  <  what the step says, within the policy

// withClasses makes a template of each of the queue's classes. It returns that of the jobs
// which name none.
func (t *Template) withClasses(q config.Queue) (*Template, error) {
	if len(q.ResourceClasses) == 0 {
		return t, nil
	}
	t.Tags = slices.DeleteFunc(slices.Clone(t.Tags), func(tag string) bool {
		name, ok := strings.CutPrefix(tag, config.ClassTag+"=")
		_, isClass := q.ResourceClasses[name]
		return ok && isClass
	})
	classes := map[string]*Template{}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(q.ResourceClasses)) {
		var err error
		if classes[name], err = t.withClass(name, q); err != nil {
			errs = append(errs, fmt.Errorf("resource-classes.%s: %w", name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	of := *t
	if c := classes[q.DefaultResourceClass]; c != nil {
		of = *c
	}
	of.classes = classes
	return &of, nil
}

func (t *Template) withClass(name string, q config.Queue) (*Template, error) {
	class, of := q.ResourceClasses[name], *t
	of.Job, of.base = t.Job.DeepCopy(), &t.Job.Spec.Template.Spec
	of.image, of.class = class.Image, ptr.Deref(class.Resource, corev1.ResourceRequirements{})
	of.Tags = append(slices.Clip(t.Tags), config.ClassTag+"="+name)
	overlayClass(&of.Job.Spec.Template.Spec, class)
	of.policy, of.bound = ceilings(q.Policy, of.Job)
	doc, err := json.Marshal(of.Job)
	if err != nil {
		return nil, err
	}
	if of.raw = ""; hasVariable(string(doc)) {
		of.raw = string(doc)
	}
	errs := []error{checkAdmissible(of.Job), checkVariables(doc, of.Job, q.TrustedPipelines)}
	if class.Image != "" {
		errs = append(errs, steps.CheckImage(class.Image))
	}
	return &of, errors.Join(errs...)
}

func overlayClass(spec *corev1.PodSpec, c config.Class) {
	agent := FindAgent(spec)
	if c.Resource != nil {
		overlayResources(&agent.Resources, *c.Resource.DeepCopy())
	}
	if c.PodResource != nil {
		if spec.Resources == nil {
			spec.Resources = &corev1.ResourceRequirements{}
		}
		overlayResources(spec.Resources, *c.PodResource.DeepCopy())
		within(agent.Resources.Requests, c.PodResource.Requests)
		within(agent.Resources.Requests, c.PodResource.Limits)
		within(agent.Resources.Limits, c.PodResource.Limits)
	}
	if len(c.NodeSelector) > 0 {
		spec.NodeSelector = merge(spec.NodeSelector, c.NodeSelector)
	}
	for _, toleration := range c.Tolerations {
		spec.Tolerations = append(spec.Tolerations, *toleration.DeepCopy())
	}
	spec.Affinity = cmp.Or(c.Affinity.DeepCopy(), spec.Affinity)
	if c.PriorityClassName != "" {
		spec.PriorityClassName, spec.Priority, spec.PreemptionPolicy = c.PriorityClassName, nil, nil
	}
	if c.RuntimeClassName != "" {
		spec.RuntimeClassName = ptr.To(c.RuntimeClassName)
	}
}

// within lowers a container's amounts to those of its pod: Kubernetes takes no more.
func within(amounts, most corev1.ResourceList) {
	for name, amount := range amounts {
		if whole, ok := most[name]; ok && amount.Cmp(whole) > 0 {
			amounts[name] = whole.DeepCopy()
		}
	}
}

// For is the template for a job with these agent query rules. The error is the job's fault:
// it asks for a class that the queue lacks.
func (t *Template) For(rules []string) (*Template, error) {
	name := config.ClassName(rules)
	class, ok := t.classes[name]
	switch {
	case ok:
		of := *class
		of.Org, of.QueueKey, of.named, of.snapshot = t.Org, t.QueueKey, t.named, t.snapshot
		return &of, nil
	case name == "", len(t.classes) == 0, slices.Contains(t.Tags, config.ClassTag+"="+name):
		return t, nil
	}
	return nil, config.NoClass(name, slices.Sorted(maps.Keys(t.classes)))
}

// each is the template of the jobs that name no class, and those of the classes.
func (t *Template) each() []*Template {
	all := []*Template{t}
	for _, name := range slices.Sorted(maps.Keys(t.classes)) {
		all = append(all, t.classes[name])
	}
	return all
}

// underClass is the pod of the template alone: a step may say otherwise than its class.
func (t *Template) underClass() *corev1.PodSpec {
	if t.base != nil {
		return t.base
	}
	return &t.Job.Spec.Template.Spec
}
