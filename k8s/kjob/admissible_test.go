package kjob

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// Parse refuses, with the field, a template whose every kjob Kubernetes would refuse, and no
// other. TestAdmissibleAsTheAPIServer in cmd/onejob compares this with an API server.
func TestAdmissible(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "admissible.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Name, Want string
		Kubelet    bool
		Spec       json.RawMessage
	}
	if err := yaml.UnmarshalStrict(b, &rows); err != nil {
		t.Fatal(err)
	}
	for _, tt := range rows {
		t.Run(tt.Name, func(t *testing.T) {
			_, err := Parse([]byte(`{"spec": `+string(tt.Spec)+`}`), aQueue(t, ""))
			switch {
			case tt.Want == "" && err != nil:
				t.Error(err)
			case tt.Want != "" && (err == nil || !strings.Contains(err.Error(), tt.Want)):
				t.Errorf("got %v, want one that says %q", err, tt.Want)
			case err != nil && strings.Contains(err.Error(), "\n"):
				t.Errorf("more than one fault: %v", err)
			}
		})
	}
}

// The cases from the field.
func TestTemplateThatNoJobCanUse(t *testing.T) {
	_, err := Parse([]byte("spec: {containers: [{name: agent, resources: {requests: {memory: 4Gi}}}]}"), aQueue(t, ""))
	const want = "spec.template.spec.containers[agent].resources.requests.memory: 4Gi is more than the limit, 2Gi (the default template's, if this one gives none)"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	tpl := aTemplate(t, "spec: {volumes: [{name: builds, persistentVolumeClaim: {claimName: cache}}]}")
	if v := tpl.Job.Spec.Template.Spec.Volumes[0]; v.PersistentVolumeClaim == nil || v.EmptyDir != nil {
		t.Errorf("the claim is not what /builds is: %+v", v)
	}
}
