package kjob

import (
	"errors"
	"maps"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
)

// checkTemplate refuses a template that would break the rule of one kjob, one pod, one
// attempt, or that the API server would refuse at the first job.
func checkTemplate(job *batchv1.Job) error {
	f := &faults{}
	f.checkJob(&job.Spec)
	f.checkPod(&job.Spec.Template.Spec)
	f.checkLabels("metadata", job.Labels)
	f.checkLabels("spec.template.metadata", job.Spec.Template.Labels)
	return errors.Join(f.errs...)
}

func (f *faults) checkJob(s *batchv1.JobSpec) {
	fixed := func(name string, got *int32, want int32) {
		if n := ptr.Deref(got, want); n != want {
			f.bad("spec."+name, "%d, but one Kubernetes Job is one pod: it is always %d", n, want)
		}
	}
	fixed("completions", s.Completions, 1)
	fixed("parallelism", s.Parallelism, 1)
	fixed("backoffLimit", s.BackoffLimit, 0)
	if policy := ptr.Deref(s.PodReplacementPolicy, batchv1.Failed); policy != batchv1.Failed {
		f.bad("spec.podReplacementPolicy", "%s, but it is always Failed", policy)
	}
	if by := ptr.Deref(s.ManagedBy, batchv1.JobControllerName); by != batchv1.JobControllerName {
		f.bad("spec.managedBy", "%s, but the Job controller of this cluster must make the pod: take it out", by)
	}
	for name, set := range map[string]bool{
		"podFailurePolicy": s.PodFailurePolicy != nil, "successPolicy": s.SuccessPolicy != nil, "backoffLimitPerIndex": s.BackoffLimitPerIndex != nil,
		"selector": s.Selector != nil, "manualSelector": ptr.Deref(s.ManualSelector, false),
		"completionMode": ptr.Deref(s.CompletionMode, batchv1.NonIndexedCompletion) != batchv1.NonIndexedCompletion,
	} {
		if set {
			f.bad("spec."+name, "can't be set: the scheduler decides on new attempts, each a new Kubernetes Job")
		}
	}
	if ptr.Deref(s.ActiveDeadlineSeconds, 0) < 1 {
		f.bad("spec.activeDeadlineSeconds", "must be at least 1: no pod lives for ever")
	}
	if ptr.Deref(s.TTLSecondsAfterFinished, -1) < 0 {
		f.bad("spec.ttlSecondsAfterFinished", "must be set, so that no Kubernetes Job is left for ever")
	}
}

func (f *faults) checkPod(pod *corev1.PodSpec) {
	if pod.RestartPolicy != corev1.RestartPolicyNever {
		f.bad("spec.template.spec.restartPolicy", "%s, but a restarted container would be a second run: it is always Never", pod.RestartPolicy)
	}
	if ptr.Deref(pod.TerminationGracePeriodSeconds, 0) < 5 {
		f.bad("spec.template.spec.terminationGracePeriodSeconds", "must be at least 5: the runner reports to Buildkite in it")
	}
	agent := FindAgent(pod)
	if agent == nil || len(pod.Containers) != 1 {
		var names []string
		for _, c := range pod.Containers {
			names = append(names, c.Name)
		}
		f.bad("spec.template.spec.containers", "%s, but a pod has the one container %q; helpers are init containers with restartPolicy Always", strings.Join(names, ", "), contract.AgentContainer)
	}
	if agent != nil {
		f.checkAgent(agent)
	}
	for _, c := range pod.InitContainers {
		if c.Image == "" {
			f.bad("spec.template.spec.initContainers["+c.Name+"].image", "empty")
		}
	}
}

func (f *faults) checkAgent(agent *corev1.Container) {
	if agent.Image == "" {
		f.bad("spec.template.spec.containers[agent].image", "empty")
	}
	if agent.RestartPolicy != nil || len(agent.RestartPolicyRules) > 0 {
		f.bad("spec.template.spec.containers[agent]", "restartPolicy and restartPolicyRules can't be set: a restarted container would be a second run")
	}
	for _, e := range agent.Env {
		if slices.Contains(ownEnv, e.Name) {
			f.bad("spec.template.spec.containers[agent].env", "the scheduler sets %s: take it out", e.Name)
		}
	}
	switch p := agent.TerminationMessagePath; p {
	case "", contract.DefaultTerminationMessagePath:
	default:
		f.bad("spec.template.spec.containers[agent].terminationMessagePath", "%s, but the runner leaves its message in %s: take it out", p, contract.DefaultTerminationMessagePath)
	}
	if agent.TerminationMessagePolicy != corev1.TerminationMessageReadFile {
		f.bad("spec.template.spec.containers[agent].terminationMessagePolicy", "must be File, because the end of the log is not the runner's message")
	}
}

func (f *faults) checkLabels(where string, labels map[string]string) {
	for k, v := range labels {
		if strings.HasPrefix(k, "onejob.dev/") {
			f.bad(where+".labels", "the scheduler sets %s: take it out", k)
		}
		if hasVariable(k) || hasVariable(v) {
			f.bad(where+".labels", "%s=%s: %s; labels are checked before there is a job", k, v, onlyInStrings)
			continue
		}
		f.labelValues(where, map[string]string{k: v})
	}
}

func (f *faults) labelValues(where string, labels map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		v := labels[k]
		for _, msg := range append(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)...) {
			f.bad(where+".labels", "%s=%s: %s", k, v, msg)
		}
	}
}

// ownEnv are the variables that New sets, and those that would contradict them. A template
// can't set any of them.
var ownEnv = []string{
	contract.EnvJobID, contract.EnvToken, contract.EnvTokenFile, contract.EnvEndpoint, contract.EnvTags, contract.EnvQueue, contract.EnvTerminationMessagePath,
	contract.EnvGrace, contract.EnvAttempt, contract.EnvContractVersion, contract.EnvOnTerm, contract.EnvImage, contract.EnvHold,
	contract.EnvCommands, contract.EnvCheckoutEnv,
}
