package launcher

import "time"

// Options configure how the job is run, with the flags, environment variables and
// defaults of `buildkite-agent start` or of the stock packages' configuration file. The
// tags of the fields are the table; a test compares it with the pinned agent's own.
// NotOffered lists the agent's options that are missing here, and why.
type Options struct {
	NoColor    bool     `flag:"no-color" env:"BUILDKITE_AGENT_NO_COLOR" usage:"no colours in our own log"`
	Debug      bool     `flag:"debug" env:"BUILDKITE_AGENT_DEBUG" usage:"log in detail; the job's agent commands do too"`
	LogLevel   string   `flag:"log-level" env:"BUILDKITE_AGENT_LOG_LEVEL" default:"notice" usage:"debug, info, notice, warn, error or fatal; info and notice are one here"`
	LogFormat  string   `flag:"log-format" env:"BUILDKITE_LOG_FORMAT" default:"text" usage:"text or json; when unset: text on a terminal, JSON elsewhere"`
	Experiment []string `flag:"experiment" env:"BUILDKITE_AGENT_EXPERIMENT" usage:"experimental features of the bootstrap and the job's agent commands; those of the agent's own process have no effect, which is logged"`
	Profile    string   `flag:"profile" env:"BUILDKITE_AGENT_PROFILE" usage:"profile the bootstrap: cpu, memory, mutex or block"`

	Name     string   `flag:"name" env:"BUILDKITE_AGENT_NAME" usage:"the agent's name at Buildkite"`
	Priority string   `flag:"priority" env:"BUILDKITE_AGENT_PRIORITY" usage:"the agent's priority"`
	Queue    string   `flag:"queue" env:"BUILDKITE_AGENT_QUEUE" usage:"the queue that the agent registers for"`
	Tags     []string `flag:"tags" env:"BUILDKITE_AGENT_TAGS" usage:"the agent's tags, key=value"`

	TagsFromHost              bool          `flag:"tags-from-host" env:"BUILDKITE_AGENT_TAGS_FROM_HOST" usage:"add the host's name, machine ID and system as tags"`
	TagsFromEC2MetaData       bool          `flag:"tags-from-ec2-meta-data" env:"BUILDKITE_AGENT_TAGS_FROM_EC2_META_DATA" usage:"add EC2 meta-data as tags"`
	TagsFromEC2MetaDataPaths  []string      `flag:"tags-from-ec2-meta-data-paths" env:"BUILDKITE_AGENT_TAGS_FROM_EC2_META_DATA_PATHS" usage:"add EC2 meta-data as tags, name=path"`
	TagsFromEC2Tags           bool          `flag:"tags-from-ec2-tags" env:"BUILDKITE_AGENT_TAGS_FROM_EC2_TAGS" usage:"add the host's EC2 tags"`
	TagsFromECSMetaData       bool          `flag:"tags-from-ecs-meta-data" env:"BUILDKITE_AGENT_TAGS_FROM_ECS_META_DATA" usage:"add ECS meta-data as tags"`
	TagsFromGCPMetaData       []string      `flag:"tags-from-gcp-meta-data" env:"BUILDKITE_AGENT_TAGS_FROM_GCP_META_DATA" usage:"add Google Cloud meta-data as tags (true)"`
	TagsFromGCPMetaDataPaths  []string      `flag:"tags-from-gcp-meta-data-paths" env:"BUILDKITE_AGENT_TAGS_FROM_GCP_META_DATA_PATHS" usage:"add Google Cloud meta-data as tags, name=path"`
	TagsFromGCPLabels         bool          `flag:"tags-from-gcp-labels" env:"BUILDKITE_AGENT_TAGS_FROM_GCP_LABELS" usage:"add the host's Google Cloud labels as tags"`
	WaitForEC2TagsTimeout     time.Duration `flag:"wait-for-ec2-tags-timeout" env:"BUILDKITE_AGENT_WAIT_FOR_EC2_TAGS_TIMEOUT" default:"10s" usage:"how long to wait for EC2 tags"`
	WaitForEC2MetaDataTimeout time.Duration `flag:"wait-for-ec2-meta-data-timeout" env:"BUILDKITE_AGENT_WAIT_FOR_EC2_META_DATA_TIMEOUT" default:"10s" usage:"how long to wait for EC2 meta-data"`
	WaitForECSMetaDataTimeout time.Duration `flag:"wait-for-ecs-meta-data-timeout" env:"BUILDKITE_AGENT_WAIT_FOR_ECS_META_DATA_TIMEOUT" default:"10s" usage:"how long to wait for ECS meta-data"`
	WaitForGCPLabelsTimeout   time.Duration `flag:"wait-for-gcp-labels-timeout" env:"BUILDKITE_AGENT_WAIT_FOR_GCP_LABELS_TIMEOUT" default:"10s" usage:"how long to wait for Google Cloud labels"`
	FailOnMissingTags         bool          `flag:"fail-on-missing-tags" env:"BUILDKITE_AGENT_FAIL_ON_MISSING_TAGS" usage:"leave with an error when a cloud's tags can't be had"`

	ReflectExitStatus        bool   `flag:"reflect-exit-status" env:"BUILDKITE_AGENT_REFLECT_EXIT_STATUS" usage:"exit with the job's own status where that was reported"`
	CancelGracePeriod        int    `flag:"cancel-grace-period" env:"BUILDKITE_CANCEL_GRACE_PERIOD" default:"10" usage:"seconds from a cancellation until the job is killed and reported"`
	SignalGracePeriodSeconds int    `flag:"signal-grace-period-seconds" env:"BUILDKITE_SIGNAL_GRACE_PERIOD_SECONDS" default:"-1" usage:"seconds from the cancel signal to SIGKILL; negative: counted back from the cancel grace period"`
	CancelSignal             string `flag:"cancel-signal" env:"BUILDKITE_CANCEL_SIGNAL" default:"SIGTERM" usage:"the signal that cancels the job"`

	EnableJobLogTmpfile  bool     `flag:"enable-job-log-tmpfile" env:"BUILDKITE_ENABLE_JOB_LOG_TMPFILE" usage:"keep the job's log in a file, BUILDKITE_JOB_LOG_TMPFILE, while it runs"`
	JobLogPath           string   `flag:"job-log-path" env:"BUILDKITE_JOB_LOG_PATH" usage:"the folder of that file" path:"true"`
	WriteJobLogsToStdout bool     `flag:"write-job-logs-to-stdout" env:"BUILDKITE_WRITE_JOB_LOGS_TO_STDOUT" usage:"write the job's log to standard output too"`
	JobLogsOTLP          bool     `flag:"job-logs-otlp" env:"BUILDKITE_JOB_LOGS_OTLP" usage:"export the job's log by OTLP"`
	DisableWarningsFor   []string `flag:"disable-warnings-for" env:"BUILDKITE_AGENT_DISABLE_WARNINGS_FOR" usage:"IDs of warnings that the job's log leaves out"`
	NoANSITimestamps     bool     `flag:"no-ansi-timestamps" env:"BUILDKITE_NO_ANSI_TIMESTAMPS" usage:"no ANSI timestamps in the job's log"`
	TimestampLines       bool     `flag:"timestamp-lines" env:"BUILDKITE_TIMESTAMP_LINES" usage:"begin each line of the job's log with the time; needs --no-ansi-timestamps"`

	Shell           string `flag:"shell" env:"BUILDKITE_SHELL" default:"/bin/bash -e -c" usage:"the shell that runs commands"`
	HooksShell      string `flag:"hooks-shell" env:"BUILDKITE_HOOKS_SHELL" usage:"the shell that runs hooks"`
	NoPTY           bool   `flag:"no-pty" env:"BUILDKITE_NO_PTY" usage:"don't run the job in a pseudo-terminal"`
	BootstrapScript string `flag:"bootstrap-script" env:"BUILDKITE_BOOTSTRAP_SCRIPT_PATH" usage:"the command that runs the job; when unset: 'buildkite-agent bootstrap', beside this program or on PATH"`

	BuildPath            string   `flag:"build-path" env:"BUILDKITE_BUILD_PATH" usage:"the folder for builds" path:"true"`
	HooksPath            string   `flag:"hooks-path" env:"BUILDKITE_HOOKS_PATH" usage:"the folder of the global hooks" path:"true"`
	AdditionalHooksPaths []string `flag:"additional-hooks-paths" env:"BUILDKITE_ADDITIONAL_HOOKS_PATHS" usage:"more folders of global hooks"`
	SocketsPath          string   `flag:"sockets-path" env:"BUILDKITE_SOCKETS_PATH" default:"$HOME/.buildkite-agent/sockets" usage:"the folder for the job API's sockets" path:"true"`
	PluginsPath          string   `flag:"plugins-path" env:"BUILDKITE_PLUGINS_PATH" default:"$HOME/.buildkite-agent/plugins" usage:"the folder for plugins" path:"true"`
	JobContextDir        string   `flag:"job-context-dir" env:"BUILDKITE_JOB_CONTEXT_DIR" usage:"the folder for the job's environment files; when unset: the system's temporary folder" path:"true"`

	SkipCheckout                bool     `flag:"skip-checkout" env:"BUILDKITE_SKIP_CHECKOUT" usage:"don't check out the repository"`
	CheckoutOverrideMode        string   `flag:"checkout-override-mode" env:"BUILDKITE_CHECKOUT_OVERRIDE_MODE" default:"from-job" usage:"who may change checkout settings: none, from-job or strict"`
	CheckoutAttempts            int      `flag:"checkout-attempts" env:"BUILDKITE_CHECKOUT_ATTEMPTS" default:"6" usage:"how often a checkout is tried"`
	GitCheckoutFlags            string   `flag:"git-checkout-flags" env:"BUILDKITE_GIT_CHECKOUT_FLAGS" default:"-f" usage:"flags for git checkout"`
	GitCheckoutTimeout          int      `flag:"git-checkout-timeout" env:"BUILDKITE_GIT_CHECKOUT_TIMEOUT" default:"0" usage:"seconds for one checkout, 0 for no limit"`
	GitCloneFlags               string   `flag:"git-clone-flags" env:"BUILDKITE_GIT_CLONE_FLAGS" default:"-v" usage:"flags for git clone"`
	GitCleanFlags               string   `flag:"git-clean-flags" env:"BUILDKITE_GIT_CLEAN_FLAGS" default:"-ffxdq" usage:"flags for git clean"`
	GitFetchFlags               string   `flag:"git-fetch-flags" env:"BUILDKITE_GIT_FETCH_FLAGS" default:"-v --prune" usage:"flags for git fetch"`
	GitCommitVerification       string   `flag:"git-commit-verification" env:"BUILDKITE_GIT_COMMIT_VERIFICATION" usage:"check that the commit belongs to the branch: strict or warn"`
	GitSparseCheckoutPaths      []string `flag:"git-sparse-checkout-paths" env:"BUILDKITE_GIT_SPARSE_CHECKOUT_PATHS" usage:"paths of a sparse checkout"`
	GitSparseCheckoutMode       string   `flag:"git-sparse-checkout-mode" env:"BUILDKITE_GIT_SPARSE_CHECKOUT_MODE" default:"cone" usage:"how those paths are read: cone or no-cone"`
	GitSkipFetchExistingCommits bool     `flag:"git-skip-fetch-existing-commits" env:"BUILDKITE_GIT_SKIP_FETCH_EXISTING_COMMITS" usage:"don't fetch a commit that is there"`
	GitCloneMirrorFlags         string   `flag:"git-clone-mirror-flags" env:"BUILDKITE_GIT_CLONE_MIRROR_FLAGS" default:"-v" usage:"flags for cloning a mirror"`
	GitMirrorsPath              string   `flag:"git-mirrors-path" env:"BUILDKITE_GIT_MIRRORS_PATH" usage:"the folder for git mirrors" path:"true"`
	GitMirrorCheckoutMode       string   `flag:"git-mirror-checkout-mode" env:"BUILDKITE_GIT_MIRROR_CHECKOUT_MODE" default:"reference" usage:"how a checkout uses its mirror: reference or dissociate"`
	GitMirrorsLockTimeout       int      `flag:"git-mirrors-lock-timeout" env:"BUILDKITE_GIT_MIRRORS_LOCK_TIMEOUT" default:"300" usage:"seconds to wait for a mirror's lock"`
	GitMirrorsSkipUpdate        bool     `flag:"git-mirrors-skip-update" env:"BUILDKITE_GIT_MIRRORS_SKIP_UPDATE" usage:"don't update mirrors"`
	NoGitSubmodules             bool     `flag:"no-git-submodules" env:"BUILDKITE_NO_GIT_SUBMODULES,BUILDKITE_DISABLE_GIT_SUBMODULES" usage:"don't check out submodules"`
	GitSubmoduleCloneConfig     []string `flag:"git-submodule-clone-config" env:"BUILDKITE_GIT_SUBMODULE_CLONE_CONFIG" usage:"key=value settings for cloning submodules"`
	NoSSHKeyscan                bool     `flag:"no-ssh-keyscan" env:"BUILDKITE_NO_SSH_KEYSCAN" usage:"don't run ssh-keyscan before a checkout"`

	NoCommandEval           bool     `flag:"no-command-eval" env:"BUILDKITE_NO_COMMAND_EVAL" usage:"run only scripts of the repository; also turns plugins off and makes checkout-override-mode strict"`
	NoLocalHooks            bool     `flag:"no-local-hooks" env:"BUILDKITE_NO_LOCAL_HOOKS" usage:"don't run the repository's hooks; also turns plugins off"`
	NoPlugins               bool     `flag:"no-plugins" env:"BUILDKITE_NO_PLUGINS" usage:"refuse plugins"`
	NoPluginValidation      bool     `flag:"no-plugin-validation" env:"BUILDKITE_NO_PLUGIN_VALIDATION" default:"true" usage:"don't check plugins' configuration"`
	PluginsAlwaysCloneFresh bool     `flag:"plugins-always-clone-fresh" env:"BUILDKITE_PLUGINS_ALWAYS_CLONE_FRESH" usage:"clone plugins anew each time"`
	StrictSingleHooks       bool     `flag:"strict-single-hooks" env:"BUILDKITE_STRICT_SINGLE_HOOKS" usage:"refuse more than one hook of a kind"`
	NoFeatureReporting      bool     `flag:"no-feature-reporting" env:"BUILDKITE_AGENT_NO_FEATURE_REPORTING" usage:"don't tell Buildkite which features are in use"`
	AllowedRepositories     []string `flag:"allowed-repositories" env:"BUILDKITE_ALLOWED_REPOSITORIES" usage:"regular expressions of repositories that may be cloned"`
	AllowedPlugins          []string `flag:"allowed-plugins" env:"BUILDKITE_ALLOWED_PLUGINS" usage:"regular expressions of plugins that may be used"`
	RedactedVars            []string `flag:"redacted-vars" env:"BUILDKITE_REDACTED_VARS" default:"*_PASSWORD,*_SECRET,*_TOKEN,*_PRIVATE_KEY,*_SSH_KEY,*_ACCESS_KEY,*_SECRET_KEY,*_CONNECTION_STRING,*_API_KEY" usage:"patterns of variables whose values are cut from the log"`

	EnableEnvironmentVariableAllowList bool     `flag:"enable-environment-variable-allowlist" env:"BUILDKITE_ENABLE_ENVIRONMENT_VARIABLE_ALLOWLIST" usage:"refuse jobs with variables that aren't allowed"`
	AllowedEnvironmentVariables        []string `flag:"allowed-environment-variables" env:"BUILDKITE_ALLOWED_ENVIRONMENT_VARIABLES" usage:"regular expressions of variables that are allowed"`

	SigningJWKSFile             string `flag:"signing-jwks-file" env:"BUILDKITE_AGENT_SIGNING_JWKS_FILE" usage:"key set that signs the pipelines that the job uploads" path:"true"`
	SigningJWKSKeyID            string `flag:"signing-jwks-key-id" env:"BUILDKITE_AGENT_SIGNING_JWKS_KEY_ID" usage:"which key of that set signs"`
	DebugSigning                bool   `flag:"debug-signing" env:"BUILDKITE_AGENT_DEBUG_SIGNING" usage:"log steps in full before they are signed; may show secrets"`
	VerificationJWKSFile        string `flag:"verification-jwks-file" env:"BUILDKITE_AGENT_VERIFICATION_JWKS_FILE" usage:"key set that the job's signature is verified with" path:"true"`
	VerificationFailureBehavior string `flag:"verification-failure-behavior" env:"BUILDKITE_AGENT_JOB_VERIFICATION_NO_SIGNATURE_BEHAVIOR" default:"block" usage:"what a missing or bad signature does: block or warn"`

	TracingBackend              string `flag:"tracing-backend" env:"BUILDKITE_TRACING_BACKEND" usage:"trace jobs with datadog or opentelemetry"`
	TracingPropagateTraceparent bool   `flag:"tracing-propagate-traceparent" env:"BUILDKITE_TRACING_PROPAGATE_TRACEPARENT" usage:"take the trace context from Buildkite"`
	TracingServiceName          string `flag:"tracing-service-name" env:"BUILDKITE_TRACING_SERVICE_NAME" default:"buildkite-agent" usage:"the service's name in traces"`
	TraceContextEncoding        string `flag:"trace-context-encoding" env:"BUILDKITE_TRACE_CONTEXT_ENCODING" default:"gob" usage:"how BUILDKITE_TRACE_CONTEXT is encoded: gob or json"`

	MetricsDatadog              bool   `flag:"metrics-datadog" env:"BUILDKITE_METRICS_DATADOG" usage:"send metrics to DogStatsD"`
	MetricsDatadogHost          string `flag:"metrics-datadog-host" env:"BUILDKITE_METRICS_DATADOG_HOST" default:"127.0.0.1:8125" usage:"the DogStatsD server"`
	MetricsDatadogDistributions bool   `flag:"metrics-datadog-distributions" env:"BUILDKITE_METRICS_DATADOG_DISTRIBUTIONS" usage:"send timings as distributions"`

	Endpoint                  string `flag:"endpoint" env:"BUILDKITE_AGENT_ENDPOINT" default:"https://agent-edge.buildkite.com/v3" usage:"the Agent API's base URL"`
	NoHTTP2                   bool   `flag:"no-http2" env:"BUILDKITE_NO_HTTP2" usage:"speak HTTP/1.1 only"`
	DebugHTTP                 bool   `flag:"debug-http" env:"BUILDKITE_AGENT_DEBUG_HTTP" usage:"log requests and replies, tokens left out"`
	NoMultipartArtifactUpload bool   `flag:"no-multipart-artifact-upload" env:"BUILDKITE_NO_MULTIPART_ARTIFACT_UPLOAD" usage:"don't upload artifacts in parts"`
	ArtifactUploadConcurrency int    `flag:"artifact-upload-concurrency" env:"BUILDKITE_ARTIFACT_UPLOAD_CONCURRENCY" default:"0" usage:"how many artifacts are uploaded at once, 0 for the agent's own choice"`

	// faults are what readRenamed found, for Validate.
	faults []error
}

// NotOffered are the options of `buildkite-agent start` that have no meaning
// for one job in one container, each with the reason.
var NotOffered = map[string]Omitted{
	"acquire-job":                            {"BUILDKITE_AGENT_ACQUIRE_JOB", "it is onejob-agent's argument; its variable, BUILDKITE_AGENT_ACQUIRE_JOB, is read"},
	"token":                                  {"BUILDKITE_AGENT_TOKEN", "never on a command line: BUILDKITE_AGENT_TOKEN or --token-file"},
	"config":                                 {"BUILDKITE_AGENT_CONFIG", "a pod is configured by its environment; a file would be a second place for the same settings"},
	"spawn":                                  {"BUILDKITE_AGENT_SPAWN", "one process, one job"},
	"spawn-per-cpu":                          {"BUILDKITE_AGENT_SPAWN_PER_CPU", "one process, one job"},
	"spawn-with-priority":                    {"BUILDKITE_AGENT_SPAWN_WITH_PRIORITY", "one process, one job"},
	"disconnect-after-job":                   {"BUILDKITE_AGENT_DISCONNECT_AFTER_JOB", "always so"},
	"disconnect-after-idle-timeout":          {"BUILDKITE_AGENT_DISCONNECT_AFTER_IDLE_TIMEOUT", "it is never idle"},
	"disconnect-after-uptime":                {"BUILDKITE_AGENT_DISCONNECT_AFTER_UPTIME", "the Kubernetes Job's activeDeadlineSeconds bounds its life"},
	"disconnect-after-job-timeout":           {"BUILDKITE_AGENT_DISCONNECT_AFTER_JOB_TIMEOUT", "deprecated in the agent"},
	"ping-mode":                              {"BUILDKITE_AGENT_PING_MODE", "it never asks for work, so it never pings"},
	"health-check-addr":                      {"BUILDKITE_AGENT_HEALTH_CHECK_ADDR", "the kubelet watches the process itself"},
	"trace-http":                             {"BUILDKITE_AGENT_TRACE_HTTP", "every attempt of ours that fails is logged; --debug-http shows the rest"},
	"kubernetes-exec":                        {"BUILDKITE_KUBERNETES_EXEC", "one container: there is nothing to coordinate"},
	"kubernetes-container-start-timeout":     {"BUILDKITE_KUBERNETES_CONTAINER_START_TIMEOUT", "one container: there is nothing to wait for"},
	"kubernetes-log-collection-grace-period": {"BUILDKITE_KUBERNETES_LOG_COLLECTION_GRACE_PERIOD", "deprecated in the agent"},
	"signing-aws-kms-key":                    {"BUILDKITE_AGENT_SIGNING_AWS_KMS_KEY", "the agent verifies with that key too, by code that only the agent itself can use: sign and verify with a JWKS file"},
	"signing-gcp-kms-key":                    {"BUILDKITE_AGENT_SIGNING_GCP_KMS_KEY", "as --signing-aws-kms-key: sign and verify with a JWKS file"},
	"meta-data":                              {"BUILDKITE_AGENT_META_DATA", "deprecated in the agent: --tags"},
	"meta-data-ec2":                          {"BUILDKITE_AGENT_META_DATA_EC2", "deprecated in the agent: --tags-from-ec2-meta-data"},
	"meta-data-ec2-tags":                     {"BUILDKITE_AGENT_META_DATA_EC2_TAGS", "deprecated in the agent: --tags-from-ec2-tags"},
	"meta-data-gcp":                          {"BUILDKITE_AGENT_META_DATA_GCP", "deprecated in the agent: --tags-from-gcp-meta-data"},
	"tags-from-ec2":                          {"BUILDKITE_AGENT_TAGS_FROM_EC2", "deprecated in the agent: --tags-from-ec2-meta-data"},
	"tags-from-gcp":                          {"BUILDKITE_AGENT_TAGS_FROM_GCP", "deprecated in the agent: --tags-from-gcp-meta-data"},
	"no-automatic-ssh-fingerprint-verification": {"BUILDKITE_NO_AUTOMATIC_SSH_FINGERPRINT_VERIFICATION", "deprecated in the agent: --no-ssh-keyscan"},
}

// Omitted is an option of the agent that onejob-agent hasn't.
type Omitted struct {
	// Env is its environment variable, which is removed from the job's environment, as
	// the agent does.
	Env string
	// Reason is why it is missing.
	Reason string
}
