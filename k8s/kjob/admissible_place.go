package kjob

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// placement checks the fields that say where a pod may run.
func (f *faults) placement(at string, pod *corev1.PodSpec) {
	for k, v := range pod.NodeSelector {
		f.all(at+".nodeSelector", k, validation.IsQualifiedName)
		f.all(at+".nodeSelector."+k, v, validation.IsValidLabelValue)
	}
	for i, t := range pod.Tolerations {
		f.toleration(fmt.Sprintf("%s.tolerations[%d]", at, i), t)
	}
	for i, c := range pod.TopologySpreadConstraints {
		at := fmt.Sprintf("%s.topologySpreadConstraints[%d]", at, i)
		if c.MaxSkew < 1 {
			f.bad(at+".maxSkew", "%d is less than 1", c.MaxSkew)
		}
		f.needs(at+".topologyKey", c.TopologyKey)
		f.needs(at+".whenUnsatisfiable", string(c.WhenUnsatisfiable))
		oneOf(f, at+".whenUnsatisfiable", c.WhenUnsatisfiable, corev1.DoNotSchedule, corev1.ScheduleAnyway)
	}
	if pod.Affinity == nil {
		return
	}
	at += ".affinity"
	if a := pod.Affinity.NodeAffinity; a != nil {
		f.nodeAffinity(at+".nodeAffinity", a)
	}
	if a := pod.Affinity.PodAffinity; a != nil {
		f.podTerms(at+".podAffinity", a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if a := pod.Affinity.PodAntiAffinity; a != nil {
		f.podTerms(at+".podAntiAffinity", a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
}

func (f *faults) toleration(at string, t corev1.Toleration) {
	oneOf(f, at+".operator", t.Operator, corev1.TolerationOpExists, corev1.TolerationOpEqual, "Lt", "Gt")
	oneOf(f, at+".effect", t.Effect, corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)
	switch {
	case t.Key != "":
		f.all(at+".key", t.Key, validation.IsQualifiedName)
	case t.Operator != corev1.TolerationOpExists:
		f.bad(at, "a toleration without a key is for every taint, so its operator must be Exists")
	}
	if t.Operator == corev1.TolerationOpExists && t.Value != "" {
		f.bad(at+".value", "%q: with the operator Exists there is no value", t.Value)
	}
	if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
		f.bad(at+".tolerationSeconds", "only the effect NoExecute takes it")
	}
}

func (f *faults) nodeAffinity(at string, a *corev1.NodeAffinity) {
	if r := a.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
		if len(r.NodeSelectorTerms) == 0 {
			f.bad(at+".requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms", "none given")
		}
		for _, t := range r.NodeSelectorTerms {
			f.nodeTerm(at+".requiredDuringSchedulingIgnoredDuringExecution", t)
		}
	}
	for _, p := range a.PreferredDuringSchedulingIgnoredDuringExecution {
		f.weight(at, p.Weight)
		f.nodeTerm(at+".preferredDuringSchedulingIgnoredDuringExecution", p.Preference)
	}
}

func (f *faults) nodeTerm(at string, t corev1.NodeSelectorTerm) {
	for _, e := range t.MatchExpressions {
		at := at + ".matchExpressions[" + e.Key + "]"
		f.all(at, e.Key, validation.IsQualifiedName)
		n := len(e.Values)
		switch e.Operator {
		case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
			if n == 0 {
				f.bad(at+".values", "none given, and %s needs one", e.Operator)
			}
		case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
			if n > 0 {
				f.bad(at+".values", "%v, and %s takes none", e.Values, e.Operator)
			}
		case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
			if n != 1 {
				f.bad(at+".values", "%v, and %s takes one", e.Values, e.Operator)
			}
		default:
			f.bad(at+".operator", "%q is not one of In, NotIn, Exists, DoesNotExist, Gt, Lt", e.Operator)
		}
	}
}

func (f *faults) podTerms(at string, required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
	for _, t := range required {
		f.needs(at+".requiredDuringSchedulingIgnoredDuringExecution.topologyKey", t.TopologyKey)
	}
	for _, t := range preferred {
		f.weight(at, t.Weight)
		f.needs(at+".preferredDuringSchedulingIgnoredDuringExecution.topologyKey", t.PodAffinityTerm.TopologyKey)
	}
}

func (f *faults) weight(at string, n int32) {
	if n < 1 || n > 100 {
		f.bad(at+".preferredDuringSchedulingIgnoredDuringExecution.weight", "%d is not between 1 and 100", n)
	}
}
