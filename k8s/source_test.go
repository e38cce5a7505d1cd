package k8s

import (
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// The API server writes its defaults into a template that lives in the cluster.
// They are nobody's wish.
func TestClusterTemplateWithoutAGrace(t *testing.T) {
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	pod := corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: &grace, RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "agent", Image: "agent:1"}},
	}}
	embedded, err := ParseTemplate(nil, Queue{})
	if err != nil {
		t.Fatal(err)
	}
	job, err := jobDoc(&batchv1.Job{Spec: batchv1.JobSpec{Template: pod}})
	if err != nil {
		t.Fatal(err)
	}
	podTemplate, err := podTemplateDoc(&corev1.PodTemplate{Template: pod})
	if err != nil {
		t.Fatal(err)
	}
	for name, doc := range map[string][]byte{"Job": job, "PodTemplate": podTemplate} {
		if got, err := ParseTemplate(doc, Queue{}); err != nil || got.Grace() != embedded.Grace() {
			t.Errorf("%s: a grace of %d s and error %v, want the embedded template's %d s", name, got.Grace(), err, embedded.Grace())
		}
	}
}
