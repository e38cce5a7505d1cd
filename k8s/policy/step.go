package policy

import (
	"slices"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// Resolve works out a step's pod, and what of it the step may not have. What the queue
// itself brings (its patch, its classes, the PodTemplate that a step chooses) is its
// administrator's, and not judged; but no pod gets a Secret with an agent token.
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
		return (&check{policy: p, pod: pod, queues: d.Image, class: d.Resources}).all()
	}
	brought := judge(queue)
	found := slices.DeleteFunc(judge(asked), func(v Violation) bool { return slices.Contains(brought, v) })
	found = append(found, tokenSecrets(pod, tokens)...)
	return pod, found, nil
}

// bare is what of a queue's defaults a step builds on: the containers that its patches may
// name.
func bare(d steps.Defaults) steps.Defaults {
	return steps.Defaults{Command: d.Command, Image: d.Image, Template: d.Template, Patch: d.Patch}
}

// tokenSecrets are the places of a pod that name a Secret with an agent token.
func tokenSecrets(pod *steps.Pod, tokens []string) []Violation {
	c := &check{policy: config.Policy{Secrets: []string{"**"}}, pod: pod, tokens: tokens}
	c.secrets()
	return c.found
}
