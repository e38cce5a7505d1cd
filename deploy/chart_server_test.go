package deploy

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"
)

// The API server accepts every object of every value set (a dry run, strict about
// fields), in namespaces that enforce the restricted Pod Security Standard.
func TestChartIsAccepted(t *testing.T) {
	c := server(t)
	ctx, kube := t.Context(), c.Client()
	groups, err := restmapper.GetAPIGroupResources(kube.Discovery())
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	for i, set := range append(valueSets, "base") {
		rendered := mustRender(t, set)
		// Namespaces of its own; its accounts are there, because a pod must have one.
		ns := map[string]string{}
		for _, name := range []string{"onejob", "ci", "release"} {
			made, err := kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
				GenerateName: fmt.Sprintf("chart-%d-%s-", i, name), Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
			}}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			ns[name] = made.Name
		}
		var objects []*unstructured.Unstructured
		for _, docs := range documents(rendered) {
			for _, doc := range docs {
				o := &unstructured.Unstructured{}
				if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
					t.Fatal(err)
				}
				if o.GetNamespace() != "" {
					o.SetNamespace(ns[o.GetNamespace()])
				}
				objects = append(objects, o)
				if o.GetKind() == "ServiceAccount" {
					sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: o.GetName()}}
					if _, err := kube.CoreV1().ServiceAccounts(o.GetNamespace()).Create(ctx, sa, metav1.CreateOptions{}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for _, o := range objects {
			if strings.HasPrefix(o.GetAPIVersion(), "monitoring.coreos.com/") || o.GetKind() == "ServiceAccount" {
				continue // no such resource here; made above
			}
			mapping, err := mapper.RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
			if err != nil {
				t.Errorf("%s: %s %s: %v", set, o.GetKind(), o.GetName(), err)
				continue
			}
			var resource dynamic.ResourceInterface = client.Resource(mapping.Resource)
			if o.GetNamespace() != "" {
				resource = client.Resource(mapping.Resource).Namespace(o.GetNamespace())
			}
			if _, err := resource.Create(ctx, o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: "Strict"}); err != nil {
				t.Errorf("%s: %s %s: %v", set, o.GetKind(), o.GetName(), err)
			}
		}
	}
}
