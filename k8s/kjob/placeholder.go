package kjob

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
)

const (
	// WarmPriorityClass is a PriorityClass of -10 that preempts no pod; deploy/ has it.
	WarmPriorityClass = "onejob-warm"
	// PlaceholderPrefix begins the names of placeholders.
	PlaceholderPrefix = "onejob-warm-"
	// AnnotationPlaceholder is a hash of a placeholder's spec.
	AnnotationPlaceholder = "onejob.dev/warm"
	// MaxWarm is the most placeholders of a queue.
	MaxWarm = 1000
)

// PlaceholderName is the name of a queue's placeholder number n. It has the queue's name if
// a Job's name can hold it. Otherwise, or if the installation has a name, it has a hash, so
// that two queues, of one installation or two, don't share a placeholder.
func PlaceholderName(queue, installation string, n int) string {
	name := strings.Trim(strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(LabelValue(queue))), "-")
	whole := queue
	if installation != "" {
		whole = installation + "/" + queue
	}
	if name != whole || len(name) > 40 {
		name = strings.Trim(name[:min(len(name), 31)], "-") + "-" + Hash8(whole)
	}
	return fmt.Sprintf(PlaceholderPrefix+"%s-%d", name, n)
}

// checkPlaceholder refuses a template that leaves a template variable in its placeholders,
// because no job fills it: the kubelet would wait for an image of that name. Placeholders
// have no environment, labels, volumes and init containers of the template's, so these may
// have template variables.
func checkPlaceholder(t *Template) error {
	if t.agent() == nil || t.Job.Spec.ActiveDeadlineSeconds == nil {
		return nil // checkTemplate says so
	}
	doc, err := json.Marshal(NewPlaceholder(t, 1))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range variables(doc) {
		errs = append(errs, fmt.Errorf("%s: {{env.NAME}} has no value in a warm placeholder, which has no job: take it out, or leave the queue without min-agents and buffer", path))
	}
	return errors.Join(errs...)
}

// NewPlaceholder makes a queue's placeholder number n: a kjob with the template's pod, which
// only sleeps and has the priority class WarmPriorityClass, so that a job's pod preempts it.
func NewPlaceholder(t *Template, n int) *batchv1.Job {
	k := t.Job.DeepCopy()
	labels := map[string]string{
		contract.LabelQueue: LabelValue(t.Queue), labelName: "onejob-agent", labelComponent: "warm", labelManagedBy: contract.ManagedBy,
	}
	if t.Installation != "" {
		labels[contract.LabelInstallation] = t.Installation
	}
	k.TypeMeta = metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}
	k.ObjectMeta = metav1.ObjectMeta{Name: PlaceholderName(t.Queue, t.Installation, n), Namespace: t.Namespace, Labels: labels}
	k.Status, k.Spec.Suspend = batchv1.JobStatus{}, nil
	k.Spec.Completions, k.Spec.Parallelism = ptr.To[int32](1), ptr.To[int32](1)
	// A preempted placeholder has done its work: it is deleted at once.
	k.Spec.BackoffLimit, k.Spec.TTLSecondsAfterFinished = ptr.To[int32](0), ptr.To[int32](0)
	k.Spec.Template.ObjectMeta = metav1.ObjectMeta{Labels: labels}
	pod := &k.Spec.Template.Spec
	pod.TerminationGracePeriodSeconds = ptr.To[int64](0)
	pod.PriorityClassName, pod.Priority, pod.PreemptionPolicy = WarmPriorityClass, nil, nil
	pod.InitContainers, pod.Volumes = nil, nil
	agent := FindAgent(pod)
	agent.Command, agent.Args = []string{"sleep"}, []string{strconv.FormatInt(*k.Spec.ActiveDeadlineSeconds, 10)}
	agent.Env, agent.EnvFrom, agent.VolumeMounts, agent.Lifecycle = nil, nil, nil, nil
	agent.LivenessProbe, agent.ReadinessProbe, agent.StartupProbe = nil, nil, nil
	spec, _ := json.Marshal(k.Spec) // it came from JSON
	k.Annotations = map[string]string{AnnotationPlaceholder: Hash8(string(spec))}
	return k
}
