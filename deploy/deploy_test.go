package deploy

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/k8s"
)

// Every manifest is what its kind says it is, to the last field, and the
// kustomization forgets none.
func TestManifests(t *testing.T) {
	kinds := map[string]func() any{
		"Namespace": func() any { return &corev1.Namespace{} }, "ServiceAccount": func() any { return &corev1.ServiceAccount{} },
		"Role": func() any { return &rbacv1.Role{} }, "RoleBinding": func() any { return &rbacv1.RoleBinding{} },
		"PriorityClass": func() any { return &schedulingv1.PriorityClass{} }, "Deployment": func() any { return &appsv1.Deployment{} },
		"PodDisruptionBudget": func() any { return &policyv1.PodDisruptionBudget{} }, "NetworkPolicy": func() any { return &networkingv1.NetworkPolicy{} },
		"Job": func() any { return &batchv1.Job{} },
	}
	var k struct {
		Resources []string `json:"resources"`
	}
	b, err := os.ReadFile("base/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &k); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("base/*.yaml")
	for _, path := range append(files, "uninstall.yaml", "operator.yaml") {
		name := filepath.Base(path)
		if name == "kustomization.yaml" || name == "onejob.yaml" {
			continue
		}
		if strings.HasPrefix(path, "base/") && !slices.Contains(k.Resources, name) {
			t.Errorf("%s is not in the kustomization", name)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range bytes.SplitSeq(b, []byte("\n---\n")) {
			var meta struct {
				Kind string `json:"kind"`
			}
			if err := yaml.Unmarshal(doc, &meta); err != nil || kinds[meta.Kind] == nil {
				t.Errorf("%s: kind %q, %v", path, meta.Kind, err)
				continue
			}
			if err := yaml.UnmarshalStrict(doc, kinds[meta.Kind]()); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

func TestShippedConfiguration(t *testing.T) {
	if _, err := k8s.LoadConfig("base/onejob.yaml", "onejob"); err != nil {
		t.Error(err)
	}
	b, _ := os.ReadFile("base/priorityclass.yaml")
	if !bytes.Contains(b, []byte("name: "+k8s.WarmPriorityClass+"\n")) {
		t.Errorf("the PriorityClass is not named %s", k8s.WarmPriorityClass)
	}
}
