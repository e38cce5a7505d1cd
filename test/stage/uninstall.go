package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Install installs onejob, which Up has done, again, and returns when the
// scheduler's replicas are ready.
func (s *Stage) Install(ctx context.Context, o Options) error {
	if err := s.install(ctx, filepath.Join(o.Root, "deploy", "base"), o); err != nil {
		return err
	}
	return s.ready(ctx)
}

// Uninstall follows the recipe of deploy/README.md under root, of which it does
// each line as kubectl does. It returns when all that deploy/base installs is
// gone.
func (s *Stage) Uninstall(ctx context.Context, root string) error {
	deploy := filepath.Join(root, "deploy")
	steps := []struct {
		line string
		do   func(context.Context) error
	}{
		{"kubectl -n onejob scale deployment/onejob --replicas=0", s.scaleDown},
		{"kubectl -n onejob wait --for=delete pod -l app.kubernetes.io/component=scheduler --timeout=2m", s.noScheduler},
		{"kubectl apply -f deploy/uninstall.yaml", func(ctx context.Context) error { return s.deregister(ctx, filepath.Join(deploy, "uninstall.yaml")) }},
		{"kubectl -n onejob wait --for=condition=complete job/onejob-deregister --timeout=2m", s.deregistered},
		{"kubectl delete -k deploy/base --ignore-not-found", func(ctx context.Context) error { return s.delete(ctx, filepath.Join(deploy, "base")) }},
	}
	text, err := os.ReadFile(filepath.Join(deploy, "README.md"))
	if err != nil {
		return err
	}
	var want []string
	for _, step := range steps {
		want = append(want, step.line)
	}
	if got := recipe(string(text), "To uninstall"); !slices.Equal(got, want) {
		return fmt.Errorf("the recipe is another one: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, step := range steps {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w%s", step.line, err, s.story())
		}
	}
	return nil
}

// recipe is the first block of commands after the paragraph that begins so.
func recipe(text, paragraph string) (lines []string) {
	_, text, _ = strings.Cut(text, "\n"+paragraph)
	for line := range strings.Lines(text) {
		command, is := strings.CutPrefix(line, "    ")
		switch {
		case is:
			lines = append(lines, strings.TrimSpace(command))
		case len(lines) > 0:
			return lines
		}
	}
	return lines
}

func (s *Stage) scaleDown(ctx context.Context) error {
	deployments := s.Cluster.Client().AppsV1().Deployments(Namespace)
	scale, err := deployments.GetScale(ctx, "onejob", metav1.GetOptions{})
	if err != nil {
		return err
	}
	scale.Spec.Replicas = 0
	_, err = deployments.UpdateScale(ctx, "onejob", scale, metav1.UpdateOptions{})
	return err
}

func (s *Stage) noScheduler(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		pods, err := s.Cluster.Client().CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=scheduler"})
		return err == nil && len(pods.Items) == 0, err
	})
}

func (s *Stage) deregister(ctx context.Context, path string) error {
	objects, err := read(path)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := useImage(object); err != nil {
			return err
		}
		if err := s.apply(ctx, object, object.GetNamespace()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) deregistered(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		k, err := s.Cluster.Client().BatchV1().Jobs(Namespace).Get(ctx, "onejob-deregister", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		return slices.ContainsFunc(k.Status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == batchv1.JobComplete }), nil
	})
}

// delete deletes the objects of a kustomization and waits until they are gone.
func (s *Stage) delete(ctx context.Context, dir string) error {
	objects, err := manifests(dir)
	if err != nil {
		return err
	}
	gone := func(err error) bool { return apierrors.IsNotFound(err) }
	for _, object := range objects {
		resource, err := s.resource(object, Namespace)
		if err != nil {
			return err
		}
		background := metav1.DeletePropagationBackground
		if err := resource.Delete(ctx, object.GetName(), metav1.DeleteOptions{PropagationPolicy: &background}); err != nil && !gone(err) {
			return err
		}
	}
	for _, object := range objects {
		err := poll(ctx, func() (bool, error) {
			resource, err := s.resource(object, Namespace)
			if err != nil {
				return false, err
			}
			_, err = resource.Get(ctx, object.GetName(), metav1.GetOptions{})
			if gone(err) {
				return true, nil
			}
			return false, err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name(object), err)
		}
	}
	return nil
}

func name(o *unstructured.Unstructured) string { return o.GetKind() + " " + o.GetName() }

// poll asks until it is so.
func poll(ctx context.Context, so func() (bool, error)) error {
	for {
		if is, err := so(); is || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
