package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// What lint says of a pod without a cluster, a real API server says too: it refuses
// what lint refuses, and takes what lint takes.
func TestAdmissibleAsTheAPIServer(t *testing.T) {
	l := aLab(t)
	b, err := os.ReadFile(filepath.Join("..", "..", "k8s", "kjob", "testdata", "admissible.yaml"))
	l.must(err)
	var rows []struct {
		Name, Want string
		Kubelet    bool
		Spec       json.RawMessage
	}
	l.must(yaml.UnmarshalStrict(b, &rows))
	for _, row := range rows {
		if row.Kubelet {
			continue
		}
		var spec corev1.PodSpec
		l.must(json.Unmarshal(row.Spec, &spec))
		spec.RestartPolicy = corev1.RestartPolicyNever
		_, err := l.admin.BatchV1().Jobs(l.namespace).Create(t.Context(), &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Name: "asked"}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: spec}},
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		switch {
		case row.Want == "" && err != nil:
			t.Errorf("%s: lint takes it, the API server says %v", row.Name, err)
		case row.Want != "" && !apierrors.IsInvalid(err):
			t.Errorf("%s: lint says %q, the API server says %v", row.Name, row.Want, err)
		case err != nil && strings.Count(err.Error(), "Invalid value")+strings.Count(err.Error(), "Required value") > 2:
			t.Logf("%s: %v", row.Name, err)
		}
	}
}
