package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// placement checks where a pod may run, and which pods it may preempt or keep away.
func (c *check) placement() {
	s := c.pod.Spec
	if c.policy.NodeSelectors != nil {
		for _, k := range slices.Sorted(maps.Keys(s.NodeSelector)) {
			c.in("nodeSelector."+shown(k), k+"="+s.NodeSelector[k], "the node selector", "node-selectors", c.policy.NodeSelectors)
		}
		c.nodeAffinity()
	}
	for i, t := range s.Tolerations {
		c.toleration(fmt.Sprintf("tolerations[%d]", i), t)
	}
	c.in("priorityClassName", s.PriorityClassName, "the priority class", "priority-classes", withoutSystem(c.policy.PriorityClasses, s.PriorityClassName))
	c.in("runtimeClassName", deref(s.RuntimeClassName), "the runtime class", "runtime-classes", c.policy.RuntimeClasses)
	c.namespaces()
}

// withoutSystem returns patterns, but none for a name that begins with system-: such
// priority classes are the cluster's own.
func withoutSystem(patterns []string, name string) []string {
	if strings.HasPrefix(name, "system-") {
		return nil
	}
	return patterns
}

// toleration checks one toleration. By default a step may tolerate no taint, because taints
// keep pods away.
func (c *check) toleration(at string, t corev1.Toleration) {
	switch {
	case t.Key == "" && !matchesAny(c.policy.Tolerations, "any key"):
		c.bad(at, "a toleration without a key is for every taint", "name the taint's key")
	default:
		c.in(at+".key", t.Key, "the taint", "tolerations", c.policy.Tolerations)
	}
}

// nodeAffinity checks node affinity like a node selector.
func (c *check) nodeAffinity() {
	a := c.pod.Spec.Affinity
	if a == nil || a.NodeAffinity == nil {
		return
	}
	var terms []corev1.NodeSelectorTerm
	if r := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
		terms = append(terms, r.NodeSelectorTerms...)
	}
	for _, p := range a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
		terms = append(terms, p.Preference)
	}
	const at = "affinity.nodeAffinity"
	for _, t := range terms {
		if len(t.MatchFields) > 0 {
			c.bad(at+".matchFields", "it names nodes, as nodeName does", "use matchExpressions")
		}
		for _, e := range t.MatchExpressions {
			if e.Operator != corev1.NodeSelectorOpIn {
				c.bad(at, fmt.Sprintf("where node selectors are listed, %s of %s can't be held against the list", shown(string(e.Operator)), shown(e.Key)), "use the operator In")
				continue
			}
			for _, v := range e.Values {
				c.in(at+"."+shown(e.Key), e.Key+"="+v, "the node selector", "node-selectors", c.policy.NodeSelectors)
			}
		}
	}
}

// namespaces checks the namespaces that pod affinity and anti-affinity name. It refuses
// required anti-affinity, because that also keeps the other pods, such as other jobs', off
// the node for as long as the step's pod runs.
func (c *check) namespaces() {
	a := c.pod.Spec.Affinity
	if a == nil {
		return
	}
	var terms []corev1.PodAffinityTerm
	add := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		terms = append(terms, required...)
		for _, p := range preferred {
			terms = append(terms, p.PodAffinityTerm)
		}
	}
	if p := a.PodAffinity; p != nil {
		add(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if p := a.PodAntiAffinity; p != nil {
		if len(p.RequiredDuringSchedulingIgnoredDuringExecution) > 0 {
			c.bad("affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution", "it would keep other jobs' pods off nodes", "use preferredDuringSchedulingIgnoredDuringExecution or topologySpreadConstraints, or have it put into the queue's template")
		}
		add(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	for _, t := range terms {
		for _, n := range t.Namespaces {
			c.in("affinity.namespaces", n, "the namespace", "namespaces", c.policy.Namespaces)
		}
		if t.NamespaceSelector != nil && !matchesAny(c.policy.Namespaces, "**") {
			c.bad("affinity.namespaceSelector", "it is about pods of any namespace", "take it out, or name namespaces that the policy lists")
		}
	}
}

// defaultLabels are keys by which no object of a cluster selects pods, as a Service does by
// app. defaultAnnotations are keys that no program acts on, and two by which autoscalers
// leave a pod alone.
var (
	defaultLabels      = []string{"buildkite.com/**", "tag.buildkite.com/**"}
	defaultAnnotations = []string{"buildkite.com/**", "tag.buildkite.com/**", "cluster-autoscaler.kubernetes.io/safe-to-evict", "karpenter.sh/do-not-disrupt"}
)

func (c *check) metadata() {
	keys := func(what string, m map[string]string, byDefault []string, free bool) {
		for k := range m {
			at := "kubernetes.metadata." + what + "[" + shown(k) + "]"
			switch {
			case strings.HasPrefix(k, "onejob.dev/"):
				c.bad(at, "onejob's own keys are not a step's to set", "take it out")
			case free && !strings.ContainsAny(k, "/."): // people's own
			default:
				c.in(at, k, "the key", "metadata", slices.Concat(byDefault, c.policy.Metadata))
			}
		}
	}
	keys("labels", c.pod.Metadata.Labels, defaultLabels, false)
	keys("annotations", c.pod.Metadata.Annotations, defaultAnnotations, true)
}
