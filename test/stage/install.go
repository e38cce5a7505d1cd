package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster/image"
)

// install applies the manifests of dir as `kubectl apply -k` would, with the
// images that were built here and config as the scheduler's configuration.
func (s *Stage) install(ctx context.Context, dir, config string) error {
	var kustomization struct{ Resources []string }
	b, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	if err == nil {
		err = yaml.Unmarshal(b, &kustomization)
	}
	if err != nil {
		return err
	}
	for _, name := range kustomization.Resources {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		for doc := range strings.SplitSeq(string(b), "\n---\n") {
			var object unstructured.Unstructured
			if err := yaml.Unmarshal([]byte(doc), &object.Object); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if object.GetKind() == "Deployment" {
				// The Deployment mounts both; they must be there first.
				if err := s.settings(ctx, config); err != nil {
					return err
				}
				if err := useImage(&object); err != nil {
					return err
				}
			}
			if err := s.apply(ctx, &object); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// settings makes what a user makes beside the manifests: the token's Secret and
// the configuration.
func (s *Stage) settings(ctx context.Context, config string) error {
	core := s.Cluster.Client().CoreV1()
	_, err := core.Secrets(Namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "onejob-agent-token"},
		StringData: map[string]string{"token": simulator.DefaultAgentToken},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = core.ConfigMaps(Namespace).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "onejob"},
		Data:       map[string]string{"onejob.yaml": "endpoint: " + s.URL + "v3\n" + config},
	}, metav1.CreateOptions{})
	return err
}

// useImage has the Deployment run the image that was built here.
func useImage(d *unstructured.Unstructured) error {
	containers, _, err := unstructured.NestedSlice(d.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		return fmt.Errorf("the Deployment has %d containers: %w", len(containers), err)
	}
	c := containers[0].(map[string]any)
	c["image"], c["imagePullPolicy"] = image.SchedulerName, "Never"
	return unstructured.SetNestedSlice(d.Object, containers, "spec", "template", "spec", "containers")
}

func (s *Stage) apply(ctx context.Context, object *unstructured.Unstructured) error {
	groups, err := restmapper.GetAPIGroupResources(s.Cluster.Client().Discovery())
	if err != nil {
		return err
	}
	gvk := object.GroupVersionKind()
	mapping, err := restmapper.NewDiscoveryRESTMapper(groups).RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(s.Cluster.RESTConfig())
	if err != nil {
		return err
	}
	resource := dynamic.ResourceInterface(client.Resource(mapping.Resource))
	if mapping.Scope.Name() == "namespace" {
		resource = client.Resource(mapping.Resource).Namespace(Namespace)
	}
	_, err = resource.Create(ctx, object, metav1.CreateOptions{FieldValidation: "Strict"})
	return err
}
