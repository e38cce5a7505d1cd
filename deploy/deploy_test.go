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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/stacks"
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
	paths := []string{"uninstall.yaml", "operator.yaml"}
	for _, dir := range []string{"base", "drain"} {
		var k struct {
			Resources []string `json:"resources"`
		}
		b, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(b, &k); err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*.yaml"))
		for _, path := range files {
			name := filepath.Base(path)
			if name == "kustomization.yaml" || name == "onejob.yaml" {
				continue
			}
			if !slices.Contains(k.Resources, name) {
				t.Errorf("%s is not in the kustomization", path)
			}
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
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

// One budget guards all pods that drain, however many there are, and no other.
func TestDrainBudget(t *testing.T) {
	b, err := os.ReadFile("drain/poddisruptionbudget.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var budget policyv1.PodDisruptionBudget
	if err := yaml.UnmarshalStrict(b, &budget); err != nil {
		t.Fatal(err)
	}
	selects := func(onTerm string) bool {
		c, err := config.Parse([]byte("queues: [{name: q, on-term: "+onTerm+"}]"), "builds")
		if err != nil {
			t.Fatal(err)
		}
		template, err := kjob.Parse(nil, c.Queues[0])
		if err != nil {
			t.Fatal(err)
		}
		k, err := kjob.New(stacks.Job{ID: contract.SampleJobID}, 1, template, nil)
		if err != nil {
			t.Fatal(err)
		}
		selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
		if err != nil {
			t.Fatal(err)
		}
		return selector.Matches(labels.Set(k.Spec.Template.Labels))
	}
	if !selects("drain") || selects("cancel") {
		t.Errorf("the budget selects drain pods: %t, cancel pods: %t", selects("drain"), selects("cancel"))
	}
	if n := budget.Spec.MinAvailable; n == nil || n.Type != intstr.Int || n.IntValue() < 100_000 || *budget.Spec.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow {
		t.Errorf("minAvailable %v, %v: want an integer that there will never be, and AlwaysAllow", n, budget.Spec.UnhealthyPodEvictionPolicy)
	}
}

// No queue's name is assumed: who applies what is shipped is told to write one, and that
// is all that is missing.
func TestShippedConfiguration(t *testing.T) {
	if _, err := config.Load("base/onejob.yaml", "onejob"); err == nil || !strings.Contains(err.Error(), "queues[0]: no name: write the key of a self-hosted queue") {
		t.Errorf("as shipped it is read: %v", err)
	}
	named(t, "base/onejob.yaml")
	b, _ := os.ReadFile("base/priorityclass.yaml")
	if !bytes.Contains(b, []byte("name: "+kjob.WarmPriorityClass+"\n")) {
		t.Errorf("the PriorityClass is not named %s", kjob.WarmPriorityClass)
	}
}

// named is a configuration that is shipped, with the name that its user writes.
func named(t *testing.T, path string) *config.Config {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(b, []byte(`name: ""`)) != 1 {
		t.Errorf("%s doesn't have one name to write", path)
	}
	return parsed(t, strings.Replace(string(b), `name: ""`, "name: default", 1))
}
