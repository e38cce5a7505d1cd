package kjob

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/stacks"
)

// DryRun has the API server say what it would say of a template's kjob and of
// its pod, and of those of its resource classes, without making either (dry run): Pod Security, quota, webhooks, a
// ServiceAccount, PriorityClass or RuntimeClass that isn't there; and looks for
// the Secrets, ConfigMaps and volume claims that the pod names. It needs the
// rights to create jobs and pods; what it may not look at is in notes and no
// error. The error holds every fault.
func DryRun(ctx context.Context, client kube.Client, t *Template) (notes []string, err error) {
	var errs []error
	if t.mirrors != nil {
		switch _, err := NewestSnapshot(ctx, client, t.Namespace, *t.mirrors); {
		case errors.Is(err, ErrMayNotLook):
			notes = append(notes, fmt.Sprintf("queue %s: a snapshot of its git mirrors in namespace %s was not looked for: no right to list volumesnapshots", t.Queue, t.Namespace))
		case err != nil:
			notes = append(notes, fmt.Sprintf("queue %s: its jobs would have no git mirrors: %s", t.Queue, err))
		}
	}
	for _, of := range t.each() {
		more, err := dryRun(ctx, client, of)
		for _, note := range more {
			if !slices.Contains(notes, note) {
				notes = append(notes, note)
			}
		}
		if err != nil && !slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) {
			errs = append(errs, err)
		}
	}
	return notes, errors.Join(errs...)
}

func dryRun(ctx context.Context, client kube.Client, t *Template) (notes []string, err error) {
	if t.Mounted && t.image == "" && !hasVariable(t.Image()) {
		of := *t
		of.image, t = t.Image(), &of // as a step has one: an API server without image volumes refuses its pod
	}
	t = t.WithSnapshot(SampleSnapshot)
	k, err := New(stacks.Job{ID: contract.SampleJobID}, 1, t, t.sampleEnv("1"))
	if err != nil {
		return nil, err
	}
	other, err := New(stacks.Job{ID: contract.SampleJobID}, 1, t, t.sampleEnv("2"))
	if err != nil {
		return nil, err
	}
	of := t.refsOf(&other.Spec.Template.Spec)
	var errs []error
	bad := func(what string, err error) {
		if err != nil && !apierrors.IsAlreadyExists(err) {
			errs = append(errs, fmt.Errorf("queue %s: %s in namespace %s: %w", t.Queue, what, t.Namespace, err))
		}
	}
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict}
	_, err = client.BatchV1().Jobs(t.Namespace).Create(ctx, k, dry)
	bad("the Kubernetes Job", err)
	pod := &corev1.Pod{ObjectMeta: k.Spec.Template.ObjectMeta, Spec: k.Spec.Template.Spec}
	pod.Name, pod.Namespace = k.Name+"-x", t.Namespace
	_, err = client.CoreV1().Pods(t.Namespace).Create(ctx, pod, dry)
	bad("its pod", err)
	for i, r := range t.refsOf(&pod.Spec) {
		if i >= len(of) || of[i] != r {
			notes = append(notes, fmt.Sprintf("queue %s: a %s in namespace %s was not checked: its name depends on the job", t.Queue, r.kind, t.Namespace))
			continue
		}
		switch err := r.check(ctx, client, t.Namespace); {
		case apierrors.IsForbidden(err):
			notes = append(notes, fmt.Sprintf("queue %s: %s in namespace %s was not checked: no right to get it", t.Queue, r, t.Namespace))
		default:
			bad(r.String(), err)
		}
	}
	return notes, errors.Join(errs...)
}

// sampleEnv gives every template variable the same value. A digit is valid as an image's
// tag, a quantity and a label's value.
func (t *Template) sampleEnv(value string) map[string]string {
	env := map[string]string{}
	for _, match := range templateVariable.FindAllStringSubmatch(t.raw, -1) {
		env[match[1]] = value
	}
	return env
}

// ref is a Secret, a ConfigMap or a claim that a pod can't start without.
type ref struct{ kind, name, key string }

func (r ref) String() string { return r.kind + " " + r.name }

func (r ref) check(ctx context.Context, client kube.Client, namespace string) error {
	has := false
	switch r.kind {
	case "PersistentVolumeClaim":
		_, err := client.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, r.name, metav1.GetOptions{})
		return err
	case "Secret":
		s, err := client.CoreV1().Secrets(namespace).Get(ctx, r.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		_, has = s.Data[r.key]
	default:
		c, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, r.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		_, text := c.Data[r.key]
		_, binary := c.BinaryData[r.key]
		has = text || binary
	}
	if r.key != "" && !has {
		return fmt.Errorf("it has no key %q", r.key)
	}
	return nil
}

// refsOf lists the Secrets, ConfigMaps and claims that a pod of the template, and a sidecar of
// a step, can't start without, each once.
func (t *Template) refsOf(s *corev1.PodSpec) (refs []ref) {
	containers := slices.Concat(s.InitContainers, s.Containers)
	if p := t.setting.SidecarParams; p != nil {
		containers = append(containers, corev1.Container{EnvFrom: p.EnvFrom})
	}
	add := func(kind, name, key string, optional *bool) {
		r := ref{kind, name, key}
		if !ptr.Deref(optional, false) && !slices.Contains(refs, r) {
			refs = append(refs, r)
		}
	}
	for _, c := range containers {
		for _, e := range c.Env {
			if v := e.ValueFrom; v != nil && v.SecretKeyRef != nil {
				add("Secret", v.SecretKeyRef.Name, v.SecretKeyRef.Key, v.SecretKeyRef.Optional)
			} else if v != nil && v.ConfigMapKeyRef != nil {
				add("ConfigMap", v.ConfigMapKeyRef.Name, v.ConfigMapKeyRef.Key, v.ConfigMapKeyRef.Optional)
			}
		}
		for _, e := range c.EnvFrom {
			if e.SecretRef != nil {
				add("Secret", e.SecretRef.Name, "", e.SecretRef.Optional)
			} else if e.ConfigMapRef != nil {
				add("ConfigMap", e.ConfigMapRef.Name, "", e.ConfigMapRef.Optional)
			}
		}
	}
	volume := func(kind, name string, items []corev1.KeyToPath, optional *bool) {
		add(kind, name, "", optional)
		for _, item := range items {
			add(kind, name, item.Key, optional)
		}
	}
	for _, v := range s.Volumes {
		switch {
		case v.Secret != nil:
			volume("Secret", v.Secret.SecretName, v.Secret.Items, v.Secret.Optional)
		case v.ConfigMap != nil:
			volume("ConfigMap", v.ConfigMap.Name, v.ConfigMap.Items, v.ConfigMap.Optional)
		case v.PersistentVolumeClaim != nil:
			add("PersistentVolumeClaim", v.PersistentVolumeClaim.ClaimName, "", nil)
		case v.Projected != nil:
			for _, p := range v.Projected.Sources {
				if p.Secret != nil {
					volume("Secret", p.Secret.Name, p.Secret.Items, p.Secret.Optional)
				} else if p.ConfigMap != nil {
					volume("ConfigMap", p.ConfigMap.Name, p.ConfigMap.Items, p.ConfigMap.Optional)
				}
			}
		}
	}
	return refs
}
