package config

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/onejob-dev/onejob/stacks"
)

// Config is the scheduler's file: YAML, unknown keys refused. The number 0 means none:
// no limit, no wait, no placeholders. Validate refuses 0 where none makes no sense. A
// pointer is nil if the file leaves its number out; Parse sets the default.
type Config struct {
	// Stack begins the key of each queue's stack at Buildkite; empty means a key of the
	// installation's own, see Own.
	Stack string `json:"stack,omitempty"`
	// Endpoint is the base URL of Buildkite's agent and stacks API.
	Endpoint string `json:"endpoint,omitempty"`
	// TokenFile holds the agent token of the queues that don't name their own.
	TokenFile string `json:"token-file,omitempty"`
	// IdleInterval is the longest wait between two polls of a quiet queue; at least MinPoll.
	IdleInterval *Duration `json:"idle-interval,omitempty"`
	// CreateWorkers is how many kjobs the scheduler creates at the same time, over all
	// queues; at least 1.
	CreateWorkers *int `json:"create-workers,omitempty"`
	// PipelineMetrics is how many pipelines the metrics name; at most MostPipelines.
	PipelineMetrics int `json:"pipeline-metrics,omitempty"`
	// TemplateDefaults is a template. kjob.Parse merges it over the embedded one and under
	// each queue's own.
	TemplateDefaults json.RawMessage `json:"template-defaults,omitempty"`
	Queues           []Queue         `json:"queues"`
}

// Queue is one Buildkite queue and where its jobs run.
type Queue struct {
	// Name is the queue's key at Buildkite.
	Name string `json:"name"`
	// Stack is the stack's key; empty means Config.Stack, a dash and the name, or a key
	// of the installation's own.
	Stack     string `json:"stack,omitempty"`
	TokenFile string `json:"token-file,omitempty"`
	// Namespace is where the kjobs are made; empty means the scheduler's own.
	Namespace string `json:"namespace,omitempty"`
	// Tags ("key=value") are the agent tags that jobs may ask for. Those of ResourceClasses
	// are added when the configuration is completed.
	Tags []string `json:"tags,omitempty"`
	// Unmatched is what the scheduler does about jobs that ask for other tags: notify,
	// fail or ignore.
	Unmatched string `json:"unmatched,omitempty"`
	// MaxInFlight is the most kjobs that are unfinished at a time, 0 for no limit.
	MaxInFlight *int `json:"max-in-flight,omitempty"`
	// MinAgents and Buffer say how many placeholders the scheduler keeps for n unfinished
	// kjobs: MinAgents-n, or Buffer.Of(n) if that is more. See kjob.NewPlaceholder.
	MinAgents int    `json:"min-agents,omitempty"`
	Buffer    Amount `json:"buffer,omitempty"`
	// MaxAttempts is how many kjobs a job may use up before it is finished.
	MaxAttempts *int `json:"max-attempts,omitempty"`
	// PendingTimeout is how long a pod may take to start, 0 for no limit. Time while
	// its kjob is suspended, or kept out by a ResourceQuota, doesn't count.
	PendingTimeout *Duration `json:"pending-timeout,omitempty"`
	// SuspendedTimeout is how long a kjob may be suspended or kept out by a
	// ResourceQuota, 0 for no limit.
	SuspendedTimeout *Duration `json:"suspended-timeout,omitempty"`
	// ImageGrace is how long the kubelet may fail to pull an image, counted from the first
	// failure; 0 allows no failure. PendingTimeout limits a pull that goes on.
	ImageGrace *Duration `json:"image-grace,omitempty"`
	// SlowStart is how long a job may take to start before its page says why, 0 for
	// never.
	SlowStart *Duration `json:"slow-start,omitempty"`
	// AnnotateUsage is whose Kubernetes Jobs are annotated with what their containers
	// used, which is one request more for each: of jobs that had too little of something
	// (verdicts), all or none.
	AnnotateUsage string `json:"annotate-usage,omitempty"`
	// LostJobs is what the scheduler does about a job that an agent acquired and whose pod
	// ended without reporting the job's end. With leave, Buildkite ends the job once its
	// agent is silent. With finish, the scheduler ends the job at once, with signal_reason
	// stack_error.
	LostJobs string `json:"lost-jobs,omitempty"`
	// OnTerm is what a runner does on SIGTERM: cancel or drain.
	OnTerm string `json:"on-term,omitempty"`
	// Hold is how long a container may stay when its job is over, for people to look
	// into it; 0 for not at all.
	Hold *Duration `json:"hold,omitempty"`
	// AgentEndpoint is the base URL that the pods call; empty means Config.Endpoint.
	AgentEndpoint string `json:"agent-endpoint,omitempty"`
	// AgentTracing is the OTLP endpoint (http/protobuf) to which the agents in the pods
	// export their spans; empty for none.
	AgentTracing string `json:"agent-tracing,omitempty"`
	// TrustedPipelines lets the template take images, commands and names from a
	// pipeline. Everybody who can write a pipeline then has the agent token. See
	// kjob/trust.go.
	TrustedPipelines bool `json:"trusted-pipelines,omitempty"`
	// Steps is what a step may say about its pod. image allows the image of its command,
	// pod allows also the kubernetes plugin within Policy, plain allows nothing.
	Steps       string      `json:"steps,omitempty"`
	Policy      Policy      `json:"policy,omitzero"`
	TokenSecret SecretRef   `json:"token-secret,omitempty"`
	Template    TemplateRef `json:"template,omitempty"`
	// ResourceClasses are merged over Template, each for the jobs that ask for it by the
	// tag resource_class; DefaultResourceClass is that of the others.
	ResourceClasses      map[string]Class `json:"resource-classes,omitempty"`
	DefaultResourceClass string           `json:"default-resource-class-name,omitempty"`
	// StepDefaults are what each step has unless it says otherwise. kjob.Parse reads them.
	StepDefaults json.RawMessage `json:"step-defaults,omitempty"`
	GitMirrors   GitMirrors      `json:"git-mirrors,omitzero"`
	// UserNamespace gives each pod users of its own: root in it is nobody on the node.
	UserNamespace bool `json:"user-namespace,omitempty"`
	// Programs says how a command's container gets our programs: copied, or by a volume
	// of the agent's image.
	Programs string `json:"programs,omitempty"`
	// TokenSecrets names the Secrets with an agent token in Namespace, of this queue
	// and of the others. Parse fills it.
	TokenSecrets []string `json:"-"`
	// TemplateDefaults is Config.TemplateDefaults. Parse fills it.
	TemplateDefaults json.RawMessage `json:"-"`
	// Installation is the name of the installation that the kjobs belong to, see Config.Own.
	Installation string `json:"-"`

	StackGiven bool `json:"-"` // the file names a stack, for this queue or for all
}

// SecretRef names a key of a Secret in the queue's namespace.
type SecretRef struct {
	Name string `json:"name,omitempty"`
	Key  string `json:"key,omitempty"`
}

// TemplateRef says where a queue's template comes from; at most one field is set.
type TemplateRef struct {
	// File is a batch/v1 Job, a v1 PodTemplate or a bare PodTemplateSpec.
	File string `json:"file,omitempty"`
	// Inline is the same, in the configuration itself.
	Inline json.RawMessage `json:"inline,omitempty"`
	// Job names a suspended Job, PodTemplate a PodTemplate in the namespace.
	Job         string `json:"job,omitempty"`
	PodTemplate string `json:"pod-template,omitempty"`
}

// The defaults, MinPoll, the least IdleInterval, and MostPipelines, the most
// PipelineMetrics. DefaultTokenFile is where deploy/ mounts the Secret.
const (
	DefaultStack          = "onejob"
	DefaultTokenFile      = "/var/run/onejob/token/token" //nolint:gosec // the path of one
	DefaultMaxInFlight    = 100
	DefaultMaxAttempts    = 10
	DefaultIdleInterval   = time.Second
	DefaultCreateWorkers  = 100
	DefaultPendingTimeout = 15 * time.Minute
	DefaultImageGrace     = 2 * time.Minute
	DefaultSlowStart      = 30 * time.Second
	MinPoll               = 200 * time.Millisecond
	MostPipelines         = 1000
)

// Schema is the JSON schema of the configuration file.
//
//go:embed config.schema.json
var Schema []byte

// Load reads a configuration file, sets the defaults and validates the result. The error
// has every fault. Load returns the configuration beside the error unless the file
// can't be read at all. Queues that name no namespace get namespace.
func Load(path, namespace string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := Parse(b, namespace)
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Parse is Load for the text of a file.
func Parse(b []byte, namespace string) (*Config, error) {
	var c Config
	errs, err := DecodeStrict(b, &c)
	errs = append(errs, err)
	if wrongType := (*json.UnmarshalTypeError)(nil); err != nil && !errors.As(err, &wrongType) {
		return nil, errors.Join(errs...)
	}
	c.complete(namespace)
	return &c, errors.Join(append(errs, c.Validate())...)
}

func (c *Config) complete(namespace string) {
	given := c.Stack != ""
	def(&c.Stack, DefaultStack)
	def(&c.Endpoint, stacks.DefaultEndpoint)
	def(&c.TokenFile, DefaultTokenFile)
	defNumber(&c.IdleInterval, Duration(DefaultIdleInterval))
	defNumber(&c.CreateWorkers, DefaultCreateWorkers)
	for i := range c.Queues {
		q := &c.Queues[i]
		q.StackGiven = given || q.Stack != ""
		def(&q.Stack, c.Stack+"-"+q.Name)
		def(&q.TokenFile, c.TokenFile)
		def(&q.Namespace, namespace)
		defNumber(&q.MaxInFlight, DefaultMaxInFlight)
		defNumber(&q.MaxAttempts, DefaultMaxAttempts)
		defNumber(&q.PendingTimeout, Duration(DefaultPendingTimeout))
		defNumber(&q.SuspendedTimeout, 0)
		defNumber(&q.ImageGrace, Duration(DefaultImageGrace))
		defNumber(&q.SlowStart, Duration(DefaultSlowStart))
		defNumber(&q.Hold, 0)
		def(&q.OnTerm, "cancel")
		def(&q.LostJobs, LostLeave)
		def(&q.AnnotateUsage, AnnotateVerdicts)
		def(&q.Unmatched, UnmatchedNotify)
		def(&q.Steps, StepsImage)
		def(&q.Programs, ProgramsCopy)
		def(&q.AgentEndpoint, c.Endpoint)
		def(&q.TokenSecret.Name, "onejob-agent-token")
		def(&q.TokenSecret.Key, "token")
		q.TemplateDefaults = c.TemplateDefaults
		q.offerClasses()
	}
	secrets := map[string][]string{}
	for _, q := range c.Queues {
		secrets[q.Namespace] = append(secrets[q.Namespace], q.TokenSecret.Name)
	}
	for i := range c.Queues {
		c.Queues[i].TokenSecrets = secrets[c.Queues[i].Namespace]
	}
}

// defNumber is def for numbers: an explicit 0 is not replaced.
func defNumber[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
