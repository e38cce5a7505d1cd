package kjob

import (
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
)

// The API server writes its defaults into a template in the cluster. Load doesn't take them
// for the author's settings.
func TestClusterTemplateWithoutAGrace(t *testing.T) {
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	pod := corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: &grace, RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "agent", Image: "agent:1"}},
	}}
	embedded, err := Parse(nil, config.Queue{})
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
		if got, err := Parse(doc, config.Queue{}); err != nil || got.Grace() != embedded.Grace() {
			t.Errorf("%s: a grace of %d s and error %v, want the embedded template's %d s", name, got.Grace(), err, embedded.Grace())
		}
	}
}

// Load refuses a template in the cluster for the same faults as one in a file, and ignores
// the fields that the API server has filled in.
func TestClusterTemplateIsRefusedAsAFileIs(t *testing.T) {
	filled := func() *batchv1.Job {
		k := &batchv1.Job{Spec: batchv1.JobSpec{
			Parallelism: ptr.To[int32](1), Completions: ptr.To[int32](1), BackoffLimit: ptr.To[int32](6), Suspend: ptr.To(true),
			CompletionMode: ptr.To(batchv1.NonIndexedCompletion), PodReplacementPolicy: ptr.To(batchv1.TerminatingOrFailed), ManualSelector: ptr.To(false),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"batch.kubernetes.io/controller-uid": "u"}},
		}}
		k.Labels = map[string]string{"batch.kubernetes.io/controller-uid": "u", "controller-uid": "u"}
		k.Spec.Template.Labels = k.Labels
		k.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: contract.AgentContainer, Image: "agent:1"}}}
		return k
	}
	doc, err := jobDoc(filled())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(doc, config.Queue{}); err != nil {
		t.Errorf("with the API server's defaults alone: %v", err)
	}
	for _, wish := range []string{
		"parallelism: 2", "parallelism: 0", "completions: 3", "backoffLimit: 2", "backoffLimitPerIndex: 1", "completionMode: Indexed", "manualSelector: true, selector: {matchLabels: {a: b}}",
		"podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget, status: 'True'}]}]}",
		"successPolicy: {rules: [{succeededCount: 1}]}", "activeDeadlineSeconds: 0", "ttlSecondsAfterFinished: -1", "template: {spec: {restartPolicy: OnFailure}}",
	} {
		k := filled()
		if err := yaml.Unmarshal([]byte("spec: {"+wish+"}"), k); err != nil {
			t.Fatal(err)
		}
		_, inFile := Parse([]byte("{apiVersion: batch/v1, kind: Job, spec: {"+wish+"}}"), config.Queue{})
		if inFile == nil {
			t.Fatalf("%s is taken in a file", wish)
		}
		doc, err := jobDoc(k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(doc, config.Queue{}); err == nil || !sameLines(err, inFile) {
			t.Errorf("%s in the cluster: %v\nin a file: %v", wish, err, inFile)
		}
	}
}

// sameLines compares the lines of errors in any order, because faults in a map have none.
func sameLines(a, b error) bool {
	x, y := strings.Split(a.Error(), "\n"), strings.Split(b.Error(), "\n")
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}
