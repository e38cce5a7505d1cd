package kjob

import (
	"cmp"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// Labels for people, beside the contract's. Their values are cut to what a
// label may hold; the annotations of the same name have them whole.
const (
	labelName      = "app.kubernetes.io/name"
	labelComponent = "app.kubernetes.io/component"
	labelManagedBy = "app.kubernetes.io/managed-by"
)

// New makes the kjob of one attempt at a job. It is a pure function; what it
// returns shares nothing with the template. env is the job's own environment,
// needed if t.WantsEnv; the error is the job's fault, and the
// same for every attempt.
func New(job stacks.Job, attempt int, t *Template, env map[string]string) (*batchv1.Job, error) {
	k := t.Job.DeepCopy()
	if t.NeedsEnv() {
		var err error
		if k, err = fill(t.raw, env); err != nil {
			return nil, err
		}
		if err := checkTokenSecret(&k.Spec.Template.Spec, t.tokens); err != nil {
			return nil, fmt.Errorf("filling the job's environment into the template: %w", err)
		}
	}
	labels := map[string]string{
		contract.LabelJobID:   job.ID.String(),
		contract.LabelAttempt: strconv.Itoa(attempt),
		contract.LabelQueue:   LabelValue(t.Queue),
		"onejob.dev/pipeline": LabelValue(job.Pipeline),
		"onejob.dev/branch":   LabelValue(job.Branch),
		"onejob.dev/step":     LabelValue(job.Step),
		labelName:             "onejob-agent",
		labelComponent:        "job",
		labelManagedBy:        contract.ManagedBy,
	}
	if t.OnTerm == onTermDrain {
		labels[contract.LabelOnTerm] = t.OnTerm
	}
	labels[contract.LabelInstallation] = t.Installation
	maps.DeleteFunc(labels, func(_, v string) bool { return v == "" })
	notes := annotations(job, t)

	k.TypeMeta = metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}
	k.ObjectMeta = metav1.ObjectMeta{
		Name: contract.KjobName(job.ID, attempt), Namespace: t.Namespace,
		Labels: merge(k.Labels, labels), Annotations: merge(k.Annotations, notes),
	}
	k.Status = batchv1.JobStatus{}
	k.Spec.Completions, k.Spec.Parallelism, k.Spec.BackoffLimit = ptr.To[int32](1), ptr.To[int32](1), ptr.To[int32](0)
	k.Spec.PodReplacementPolicy = ptr.To(batchv1.Failed)
	pod := &k.Spec.Template
	pod.Labels, pod.Annotations = merge(pod.Labels, labels), merge(pod.Annotations, notes)

	image, err := addStep(k, t, env)
	if err != nil {
		return nil, err
	}
	for i := range pod.Spec.InitContainers {
		// The end of its log is all that says why it failed, when the pod is gone.
		if c := &pod.Spec.InitContainers[i]; c.TerminationMessagePolicy == "" {
			c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
		}
	}
	agent := FindAgent(&pod.Spec)
	agent.Env = append(agent.Env, tracing(agent.Env, t.AgentTracing)...)
	addHold(&pod.Spec, agent, t)
	agent.Env = append(agent.Env, podEnv(job.ID, attempt, t)...)
	agent.Env = append(agent.Env, corev1.EnvVar{Name: contract.EnvImage, Value: image})
	return k, nil
}

// honoured is the value of a step's `image:` that a pod honours: the one that its
// template takes, or else the pod's image itself.
func honoured(template, pod string, env map[string]string) string {
	if strings.Contains(template, "{{env."+envImage+"}}") {
		return env[envImage]
	}
	return pod
}

// envImage is a step's `image:` in its job's environment.
const envImage = "BUILDKITE_IMAGE"

func podEnv(id contract.JobID, attempt int, t *Template) []corev1.EnvVar {
	tags := "queue=" + cmp.Or(t.QueueKey, t.Queue)
	for _, tag := range t.Tags {
		tags += "," + tag
	}
	env := []corev1.EnvVar{
		{Name: contract.EnvJobID, Value: id.String()},
		{Name: contract.EnvToken, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: t.TokenSecret.Name}, Key: t.TokenSecret.Key,
		}}},
		{Name: contract.EnvEndpoint, Value: t.AgentEndpoint},
		{Name: contract.EnvTags, Value: tags},
		{Name: contract.EnvAttempt, Value: strconv.Itoa(attempt)},
		{Name: contract.EnvContractVersion, Value: strconv.Itoa(contract.Version)},
	}
	if t.OnTerm == onTermDrain {
		env = append(env, corev1.EnvVar{Name: contract.EnvOnTerm, Value: t.OnTerm})
	}
	return append(env, t.graces...)
}

// maxAnnotation keeps a pipeline's text from filling the 256 KiB that the API
// server allows all annotations of an object.
const maxAnnotation = 2048

func annotations(job stacks.Job, t *Template) map[string]string {
	a := map[string]string{
		contract.AnnotationJobURL:   JobURL(t.Org, job),
		contract.AnnotationPipeline: job.Pipeline,
		contract.AnnotationBranch:   job.Branch,
		contract.AnnotationStep:     job.Step,
		contract.AnnotationPriority: strconv.Itoa(job.Priority),
	}
	if job.Build != 0 {
		a[contract.AnnotationBuild] = strconv.Itoa(job.Build)
	}
	if !job.ScheduledAt.IsZero() {
		a[contract.AnnotationScheduled] = job.ScheduledAt.UTC().Format(time.RFC3339Nano)
	}
	maps.DeleteFunc(a, func(_, v string) bool { return v == "" })
	for k, v := range a {
		a[k] = contract.Line(v, maxAnnotation)
	}
	return a
}

// JobURL is the job's page, empty when it can't be known.
func JobURL(org string, job stacks.Job) string {
	if org == "" || job.Pipeline == "" || job.Build == 0 {
		return ""
	}
	return fmt.Sprintf("https://buildkite.com/%s/%s/builds/%d#%s", org, job.Pipeline, job.Build, job.ID)
}

// JobOf reads back from a kjob what New wrote: the job as the list gave it,
// for the next attempt.
func JobOf(k *batchv1.Job) stacks.Job {
	a := k.Annotations
	job := stacks.Job{
		ID: IDOf(k.Labels), Pipeline: contract.Word(a[contract.AnnotationPipeline]),
		Branch: contract.Word(a[contract.AnnotationBranch]), Step: contract.Word(a[contract.AnnotationStep]),
	}
	job.Priority, _ = strconv.Atoi(a[contract.AnnotationPriority])
	job.Build, _ = strconv.Atoi(a[contract.AnnotationBuild])
	job.ScheduledAt, _ = time.Parse(time.RFC3339Nano, a[contract.AnnotationScheduled])
	return job
}

func merge(a, b map[string]string) map[string]string {
	m := maps.Clone(a)
	if m == nil {
		m = map[string]string{}
	}
	maps.Copy(m, b)
	return m
}
