package kjob

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/build"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
)

//go:embed template.yaml
var defaultTemplate []byte

// DefaultTemplate returns the embedded template as YAML. Its runner is of the
// scheduler's own version: they share a contract.
func DefaultTemplate() []byte {
	return bytes.Replace(defaultTemplate, []byte("/onejob-agent:latest"), []byte("/onejob-agent:"+build.ImageTag()), 1)
}

// Template is what New makes a queue's kjobs from: a checked Job, the
// queue's share of the environment, and nothing that changes from job to job.
// It is never written to after Parse.
type Template struct {
	Queue         string
	Namespace     string
	AgentEndpoint string
	Tags          []string
	OnTerm        string
	TokenSecret   config.SecretRef
	// tokens names the Secrets with an agent token in the namespace.
	tokens []string
	// Org is the organization's slug, for the jobs' URLs; it may be empty.
	Org string

	Job *batchv1.Job
	// graces are the runner's shares of the grace.
	graces []corev1.EnvVar
	// raw is job as JSON if it has {{env.NAME}} in it.
	raw string
}

// NeedsEnv reports whether the template takes something from the job's own
// environment, so that Buildkite must be asked for it.
func (t *Template) NeedsEnv() bool { return t.raw != "" }

// Grace is the template's terminationGracePeriodSeconds.
func (t *Template) Grace() int64 { return *t.Job.Spec.Template.Spec.TerminationGracePeriodSeconds }

// Image is the image of the template's agent container.
func (t *Template) Image() string { return t.agent().Image }

func (t *Template) agent() *corev1.Container { return FindAgent(&t.Job.Spec.Template.Spec) }

// FindAgent is the agent container of a pod, nil if there is none.
func FindAgent(s *corev1.PodSpec) *corev1.Container {
	for i := range s.Containers {
		if s.Containers[i].Name == contract.AgentContainer {
			return &s.Containers[i]
		}
	}
	return nil
}

// Parse merges a document over the installation's template-defaults, these over the
// default template, and checks the result. Both are YAML or JSON: a batch/v1 Job, a
// v1 PodTemplate, a bare PodTemplateSpec, or nothing. The error holds every fault.
func Parse(doc []byte, q config.Queue) (*Template, error) {
	defaults, err := asJobPatch(q.TemplateDefaults)
	if err != nil {
		return nil, fmt.Errorf("template-defaults: %w", err)
	}
	patch, err := asJobPatch(doc)
	if err != nil {
		return nil, err
	}
	merged, err := mergeTemplate(defaults, patch)
	if err != nil {
		return nil, fmt.Errorf("merging the template over the default: %w", err)
	}
	t := &Template{
		Queue: q.Name, Namespace: q.Namespace, AgentEndpoint: q.AgentEndpoint, Tags: q.Tags,
		OnTerm: q.OnTerm, TokenSecret: q.TokenSecret, Job: &batchv1.Job{},
		tokens: append([]string{q.TokenSecret.Name}, q.TokenSecrets...),
	}
	errs, err := config.DecodeStrict(merged, t.Job)
	if err != nil {
		if faults := misplaced(merged); faults != nil {
			return nil, errors.Join(append(errs, faults)...)
		}
		return nil, errors.Join(append(errs, fmt.Errorf("reading the merged template: %w", err))...)
	}
	errs = append(errs, checkTemplate(t.Job), checkAdmissible(t.Job), checkVariables(merged, t.Job, q.TrustedPipelines), checkTokenSecret(&t.Job.Spec.Template.Spec, t.tokens))
	t.graces, err = graceEnv(t.Job, q.OnTerm)
	errs = append(errs, err)
	if hasVariable(string(merged)) {
		t.raw = string(merged)
	}
	if q.MinAgents > 0 || q.Buffer.N > 0 {
		errs = append(errs, checkPlaceholder(t))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

// mergeTemplate merges Jobs' JSON over the default template, one after the other.
func mergeTemplate(patches ...[]byte) ([]byte, error) {
	merged, err := yaml.YAMLToJSON(DefaultTemplate())
	for _, patch := range patches {
		if err == nil {
			merged, err = replaceOneOfs(merged, patch)
		}
		if err == nil {
			merged, err = strategicpatch.StrategicMergePatch(merged, patch, batchv1.Job{})
		}
	}
	return merged, err
}

// asJobPatch brings a template document into the form of a Job's JSON.
func asJobPatch(doc []byte) ([]byte, error) {
	js, err := yaml.YAMLToJSONStrict(doc)
	switch {
	case err != nil && hasVariable(string(doc)):
		return nil, fmt.Errorf("reading the template: %w; %s, and the string is put in quotes", err, onlyInStrings)
	case err != nil:
		return nil, fmt.Errorf("reading the template: %w", err)
	}
	var m map[string]any
	if err := json.Unmarshal(js, &m); err != nil {
		return nil, errors.New("reading the template: it is no YAML mapping")
	}
	if m == nil {
		return []byte("{}"), nil
	}
	kind, _ := m["kind"].(string)
	version, _ := m["apiVersion"].(string)
	switch {
	case kind == "Job" && version == "batch/v1":
	case kind == "PodTemplate" && version == "v1":
		m = map[string]any{"spec": map[string]any{"template": m["template"]}}
	case kind == "" && version == "" && m["spec"] != nil:
		m = map[string]any{"spec": map[string]any{"template": m}}
	case kind == "" && version == "":
		return nil, errors.New("reading the template: it has neither a kind nor a spec; a PodTemplateSpec begins with metadata: and spec:")
	default:
		return nil, fmt.Errorf("reading the template: %s %s is not a batch/v1 Job, a v1 PodTemplate or a bare PodTemplateSpec", version, kind)
	}
	return json.Marshal(m)
}

// checkTemplate refuses what would break the promise of one kjob, one pod, one
// attempt, and what the API server would refuse at the first job.
func checkTemplate(job *batchv1.Job) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	s, pod := &job.Spec, &job.Spec.Template.Spec

	fixed := func(name string, got *int32, want int32) {
		if got != nil && *got != want {
			bad("spec.%s: %d, but one kjob is one pod: it is always %d", name, *got, want)
		}
	}
	fixed("completions", s.Completions, 1)
	fixed("parallelism", s.Parallelism, 1)
	fixed("backoffLimit", s.BackoffLimit, 0)
	if s.PodReplacementPolicy != nil && *s.PodReplacementPolicy != batchv1.Failed {
		bad("spec.podReplacementPolicy: %s, but it is always Failed", *s.PodReplacementPolicy)
	}
	if s.ManagedBy != nil && *s.ManagedBy != batchv1.JobControllerName {
		bad("spec.managedBy: %s, but it is the Job controller of this cluster that makes the pod: take it out", *s.ManagedBy)
	}
	for name, set := range map[string]bool{
		"podFailurePolicy": s.PodFailurePolicy != nil, "successPolicy": s.SuccessPolicy != nil, "backoffLimitPerIndex": s.BackoffLimitPerIndex != nil,
		"selector": s.Selector != nil, "manualSelector": s.ManualSelector != nil && *s.ManualSelector,
		"completionMode": s.CompletionMode != nil && *s.CompletionMode != batchv1.NonIndexedCompletion,
	} {
		if set {
			bad("spec.%s: can't be set: the scheduler decides on new attempts, with new kjobs", name)
		}
	}
	if s.ActiveDeadlineSeconds == nil || *s.ActiveDeadlineSeconds < 1 {
		bad("spec.activeDeadlineSeconds: must be at least 1: no pod lives for ever")
	}
	if s.TTLSecondsAfterFinished == nil || *s.TTLSecondsAfterFinished < 0 {
		bad("spec.ttlSecondsAfterFinished: must be set: no kjob is left for ever")
	}
	if pod.RestartPolicy != corev1.RestartPolicyNever {
		bad("spec.template.spec.restartPolicy: %s, but a restarted container would be a second run: it is always Never", pod.RestartPolicy)
	}
	if pod.TerminationGracePeriodSeconds == nil || *pod.TerminationGracePeriodSeconds < 5 {
		bad("spec.template.spec.terminationGracePeriodSeconds: must be at least 5: the runner reports to Buildkite in it")
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		bad("spec.template.spec.automountServiceAccountToken: must be false: a job could read the token")
	}
	agent := FindAgent(pod)
	if agent == nil || len(pod.Containers) != 1 {
		var names []string
		for _, c := range pod.Containers {
			names = append(names, c.Name)
		}
		bad("spec.template.spec.containers: %s, but a pod has the one container %q; helpers are init containers with restartPolicy Always", strings.Join(names, ", "), contract.AgentContainer)
	}
	if agent != nil {
		if agent.Image == "" {
			bad("spec.template.spec.containers[agent].image: empty")
		}
		if agent.RestartPolicy != nil || len(agent.RestartPolicyRules) > 0 {
			bad("spec.template.spec.containers[agent]: restartPolicy and restartPolicyRules can't be set: a restarted container would be a second run")
		}
		for _, e := range agent.Env {
			if slices.Contains(ownEnv, e.Name) {
				bad("spec.template.spec.containers[agent].env: %s is the scheduler's to set", e.Name)
			}
		}
		if p := agent.TerminationMessagePath; p != "" && p != contract.DefaultTerminationMessagePath {
			bad("spec.template.spec.containers[agent].terminationMessagePath: %s, but the runner leaves its message in %s: take it out", p, contract.DefaultTerminationMessagePath)
		}
		if agent.TerminationMessagePolicy != corev1.TerminationMessageReadFile {
			bad("spec.template.spec.containers[agent].terminationMessagePolicy: must be File: what the log's end says is no message")
		}
	}
	for _, c := range pod.InitContainers {
		if c.Image == "" {
			bad("spec.template.spec.initContainers[%s].image: empty", c.Name)
		}
	}
	for where, labels := range map[string]map[string]string{"metadata": job.Labels, "spec.template.metadata": s.Template.Labels} {
		for k, v := range labels {
			if strings.HasPrefix(k, "onejob.dev/") {
				bad("%s.labels: %s is set by the scheduler", where, k)
			}
			if hasVariable(k) || hasVariable(v) {
				bad("%s.labels: %s=%s: %s; labels are checked before there is a job", where, k, v, onlyInStrings)
				continue
			}
			for _, msg := range append(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)...) {
				bad("%s.labels: %s=%s: %s", where, k, v, msg)
			}
		}
	}
	return errors.Join(errs...)
}

// ownEnv is what New sets, or what would contradict it, and a template can't.
var ownEnv = []string{
	contract.EnvJobID, contract.EnvToken, contract.EnvTokenFile, contract.EnvEndpoint, contract.EnvTags, contract.EnvQueue, contract.EnvTerminationMessagePath,
	contract.EnvGrace, contract.EnvAttempt, contract.EnvContractVersion, contract.EnvOnTerm, contract.EnvImage,
}
