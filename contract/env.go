package contract

// Names of the environment variables that the scheduler sets in a job's pod. They are
// the stock agent's names where it has one. Ours begin with ONEJOB_, so that the
// variables that Kubernetes injects for Services can't change a setting.
const (
	// EnvJobID is the UUID of the Buildkite job that the pod is for.
	EnvJobID = "BUILDKITE_AGENT_ACQUIRE_JOB"
	// EnvToken is the agent (cluster) token. Set by secretKeyRef only.
	EnvToken = "BUILDKITE_AGENT_TOKEN"
	// EnvTokenFile names a file with the token, for onejob, and for a runner outside of the
	// scheduler's pods, where the job can read it. In a pod it is SecretsToken only, which
	// the runner deletes.
	EnvTokenFile = "ONEJOB_TOKEN_FILE" //nolint:gosec // a name
	// EnvEndpoint is the base URL of the Agent API.
	EnvEndpoint = "BUILDKITE_AGENT_ENDPOINT"
	// EnvTags are the agent's tags, "key=value" separated by commas.
	EnvTags = "BUILDKITE_AGENT_TAGS"
	// EnvQueue is the agent's other name for the tag "queue", which EnvTags has. The
	// runner refuses to start if both are set.
	EnvQueue = "BUILDKITE_AGENT_QUEUE"
	// EnvGrace is the pod's terminationGracePeriodSeconds: all the time, in
	// whole seconds, between SIGTERM and SIGKILL.
	EnvGrace = "ONEJOB_TERMINATION_GRACE_SECONDS"
	// EnvLeastGrace is the part of EnvGrace that a pod has in any case: a pod may be
	// deleted with less than its terminationGracePeriodSeconds, and isn't told.
	EnvLeastGrace = "ONEJOB_LEAST_GRACE_SECONDS"
	// EnvCancelGrace and EnvSignalGrace are shares of it, in seconds: from a
	// cancellation to the end of the report, and from the cancel signal to
	// SIGKILL for the job.
	EnvCancelGrace = "BUILDKITE_CANCEL_GRACE_PERIOD"
	EnvSignalGrace = "BUILDKITE_SIGNAL_GRACE_PERIOD_SECONDS"
	// EnvCancelSignalTimeout and EnvCancelCleanupTimeout are agent v4's names for
	// them, as durations: see CancelTimeouts.
	EnvCancelSignalTimeout  = "BUILDKITE_CANCEL_SIGNAL_TIMEOUT"
	EnvCancelCleanupTimeout = "BUILDKITE_CANCEL_CLEANUP_TIMEOUT"
	// EnvOnTerm selects what the runner does on SIGTERM: cancel or drain.
	EnvOnTerm = "ONEJOB_ON_TERM"
	// EnvImage is the value of a step's `image:` (BUILDKITE_IMAGE) that the pod
	// honours: the one that the pod was made with, or the pod's image. A runner refuses
	// a step that asks for another image; without EnvImage, started by hand, it refuses
	// every step that asks for one. In a pod of a scheduler that doesn't set EnvImage
	// yet, the runner only warns.
	EnvImage = "ONEJOB_IMAGE"
	// EnvStepDir is StepDir, in the pod of a step whose command has a container of its
	// own; a runner has the command run there.
	EnvStepDir = "ONEJOB_STEP_DIR"
	// EnvStepPrograms is set, to the queue's word for it, where the command's container has
	// the programs of a volume, so that the runner copies none.
	EnvStepPrograms = "ONEJOB_STEP_PROGRAMS"
	// EnvCommands are the command containers in the order in which they run, NAME=IMAGE
	// separated by spaces, where there are several: see VersionPlugin.
	EnvCommands = "ONEJOB_COMMANDS"
	// EnvCheckoutEnv are folders with variables for the checkout, a file for each:
	// PREFIX=FOLDER separated by spaces. They are a step's, so the runner, which has the
	// agent token, never has them itself.
	EnvCheckoutEnv = "ONEJOB_CHECKOUT_ENV"
	// EnvPlugin is set in the pod of a step that described it by the kubernetes plugin. A
	// runner refuses a step with that plugin in any other pod.
	EnvPlugin = "ONEJOB_PLUGIN"
	// EnvHold is how long the container of a job may stay when the job is over, as a
	// duration; set if the queue allows that. EnvPodNamespace, beside it, is for words.
	EnvHold         = "ONEJOB_HOLD_MOST"
	EnvPodNamespace = "ONEJOB_POD_NAMESPACE"
	// EnvAttempt is the number of the attempt, from 1.
	EnvAttempt = "ONEJOB_ATTEMPT"
	// EnvContractVersion is the scheduler's Version.
	EnvContractVersion = "ONEJOB_CONTRACT_VERSION"
	// EnvImageHome is the home that the image has: its HOME, under another name,
	// because a pod sets HOME to a volume. The image sets it, not the scheduler.
	EnvImageHome = "ONEJOB_IMAGE_HOME"
	// EnvTerminationMessagePath is where the runner leaves its Message. The
	// default is the kubelet's own, DefaultTerminationMessagePath.
	EnvTerminationMessagePath = "ONEJOB_TERMINATION_MESSAGE_PATH"
)

// DefaultTerminationMessagePath is the kubelet's default terminationMessagePath.
const DefaultTerminationMessagePath = "/dev/termination-log"
