package kjob

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/build"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/steps"
)

//go:embed template.yaml
var defaultTemplate []byte

// DefaultTemplate returns the embedded template as YAML. Its image has the scheduler's own
// version, because scheduler and runner share a contract.
func DefaultTemplate() []byte {
	return bytes.Replace(defaultTemplate, []byte("/onejob-agent:latest"), []byte("/onejob-agent:"+build.ImageTag()), 1)
}

// Template is the input from which New makes a queue's kjobs: a checked Job and the queue's
// share of the environment, and nothing that changes from job to job. Nothing writes to a
// Template after Parse, so that several goroutines may use it.
type Template struct {
	Queue string
	// QueueKey is the queue's own key, as the registration of its stack returned it, if the
	// configuration has another name (__default__) for the queue; empty means Queue. Runners
	// register with this key, because Buildkite refuses a job to an agent of another queue.
	QueueKey      string
	Namespace     string
	AgentEndpoint string
	Tags          []string
	AgentTracing  string
	Hold          time.Duration
	OnTerm        string
	TokenSecret   config.SecretRef
	// Plain means that a step's image: changes nothing about its pod (steps: plain).
	Plain bool
	// Pods means that a step may describe its pod by the kubernetes plugin, within policy
	// (steps: pod).
	Pods bool
	// Mounted means that a command's container has our programs of an image volume
	// (programs: image-volume).
	Mounted bool
	// policy is the queue's, see ceilings. bound has the limits for a container that names
	// none.
	policy, bound config.Policy
	// classes are the templates of the queue's resource classes, by their names. In such
	// a one base is the pod without the class, image the class's for commands, class its
	// amounts for them.
	classes map[string]*Template
	base    *corev1.PodSpec
	image   string
	class   corev1.ResourceRequirements
	// setting are the queue's step-defaults, those of the checkout in Job already.
	// checkoutEnv are the folders of its variables for the checkout.
	setting     steps.Setting
	checkoutEnv []contract.CheckoutEnv
	// Installation marks the kjobs, see Foreign; empty for no mark.
	Installation string
	// tokens names the Secrets with an agent token in the namespace.
	tokens []string
	// mirrors is the queue's snapshot of git mirrors, nil if there is none. snapshot is the
	// name of the VolumeSnapshot for one pod, empty if it gets no mirrors: WithSnapshot.
	mirrors  *config.Snapshot
	snapshot string
	// named is the pod of the PodTemplate that a step names, nil if there is none: With.
	named *corev1.PodSpec
	// Org is the organization's slug, for the jobs' URLs; it may be empty.
	Org string

	Job *batchv1.Job
	// graces are the runner's grace and its shares.
	graces []corev1.EnvVar
	// raw is Job as JSON if it has {{env.NAME}} in it, else empty.
	raw string
}

// NeedsEnv reports whether the template has a variable of the job's own environment.
func (t *Template) NeedsEnv() bool { return t.raw != "" }

// WantsEnv reports whether New needs a job's environment, for which the scheduler asks
// Buildkite: the template has a variable of it, or a step may describe its pod there.
func (t *Template) WantsEnv() bool { return t.NeedsEnv() || !t.Plain }

// Grace is the template's terminationGracePeriodSeconds, in seconds.
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

// Parse merges the installation's template-defaults over the default template, doc over
// both, and checks the result. Each is YAML or JSON: a batch/v1 Job, a v1 PodTemplate, a
// bare PodTemplateSpec, or nothing. The error has every fault.
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
		AgentTracing: q.AgentTracing, OnTerm: q.OnTerm, TokenSecret: q.TokenSecret, Installation: q.Installation, Plain: q.Steps == config.StepsPlain,
		Pods: q.Steps == config.StepsPod, Mounted: q.Programs == config.ProgramsImageVolume, Job: &batchv1.Job{},
		tokens: append([]string{q.TokenSecret.Name}, q.TokenSecrets...), mirrors: q.GitMirrors.Snapshot,
	}
	if q.Hold != nil {
		t.Hold = time.Duration(*q.Hold)
	}
	errs, err := config.DecodeStrict(merged, t.Job)
	if err != nil {
		if faults := misplaced(merged); faults != nil {
			return nil, errors.Join(append(errs, faults)...)
		}
		return nil, errors.Join(append(errs, fmt.Errorf("reading the merged template: %w", err))...)
	}
	if q.UserNamespace || t.mirrors != nil {
		errs = append(errs, t.giveQueues(q.UserNamespace))
		if merged, err = json.Marshal(t.Job); err != nil {
			return nil, err
		}
	}
	errs = append(errs, checkTemplate(t.Job), checkAccount(&t.Job.Spec.Template.Spec), checkAdmissible(t.Job), checkVariables(merged, t.Job, q.TrustedPipelines), checkTokenSecret(&t.Job.Spec.Template.Spec, t.tokens))
	t.graces, err = graceEnv(t.Job, q.OnTerm)
	errs = append(errs, err)
	if hasVariable(string(merged)) {
		t.raw = string(merged)
	}
	t.policy, t.bound = ceilings(q.Policy, t.Job)
	if q.MinAgents > 0 || q.Buffer.N > 0 {
		errs = append(errs, checkPlaceholder(t))
	}
	t.setting, err = steps.ParseSetting(q.StepDefaults)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	if err := t.giveDefaults(q.TrustedPipelines); err != nil {
		return nil, err
	}
	return t.withClasses(q)
}

// giveQueues puts what the queue's own settings say into the template.
func (t *Template) giveQueues(users bool) error {
	var err error
	if users {
		err = ownUsers(&t.Job.Spec.Template.Spec)
	}
	return errors.Join(err, addMirrors(&t.Job.Spec.Template.Spec, t.mirrors))
}

// mergeTemplate merges patches, each a Job's JSON, over the default template in their order.
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

// asJobPatch converts a template document of any kind into a Job's JSON.
func asJobPatch(doc []byte) ([]byte, error) {
	js, err := yaml.YAMLToJSONStrict(doc)
	switch {
	case err != nil && hasVariable(string(doc)):
		return nil, fmt.Errorf("reading the template: %w; %s: put the string in quotes", err, onlyInStrings)
	case err != nil:
		return nil, fmt.Errorf("reading the template: %w", err)
	}
	var m map[string]any
	if err := json.Unmarshal(js, &m); err != nil {
		return nil, errors.New("reading the template: it is not a YAML mapping")
	}
	if m == nil {
		return []byte("{}"), nil
	}
	kind, _ := m["kind"].(string)
	version, _ := m["apiVersion"].(string)
	switch version + " " + kind {
	case "batch/v1 Job":
	case "v1 PodTemplate":
		m = map[string]any{"spec": map[string]any{"template": m["template"]}}
	case " ":
		if m["spec"] == nil {
			return nil, errors.New("reading the template: it has neither a kind nor a spec; a PodTemplateSpec begins with metadata: and spec:")
		}
		m = map[string]any{"spec": map[string]any{"template": m}}
	default:
		return nil, fmt.Errorf("reading the template: %s %s is not a batch/v1 Job, a v1 PodTemplate or a bare PodTemplateSpec", version, kind)
	}
	return json.Marshal(m)
}
