package kjob

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/stacks"
)

// NeedsPodTemplate: the step names a PodTemplate, which the queue's policy allows. New is
// to be called with a template that has it (With).
type NeedsPodTemplate struct{ Name string }

func (e *NeedsPodTemplate) Error() string {
	return fmt.Sprintf("kubernetes.podTemplate: %s is in the cluster, which wasn't asked for it", contract.Line(e.Name, 60))
}

// With is the template for a job whose step names a PodTemplate: that pod's.
func (t *Template) With(pod *corev1.PodSpec) *Template {
	with := *t
	with.named = pod
	return &with
}

// ReadPodTemplate reads the PodTemplate that a step names, without the defaults that the
// API server has filled in.
func ReadPodTemplate(ctx context.Context, client kube.Client, namespace, name string) (*corev1.PodSpec, error) {
	p, err := client.CoreV1().PodTemplates(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the PodTemplate that the step names (kubernetes.podTemplate): %w", err)
	}
	spec := p.Template.Spec.DeepCopy()
	if spec.RestartPolicy == corev1.RestartPolicyAlways {
		spec.RestartPolicy = ""
	}
	if spec.DNSPolicy == corev1.DNSClusterFirst {
		spec.DNSPolicy = ""
	}
	if spec.SchedulerName == corev1.DefaultSchedulerName {
		spec.SchedulerName = ""
	}
	if ptr.Deref(spec.TerminationGracePeriodSeconds, 0) == corev1.DefaultTerminationGracePeriodSeconds {
		spec.TerminationGracePeriodSeconds = nil
	}
	if spec.DeprecatedServiceAccount == spec.ServiceAccountName {
		spec.DeprecatedServiceAccount = ""
	}
	return spec, nil
}

// NewIn is New for whoever has a cluster at hand, which is asked for the snapshot of the
// queue's git mirrors, and for the PodTemplate that the step names, if it names one. Without
// a snapshot, or the right to look for it, the pod has no mirrors.
func NewIn(ctx context.Context, client kube.Client, job stacks.Job, attempt int, t *Template, env map[string]string) (*batchv1.Job, error) {
	if t.mirrors != nil && t.snapshot == "" {
		if name, err := NewestSnapshot(ctx, client, t.Namespace, *t.mirrors); err == nil {
			t = t.WithSnapshot(name)
		}
	}
	k, err := New(job, attempt, t, env)
	var needs *NeedsPodTemplate
	if !errors.As(err, &needs) {
		return k, err
	}
	pod, err := ReadPodTemplate(ctx, client, t.Namespace, needs.Name)
	if err != nil {
		return nil, err
	}
	return New(job, attempt, t.With(pod), env)
}

// taken are the fields of a pod that addPodFields and those before it take from a step,
// and those that say what is so anyway.
var taken = []string{
	"nodeSelector", "tolerations", "topologySpreadConstraints", "imagePullSecrets", "affinity", "priorityClassName", "runtimeClassName", "preemptionPolicy",
	"serviceAccountName", "activeDeadlineSeconds", "hostUsers", "resources", "hostNetwork", "hostIPC", "securityContext", "terminationGracePeriodSeconds", "os",
}

// notTaken is what a PodTemplate says of its pod beyond that. The policy doesn't judge what
// an administrator wrote; but nothing of it is left out in silence.
func notTaken(name string, spec *corev1.PodSpec) error {
	var errs []error
	v := reflect.ValueOf(*spec)
	for i := range v.NumField() {
		field, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if v.Field(i).IsZero() || slices.Contains(taken, field) {
			continue
		}
		if p := v.Field(i); p.Kind() == reflect.Pointer && p.Elem().Kind() == reflect.Bool && !p.Elem().Bool() {
			continue
		}
		errs = append(errs, fmt.Errorf("kubernetes.podTemplate: the PodTemplate %s sets %s, which is the queue's to say of its pods: take it out there, or put it into the queue's template", contract.Line(name, 60), field))
	}
	return errors.Join(errs...)
}
