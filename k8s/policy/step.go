package policy

import (
	"slices"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// Resolve returns a step's pod and the step's violations of the policy. It doesn't check the
// parts that the queue's administrator chose (its step-defaults, its classes, the
// PodTemplate that the step names), except that no pod gets a Secret with an agent token.
func Resolve(p config.Policy, step steps.Step, d steps.Defaults, tokens []string) (*steps.Pod, []Violation, error) {
	pod, err := steps.Resolve(step, d)
	if err != nil {
		return nil, nil, err
	}
	asked, err := steps.Resolve(step, bare(d))
	if err != nil {
		return nil, nil, err
	}
	queue, err := steps.Resolve(steps.Step{Plugin: &steps.Plugin{PodTemplate: step.PodTemplate()}}, bare(d))
	if err != nil {
		return nil, nil, err
	}
	judge := func(pod *steps.Pod) []Violation {
		return (&check{policy: p, pod: pod, queues: d.Image, class: d.Resources, further: d.Further}).all()
	}
	brought := judge(queue)
	found := slices.DeleteFunc(judge(asked), func(v Violation) bool { return slices.Contains(brought, v) })
	found = append(found, tokenSecrets(pod, tokens)...)
	return pod, found, nil
}

// PodTemplate is why a step may not have the PodTemplate that it names. By default it may
// have none.
func PodTemplate(p config.Policy, name string) []Violation {
	c := &check{policy: p}
	c.in("kubernetes.podTemplate", name, "the PodTemplate", "pod-templates", p.PodTemplates)
	return c.found
}

// bare is the part of a queue's defaults that a step's patches build on: its containers and
// their images.
func bare(d steps.Defaults) steps.Defaults {
	return steps.Defaults{Command: d.Command, Image: d.Image, Template: d.Template}
}

// tokenSecrets are the places of a pod that name a Secret with an agent token.
func tokenSecrets(pod *steps.Pod, tokens []string) []Violation {
	c := &check{policy: config.Policy{Secrets: []string{"**"}}, pod: pod, tokens: tokens}
	c.secrets()
	return c.found
}
