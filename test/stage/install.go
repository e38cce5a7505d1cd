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
// images that were built here and o.Config as the scheduler's configuration.
func (s *Stage) install(ctx context.Context, dir string, o Options) error {
	objects, err := manifests(dir)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if object.GetKind() == "Deployment" {
			// It mounts both, and asks for the namespaces at once.
			if err := s.settings(ctx, o.Config); err != nil {
				return err
			}
			for _, name := range o.Namespaces {
				if err := s.addNamespace(ctx, name, objects); err != nil {
					return err
				}
			}
			if err := useImage(object); err != nil {
				return err
			}
			if s.Front != nil {
				if err := trustFront(object); err != nil {
					return err
				}
			}
		}
		if err := s.apply(ctx, object, Namespace); err != nil {
			return fmt.Errorf("%s: %w", name(object), err)
		}
	}
	return nil
}

// manifests reads the objects that a kustomization lists.
func manifests(dir string) (objects []*unstructured.Unstructured, err error) {
	var kustomization struct{ Resources []string }
	b, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	if err == nil {
		err = yaml.Unmarshal(b, &kustomization)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range kustomization.Resources {
		some, err := read(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		objects = append(objects, some...)
	}
	return objects, nil
}

// read reads the objects of a file.
func read(path string) (objects []*unstructured.Unstructured, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for doc := range strings.SplitSeq(string(b), "\n---\n") {
		var object unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(doc), &object.Object); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		objects = append(objects, &object)
	}
	return objects, nil
}

// Apply applies the kustomization in dir to a namespace, as
// `kubectl apply -n NAMESPACE -k DIR` would.
func (s *Stage) Apply(ctx context.Context, dir, namespace string) error {
	objects, err := manifests(dir)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := s.apply(ctx, object, namespace); err != nil {
			return fmt.Errorf("%s: %w", name(object), err)
		}
	}
	return nil
}

// addNamespace makes a namespace for queues: the Role and its binding, and the
// token for the pods.
func (s *Stage) addNamespace(ctx context.Context, name string, objects []*unstructured.Unstructured) error {
	core := s.Cluster.Client().CoreV1()
	if _, err := core.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	for _, object := range objects {
		if kind := object.GetKind(); (kind == "Role" || kind == "RoleBinding") && object.GetName() == "onejob" {
			if err := s.apply(ctx, object.DeepCopy(), name); err != nil {
				return err
			}
		}
	}
	return s.secret(ctx, name)
}

func (s *Stage) secret(ctx context.Context, namespace string) error {
	_, err := s.Cluster.Client().CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "onejob-agent-token"},
		StringData: map[string]string{"token": simulator.DefaultAgentToken},
	}, metav1.CreateOptions{})
	return err
}

// settings makes what a user makes beside the manifests: the token's Secret and
// the configuration.
func (s *Stage) settings(ctx context.Context, config string) error {
	if err := s.secret(ctx, Namespace); err != nil {
		return err
	}
	files := map[string]string{"onejob.yaml": "endpoint: " + s.URL + "v3\n" + config}
	if s.Front != nil {
		files["ca.pem"] = s.Front.pem()
	}
	_, err := s.Cluster.Client().CoreV1().ConfigMaps(Namespace).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "onejob"}, Data: files,
	}, metav1.CreateOptions{})
	return err
}

// useImage has a Deployment or a Job run the image that was built here.
func useImage(d *unstructured.Unstructured) error {
	containers, _, err := unstructured.NestedSlice(d.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		return fmt.Errorf("%s has %d containers: %w", name(d), len(containers), err)
	}
	c := containers[0].(map[string]any)
	c["image"], c["imagePullPolicy"] = image.SchedulerName, "Never"
	return unstructured.SetNestedSlice(d.Object, containers, "spec", "template", "spec", "containers")
}

func (s *Stage) apply(ctx context.Context, object *unstructured.Unstructured, namespace string) error {
	resource, err := s.resource(object, namespace)
	if err != nil {
		return err
	}
	_, err = resource.Create(ctx, object, metav1.CreateOptions{FieldValidation: "Strict"})
	return err
}

// resource is where an object is made and deleted; the namespace doesn't matter
// to one that has none.
func (s *Stage) resource(object *unstructured.Unstructured, namespace string) (dynamic.ResourceInterface, error) {
	groups, err := restmapper.GetAPIGroupResources(s.Cluster.Client().Discovery())
	if err != nil {
		return nil, err
	}
	gvk := object.GroupVersionKind()
	mapping, err := restmapper.NewDiscoveryRESTMapper(groups).RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(s.Cluster.RESTConfig())
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == "namespace" {
		return client.Resource(mapping.Resource).Namespace(namespace), nil
	}
	return client.Resource(mapping.Resource), nil
}
