package kjob

import (
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/policy"
)

// ceilings are a queue's policy with the template's own limits and time, as far as it
// names none; and of the limits those that a container has which names none. The disk's
// isn't among them: a pod's is the sum of its containers'.
func ceilings(p config.Policy, job *batchv1.Job) (most, bound config.Policy) {
	most, bound = p, p
	spec := &job.Spec.Template.Spec
	if agent := FindAgent(spec); agent != nil {
		limits := maps.Clone(agent.Resources.Limits)
		if limits == nil {
			limits = corev1.ResourceList{}
		}
		maps.Copy(limits, p.Limits.Container)
		most.Limits.Container, bound.Limits.Container = limits, maps.Clone(limits)
		if _, named := p.Limits.Container[corev1.ResourceEphemeralStorage]; !named {
			delete(bound.Limits.Container, corev1.ResourceEphemeralStorage)
		}
	}
	var seconds []int64
	for _, s := range []*int64{job.Spec.ActiveDeadlineSeconds, spec.ActiveDeadlineSeconds} {
		if s != nil {
			seconds = append(seconds, min(*s, int64(maxDeadline/time.Second)))
		}
	}
	if p.MaxDeadline == nil && len(seconds) > 0 {
		d := config.Duration(time.Duration(slices.Min(seconds)) * time.Second)
		most.MaxDeadline = &d
	}
	return most, bound
}

// maxDeadline keeps seconds within a time.Duration.
const maxDeadline = 200 * 365 * 24 * time.Hour

// keep holds a step's container within the queue's limits, and gives it what the queue's
// level of Pod Security wants said.
func (t *Template) keep(c *corev1.Container) {
	policy.Bound(t.bound, &c.Resources)
	if t.policy.Level == config.LevelRestricted {
		policy.Harden(c)
	}
}
