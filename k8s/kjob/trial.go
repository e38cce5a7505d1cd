package kjob

import (
	"maps"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// trialLife bounds how long a trial stays if nobody deletes it.
const trialLife = 10 * time.Minute

// Trial is a Job whose pod pulls the images of a template's pods where they would, and
// runs nothing of them: its command is in no image. It has no label of onejob's, so no
// scheduler takes it for its own. unknown are images whose name depends on the job.
func Trial(t *Template, name string) (trial *batchv1.Job, unknown []string, err error) {
	k, err := New(stacks.Job{ID: contract.SampleJobID}, 1, t, t.sampleEnv("1"))
	if err != nil {
		return nil, nil, err
	}
	other, err := New(stacks.Job{ID: contract.SampleJobID}, 1, t, t.sampleEnv("2"))
	if err != nil {
		return nil, nil, err
	}
	of := &k.Spec.Template.Spec
	all, again := slices.Concat(of.Containers, of.InitContainers), slices.Concat(other.Spec.Template.Spec.Containers, other.Spec.Template.Spec.InitContainers)
	spec := corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: new(false), TerminationGracePeriodSeconds: new(int64(0)),
		ServiceAccountName: of.ServiceAccountName, ImagePullSecrets: of.ImagePullSecrets, SecurityContext: of.SecurityContext,
		NodeSelector: of.NodeSelector, Affinity: of.Affinity, Tolerations: of.Tolerations, SchedulerName: of.SchedulerName,
		RuntimeClassName: of.RuntimeClassName, PriorityClassName: of.PriorityClassName, HostUsers: of.HostUsers,
	}
	seen := map[string]bool{}
	for i, c := range all {
		switch {
		case seen[c.Image]:
			continue
		case again[i].Image != c.Image:
			unknown = append(unknown, c.Name)
			continue
		}
		seen[c.Image] = true
		spec.Containers = append(spec.Containers, corev1.Container{
			Name: c.Name, Image: c.Image, ImagePullPolicy: c.ImagePullPolicy, Command: []string{"/onejob-doctor-runs-nothing"},
			SecurityContext: c.SecurityContext, Resources: c.Resources,
		})
	}
	labels := maps.Clone(k.Labels)
	maps.DeleteFunc(labels, func(key, _ string) bool { return strings.HasPrefix(key, "onejob.dev/") || key == labelManagedBy })
	if labels == nil {
		labels = map[string]string{}
	}
	labels["app.kubernetes.io/name"], labels["app.kubernetes.io/component"] = "onejob", "doctor"
	seconds := trialLife / time.Second
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: t.Namespace, Labels: labels},
		Spec: batchv1.JobSpec{
			BackoffLimit: ptr.To[int32](0), TTLSecondsAfterFinished: ptr.To(int32(seconds)), ActiveDeadlineSeconds: ptr.To(int64(seconds)),
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
		},
	}, unknown, nil
}
