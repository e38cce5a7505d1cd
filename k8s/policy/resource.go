package policy

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/k8s/config"
)

// resources checks requests and limits against the policy's limits.
func (c *check) resources() {
	for _, placed := range c.pod.Containers() {
		c.amounts(placed.At+".resources", placed.Container.Resources, c.policy.Limits.Container, "container")
	}
	c.amounts("containers[agent].resources", c.pod.Runner.Resources, c.policy.Limits.Container, "container")
	if r := c.pod.Spec.Resources; r != nil {
		if len(c.policy.Limits.Pod) == 0 {
			c.bad("resources", "what the pod asks for as a whole has no limit in this queue", ask, "limits: {pod: …}")
		}
		c.amounts("resources", *r, c.policy.Limits.Pod, "pod")
	}
	c.sums()
}

// sums holds what the containers have together, what the queue gives them among it, against
// the most that a pod has.
func (c *check) sums() {
	for _, name := range slices.Sorted(maps.Keys(c.policy.Limits.Pod)) {
		most := c.policy.Limits.Pod[name]
		for list, sum := range map[string]resource.Quantity{
			"requests": c.sum(name, func(r corev1.ResourceRequirements) corev1.ResourceList { return r.Requests }),
			"limits":   c.sum(name, func(r corev1.ResourceRequirements) corev1.ResourceList { return r.Limits }),
		} {
			if sum.Cmp(most) > 0 {
				c.bad("containers.resources."+list+"."+string(name), fmt.Sprintf("%s in all is more than a pod of this queue may have, %s", &sum, &most), "lower it, or have limits.pod raised in the queue's policy")
			}
		}
	}
}

func (c *check) amounts(at string, r corev1.ResourceRequirements, most corev1.ResourceList, of string) {
	for list, amounts := range map[string]corev1.ResourceList{"requests": r.Requests, "limits": r.Limits} {
		for name, amount := range amounts {
			if limit, ok := most[name]; ok && amount.Cmp(limit) > 0 {
				c.bad(at+"."+list+"."+string(name), fmt.Sprintf("%s is more than a %s of this queue may have, %s", &amount, of, &limit), "lower it, or have limits.%s raised in the queue's policy", of)
			}
		}
	}
	if len(r.Claims) > 0 {
		c.bad(at+".claims", "devices by claim are for the template", "ask for the device as a resource")
	}
}

// sum is the pod's amount of a resource, as Kubernetes counts it: the sum over the
// containers that run at the same time, or the largest init container if that is more.
func (c *check) sum(name corev1.ResourceName, of func(corev1.ResourceRequirements) corev1.ResourceList) resource.Quantity {
	var together, before resource.Quantity
	add := func(ctr corev1.Container) { together.Add(of(ctr.Resources)[name]) }
	given := c.class
	for _, command := range c.pod.Commands {
		amount, own := of(command.Container.Resources)[name]
		if !own {
			amount = of(given)[name]
			if most, ok := command.Container.Resources.Limits[name]; ok && amount.Cmp(most) > 0 {
				amount = most // a limit lowers the request that is given
			}
		}
		together.Add(amount)
		given = c.further
	}
	for _, ctr := range slices.Concat(c.pod.Sidecars, c.pod.Others, []corev1.Container{c.pod.Runner}) {
		add(ctr)
	}
	for _, ctr := range c.pod.Init {
		if ptr.Deref(ctr.RestartPolicy, "") == corev1.ContainerRestartPolicyAlways {
			add(ctr)
			continue
		}
		if q := of(ctr.Resources)[name]; q.Cmp(before) > 0 {
			before = q
		}
	}
	if before.Cmp(together) > 0 {
		return before
	}
	return together
}

// Bound gives a container the policy's limit of cpu, memory and ephemeral storage where it
// has none, and a request of 0 if it has no request, so that the limit is no request. It
// sets no other resource: a container gets a device only if it asks for one.
func Bound(p config.Policy, r *corev1.ResourceRequirements) {
	shared := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage}
	for name, most := range p.Limits.Container {
		if _, limited := r.Limits[name]; limited || !slices.Contains(shared, name) {
			continue
		}
		if r.Limits == nil {
			r.Limits = corev1.ResourceList{}
		}
		r.Limits[name] = most.DeepCopy()
		if _, asked := r.Requests[name]; !asked {
			if r.Requests == nil {
				r.Requests = corev1.ResourceList{}
			}
			r.Requests[name] = resource.Quantity{}
		}
	}
}
