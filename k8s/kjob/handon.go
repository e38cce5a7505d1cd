package kjob

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
)

// HandOn gives a new attempt's kjob the story of the attempts before it and the faults of
// their nodes, both in the form of the annotations. The pod prefers a node other than nodes.
// No node is forbidden, because the cluster may have no other.
func HandOn(k *batchv1.Job, story, faults string, nodes []string) {
	if story != "" {
		k.Annotations[contract.AnnotationStory] = story
	}
	if faults != "" {
		k.Annotations[contract.AnnotationNodeFaults] = faults
	}
	if len(nodes) == 0 {
		return
	}
	var others corev1.NodeSelectorTerm
	for _, node := range nodes {
		// The API server takes one value in each requirement of a field.
		others.MatchFields = append(others.MatchFields,
			corev1.NodeSelectorRequirement{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpNotIn, Values: []string{node}})
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
