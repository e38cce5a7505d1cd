package kjob

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/stacks"
)

// Kubernetes' recommended labels, beside the contract's.
const (
	labelName      = "app.kubernetes.io/name"
	labelComponent = "app.kubernetes.io/component"
	labelManagedBy = "app.kubernetes.io/managed-by"
)

// New makes the kjob of one attempt at a job. New is a pure function, and the kjob shares
// nothing with the template. env is the job's own environment; t.WantsEnv says whether New
// needs it. An error is the job's fault: every attempt would have the same one.
func New(job stacks.Job, attempt int, t *Template, env map[string]string) (*batchv1.Job, error) {
	t, err := t.For(job.Rules)
	if err != nil {
		return nil, err
	}
	k := t.Job.DeepCopy()
	if t.NeedsEnv() {
		if k, err = fill(t.raw, env); err != nil {
			return nil, err
		}
		if err = checkTokenSecret(&k.Spec.Template.Spec, t.tokens); err != nil {
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
	if labels[contract.LabelInstallation] = t.Installation; t.OnTerm == onTermDrain {
		labels[contract.LabelOnTerm] = t.OnTerm
	}
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
	if len(pod.Spec.Containers) > 1 {
		pod.Annotations[contract.AnnotationImage] = image
	}
	keepLastLines(pod.Spec.InitContainers)
	agent := FindAgent(&pod.Spec)
	agent.Env = slices.Concat(agent.Env, tracing(agent.Env, t.AgentTracing), alone(&pod.Spec, agent))
	addHold(&pod.Spec, agent, t)
	if err := admissibleStep(k); err != nil {
		return nil, err
	}
	agent.Env = append(agent.Env, append(podEnv(job.ID, attempt, t, versionOf(agent)), corev1.EnvVar{Name: contract.EnvImage, Value: image})...)
	addSecrets(&pod.Spec, agent, t)
	return k, nil
}

// keepLastLines has containers leave the end of their log: once the pod is gone, only that
// says why one failed.
func keepLastLines(containers []corev1.Container) {
	for i := range containers {
		if c := &containers[i]; c.TerminationMessagePolicy == "" {
			c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
		}
	}
}

// honoured is the value of a step's `image:` that a pod honours: any value if the template's
// image has {{env.BUILDKITE_IMAGE}}, else only the pod's own image.
func honoured(template, pod string, env map[string]string) string {
	if strings.Contains(template, "{{env."+envImage+"}}") {
		return env[envImage]
	}
	return pod
}

// envImage is the variable of a job's environment that has the step's `image:`.
const envImage = "BUILDKITE_IMAGE"

// versionOf is the version of the contract that a runner needs for its pod.
func versionOf(agent *corev1.Container) int {
	has := func(names ...string) bool {
		return slices.ContainsFunc(agent.Env, func(e corev1.EnvVar) bool { return slices.Contains(names, e.Name) })
	}
	switch {
	case has(contract.EnvStepPrograms):
		return contract.VersionMounted
	case has(contract.EnvCommands, contract.EnvCheckoutEnv):
		return contract.VersionPlugin
	}
	return contract.Version
}

func podEnv(id contract.JobID, attempt int, t *Template, version int) []corev1.EnvVar {
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
		{Name: contract.EnvContractVersion, Value: strconv.Itoa(version)},
	}
	if t.OnTerm == onTermDrain {
		env = append(env, corev1.EnvVar{Name: contract.EnvOnTerm, Value: t.OnTerm})
	}
	return append(env, t.graces...)
}

// maxAnnotation is the longest annotation with a pipeline's text, in bytes: the API server
// allows 256 KiB for all annotations of an object.
const maxAnnotation = 2048

func annotations(job stacks.Job, t *Template) map[string]string {
	a := map[string]string{
		contract.AnnotationJobURL:   JobURL(t.Org, job),
		contract.AnnotationPipeline: job.Pipeline,
		contract.AnnotationBranch:   job.Branch,
		contract.AnnotationStep:     job.Step,
		contract.AnnotationClass:    config.ClassName(job.Rules),
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

// JobURL is the URL of the job's page, empty if organization, pipeline or build is unknown.
func JobURL(org string, job stacks.Job) string {
	if org == "" || job.Pipeline == "" || job.Build == 0 {
		return ""
	}
	return fmt.Sprintf("https://buildkite.com/%s/%s/builds/%d#%s", org, job.Pipeline, job.Build, job.ID)
}

// JobOf reads back from a kjob the job that New wrote there, for the next attempt.
func JobOf(k *batchv1.Job) stacks.Job {
	a := k.Annotations
	job := stacks.Job{
		ID: IDOf(k.Labels), Pipeline: contract.Word(a[contract.AnnotationPipeline]),
		Branch: contract.Word(a[contract.AnnotationBranch]), Step: contract.Word(a[contract.AnnotationStep]),
	}
	if class := contract.Word(a[contract.AnnotationClass]); class != "" {
		job.Rules = []string{config.ClassTag + "=" + class}
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
