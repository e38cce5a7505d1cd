package config

import "encoding/json"

// Config is the scheduler's file: YAML, unknown keys refused. The number 0 means none:
// no limit, no wait, no placeholders. Validate refuses 0 where none makes no sense. A
// pointer is nil if the file leaves its number out; Parse sets the default.
//
// What users read of a setting stands here and nowhere else. The first paragraph of its
// comment is the description in config.schema.json and in docs/configuration.md, without
// the field's name; the defaults are those that Parse sets, or the tag default; enum,
// pattern, format, min and max are limits. `make reference` writes both.
type Config struct {
	// Stack begins the key of each queue's stack at Buildkite, before a dash and the queue's
	// name. By default the installation's own. See docs/configuration.md#stack-keys.
	Stack string `json:"stack,omitempty"`
	// Endpoint is the base URL of Buildkite's Agent API and Stacks API.
	Endpoint string `json:"endpoint,omitempty" format:"uri"`
	// TokenFile is the file with the agent token, read again when it changes.
	TokenFile string `json:"token-file,omitempty"`
	// IdleInterval is the longest time between two looks at a quiet queue, at least 200ms:
	// 0 is refused. A busy queue is asked every 200ms.
	IdleInterval *Duration `json:"idle-interval,omitempty" min:"200ms"`
	// CreateWorkers is how many Kubernetes Jobs are created at the same time, over all
	// queues; 0 is refused. A change takes effect at the next start.
	CreateWorkers *int `json:"create-workers,omitempty" min:"1"`
	// PipelineMetrics is how many pipelines have metrics of their own (onejob_pipeline_…),
	// the first ones that are seen; the rest are counted together, as other. 0 for none. See
	// docs/monitoring.md#by-pipeline.
	PipelineMetrics int `json:"pipeline-metrics,omitempty" max:"1000"`
	// TemplateDefaults is what all queues' templates have in common, such as the runner's
	// image: merged over the default template, and under each queue's. A batch/v1 Job, a v1
	// PodTemplate or a bare PodTemplateSpec.
	TemplateDefaults json.RawMessage `json:"template-defaults,omitempty"`
	// Queues are those that the scheduler serves, at least one.
	Queues []Queue `json:"queues" min:"1"`
}

// Queue is one Buildkite queue and where its jobs run.
type Queue struct {
	// Name is the queue's key at Buildkite.
	Name string `json:"name" min:"1"`
	// Stack is the whole key of the queue's stack. By default the top-level `stack`, a dash
	// and the name, or a key of the installation's own. An organization may have 30 stacks:
	// queues of one token may have the same `stack`, and then share its rate limits (10 lists
	// a second).
	Stack string `json:"stack,omitempty" pattern:"^[A-Za-z0-9_-]{1,80}$"`
	// TokenFile is the file with the queue's own token. By default the top-level one.
	TokenFile string `json:"token-file,omitempty"`
	// Namespace is where the Kubernetes Jobs are made. By default the scheduler's own.
	Namespace string `json:"namespace,omitempty"`
	// Tags are the agent tags that jobs may ask for, such as `os=linux`; those of
	// `resource-classes` are added.
	Tags []string `json:"tags,omitempty" pattern:"^[^=,]+=[^,]*$"`
	// Unmatched is what happens to a job that asks for a tag which the queue lacks, after it
	// has waited for 25 s. `fail` also ends jobs that were meant for other agents of the same
	// Buildkite queue. See docs/configuration.md#a-tag-that-no-queue-has.
	Unmatched string `json:"unmatched,omitempty" enum:"notify fail ignore"`
	// MaxInFlight is the most unfinished Kubernetes Jobs at a time; 0 for no limit. Those
	// whose agent container has ended, or whose pod is lost, don't count.
	MaxInFlight *int `json:"max-in-flight,omitempty"`
	// MinAgents is the number at which Kubernetes Jobs and warm placeholder pods together are
	// kept at least; 0 for none.
	//
	// For n unfinished kjobs there are MinAgents-n placeholders, or Buffer.Of(n) if that is
	// more: kjob.NewPlaceholder.
	MinAgents int `json:"min-agents,omitempty"`
	// Buffer is how many warm placeholder pods are kept beyond what runs, a number or a share
	// of what runs (`10%`); 0 for none.
	Buffer Amount `json:"buffer,omitempty"`
	// MaxAttempts is how many Kubernetes Jobs a job may use up before it is finished with the
	// reasons; 1 for no second attempt, 0 is refused. If a container fails by itself before
	// there is a runner (an init container, or an agent container that doesn't run
	// onejob-agent), with the same exit code in two pods, the job ends at once, with the last
	// lines of that container's termination message or log.
	MaxAttempts *int `json:"max-attempts,omitempty" min:"1"`
	// PendingTimeout is how long a pod may take to start; 0s for no limit but
	// `activeDeadlineSeconds`. Time while its Job is suspended, or kept out by a
	// ResourceQuota, doesn't count. See docs/configuration.md#kueue-and-quotas.
	PendingTimeout *Duration `json:"pending-timeout,omitempty"`
	// SuspendedTimeout is how long a Job may be suspended before it has a pod (by Kueue, by a
	// person), or be kept out by a ResourceQuota, before its job is finished (exit status -1,
	// `stack_error`); 0s for no limit. See docs/configuration.md#kueue-and-quotas.
	SuspendedTimeout *Duration `json:"suspended-timeout,omitempty"`
	// ImageGrace is how long the kubelet may fail to pull an image, counted from the first
	// failure; 0s allows no failure. `pending-timeout` limits a pull that goes on. A container
	// that can't be created (a Secret is missing) always has a minute, a volume two.
	ImageGrace *Duration `json:"image-grace,omitempty"`
	// SlowStart is how long a job may take to start, from when it could run, before its page
	// says what took the time; 0s for never. See docs/monitoring.md#a-slow-start.
	SlowStart *Duration `json:"slow-start,omitempty"`
	// AnnotateUsage is whose Kubernetes Jobs get an annotation with what their containers
	// used, each by one more request to the API server: of jobs that had too little memory or
	// CPU (`verdicts`), of all, or of none. See docs/monitoring.md#what-a-job-used.
	AnnotateUsage string `json:"annotate-usage,omitempty" enum:"verdicts all none"`
	// LostJobs is what happens to a job that an agent acquired and whose pod ended without
	// reporting the job's end (out of memory, node gone). `leave`: Buildkite ends the job with
	// -1 once its agent is silent. `finish`: onejob ends the job at once, with signal_reason
	// `stack_error`; a retry rule on that may then run a job again that ran in part. See
	// docs/configuration.md#lost-jobs.
	LostJobs string `json:"lost-jobs,omitempty" enum:"leave finish"`
	// OnTerm is what a runner does on SIGTERM, and whether its pod may be evicted. See
	// deploy/drain/README.md.
	OnTerm string `json:"on-term,omitempty" enum:"cancel drain"`
	// Hold is the longest time that a container may stay when its job is over, for people to
	// look into it: by ONEJOB_HOLD in a failed step's environment, or `onejob hold`. It holds
	// its slot. 0s for not at all. See docs/pods.md#a-container-that-stays.
	Hold *Duration `json:"hold,omitempty"`
	// AgentEndpoint is the base URL that the pods call. By default the `endpoint`.
	AgentEndpoint string `json:"agent-endpoint,omitempty" format:"uri"`
	// AgentTracing is a collector (OTLP over http/protobuf), such as
	// `http://otel-collector.monitoring:4318`, to which the agents in the pods export their
	// spans, as parts of Buildkite's own trace. It sets `BUILDKITE_TRACING_BACKEND` and
	// `BUILDKITE_TRACING_PROPAGATE_TRACEPARENT`, `OTEL_EXPORTER_OTLP_ENDPOINT` and
	// `OTEL_EXPORTER_OTLP_PROTOCOL`, where the template doesn't. By default none. See
	// docs/monitoring.md#traces.
	AgentTracing string `json:"agent-tracing,omitempty" format:"uri"`
	// TrustedPipelines allows the template to take images, commands, mounts and names from the
	// job's environment. Everybody who can change a pipeline then has the agent token. See
	// docs/configuration.md#variables-in-templates.
	//
	// What it allows is in kjob/trust.go.
	TrustedPipelines bool `json:"trusted-pipelines,omitempty"`
	// Steps is what a step may say about its pod. `image`: its attribute `image:`, whose
	// command runs in a container of its own without the agent token; onejob asks Buildkite
	// for each job's environment to know, one call a job. `pod`: its `kubernetes` plugin, too,
	// within the policy: whoever writes a pipeline, in a pull request perhaps, describes the
	// pod. `plain`: nothing, which saves the call. A step that says more than its queue takes
	// ends with exit status -1 and the reason. See
	// docs/pods.md#a-step-with-an-image-of-its-own and
	// docs/pods.md#a-step-with-the-kubernetes-plugin.
	Steps string `json:"steps,omitempty" enum:"image pod plain"`
	// Policy is what steps may choose of their pods, with `steps: pod`. A list that is left
	// out has its default. In patterns `*` is any part of a name without a /, `**` any part.
	// No policy gives a step the runner, or a Secret with an agent token. See
	// docs/configuration.md#the-policy.
	Policy Policy `json:"policy,omitzero"`
	// TokenSecret is the Secret in the queue's namespace with the pods' agent token.
	TokenSecret SecretRef `json:"token-secret,omitempty"`
	// Template is merged over the default one, which `onejob lint --template` prints. It has
	// one of these keys.
	Template TemplateRef `json:"template,omitempty" max:"1"`
	// ResourceClasses are merged over the template of a job that asks for one by the agent tag
	// `resource_class`; each class is a tag that the queue has. A name has up to 63 of
	// `A-Z a-z 0-9 . _ -`. What a step says of its pod comes after its class. See
	// docs/configuration.md#resource-classes.
	ResourceClasses map[string]Class `json:"resource-classes,omitempty" pattern:"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"`
	// DefaultResourceClass is the class of the jobs that ask for none. By default none.
	DefaultResourceClass string `json:"default-resource-class-name,omitempty"`
	// StepDefaults are what each step has unless it says otherwise, by the names of the
	// `kubernetes` plugin. The policy doesn't judge it. Its mounts name volumes of the
	// template. See docs/configuration.md#step-defaults.
	//
	// It is a steps.Setting.
	StepDefaults json.RawMessage `json:"step-defaults,omitempty"`
	// GitMirrors are git mirrors that were made beforehand, for the runners' checkouts. Those on
	// a claim or a folder of the node are a volume of the template.
	GitMirrors GitMirrors `json:"git-mirrors,omitzero"`
	// UserNamespace gives each pod users of its own (hostUsers: false), so that root in it is
	// nobody on the node. Needs nodes that can: Kubernetes 1.33 with containerd 2 or CRI-O,
	// and Linux 6.3. See docs/pods.md#users-of-its-own.
	UserNamespace bool `json:"user-namespace,omitempty"`
	// Programs is how the container of a step's own image gets onejob's programs.
	// `image-volume`: as a volume of the agent's image, which copies nothing. Needs nodes that
	// can: Kubernetes 1.35 with containerd 2.2 or CRI-O 1.33. See
	// docs/pods.md#a-step-with-an-image-of-its-own.
	Programs string `json:"programs,omitempty" enum:"copy image-volume"`
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
	// Name is the name of the Secret.
	Name string `json:"name,omitempty"`
	// Key is the key of the token in it.
	Key string `json:"key,omitempty"`
}

// TemplateRef says where a queue's template comes from; at most one field is set.
type TemplateRef struct {
	// File is a file with a batch/v1 Job, a v1 PodTemplate or a bare PodTemplateSpec in YAML.
	File string `json:"file,omitempty"`
	// Inline is the same as in a file, in the configuration itself.
	Inline json.RawMessage `json:"inline,omitempty"`
	// Job is the name of a suspended Job in the namespace, followed by watch.
	Job string `json:"job,omitempty"`
	// PodTemplate is the name of a PodTemplate in the namespace, followed by watch.
	PodTemplate string `json:"pod-template,omitempty"`
}
