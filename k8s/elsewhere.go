package k8s

import (
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
)

// nodeFault is an attempt that ended before it had the job, for what its node has
// or is: the next one is better made elsewhere.
type nodeFault struct{ node, why string }

// nodeFaults are those of a job's attempts, the oldest first. Each kjob takes those
// of the attempts before it along in an annotation, beside their story.
type nodeFaults []nodeFault

const (
	maxNodeFaults = 8
	// faultContract: the node's image is of another release. The others are the
	// runner's outcomes.
	faultContract = "contract"
)

// fault is why the attempt ended, if that was for its node; else empty.
func (f Facts) fault() string {
	m := f.Pod.Message
	switch {
	case m == nil:
		return ""
	case m.Outcome == contract.OutcomeUntrusted, m.Outcome == contract.OutcomeUnready:
		return string(m.Outcome)
	case m.Outcome == contract.OutcomeConfig && m.Contract != contract.Version:
		return faultContract
	}
	return ""
}

// nodeFaults are those of the attempts before it, and its own.
func (f Facts) nodeFaults() nodeFaults {
	why := f.fault()
	if why == "" {
		return f.Faults
	}
	one := nodeFault{f.Pod.Node, why}
	all := append(slices.DeleteFunc(slices.Clone(f.Faults), func(o nodeFault) bool { return o == one }), one)
	return all[max(0, len(all)-maxNodeFaults):]
}

func (fs nodeFaults) had(why string) bool {
	return slices.ContainsFunc(fs, func(f nodeFault) bool { return f.why == why })
}

// annotation is what parseNodeFaults reads.
func (fs nodeFaults) annotation() string {
	var all []string
	for _, f := range fs {
		all = append(all, f.node+"="+f.why)
	}
	return strings.Join(all, ",")
}

func parseNodeFaults(annotation string) (fs nodeFaults) {
	for one := range strings.SplitSeq(annotation, ",") {
		if node, why, ok := strings.Cut(one, "="); ok {
			fs = append(fs, nodeFault{node, why})
		}
	}
	return fs[max(0, len(fs)-maxNodeFaults):]
}

// handOn gives a new attempt's kjob what is known of those before it, and lets it
// rather have a node that none of them failed on. No node is forbidden: there may
// be no other.
func handOn(k *batchv1.Job, s story, fs nodeFaults) {
	if len(s) > 0 {
		k.Annotations[contract.AnnotationStory] = s.annotation()
	}
	if len(fs) == 0 {
		return
	}
	k.Annotations[contract.AnnotationNodeFaults] = fs.annotation()
	var others corev1.NodeSelectorTerm
	for _, f := range fs {
		// The API server takes one value each.
		r := corev1.NodeSelectorRequirement{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpNotIn, Values: []string{f.node}}
		same := func(o corev1.NodeSelectorRequirement) bool { return o.Values[0] == f.node }
		if f.node != "" && !slices.ContainsFunc(others.MatchFields, same) {
			others.MatchFields = append(others.MatchFields, r)
		}
	}
	if others.MatchFields == nil {
		return
	}
	pod := &k.Spec.Template.Spec
	if pod.Affinity == nil {
		pod.Affinity = &corev1.Affinity{}
	}
	if pod.Affinity.NodeAffinity == nil {
		pod.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	a := pod.Affinity.NodeAffinity
	a.PreferredDuringSchedulingIgnoredDuringExecution = append(a.PreferredDuringSchedulingIgnoredDuringExecution, corev1.PreferredSchedulingTerm{Weight: 100, Preference: others})
}
