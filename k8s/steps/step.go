package steps

import (
	corev1 "k8s.io/api/core/v1"
)

// Step is a step's description of its pod.
type Step struct {
	// Image is the attribute image:, empty if there is none.
	Image string
	// Plugin is the kubernetes plugin, nil if the step has none.
	Plugin *Plugin
}

// Plain reports whether the step leaves its pod to its queue.
func (s Step) Plain() bool { return s.Image == "" && s.Plugin == nil }

// PodTemplate is the name of the PodTemplate that Resolve needs in Defaults.Template. It is
// empty if the step has a podSpec, which replaces the PodTemplate.
func (s Step) PodTemplate() string {
	if s.Plugin == nil || s.Plugin.PodSpec != nil {
		return ""
	}
	return s.Plugin.PodTemplate
}

// Plugin is the kubernetes plugin of a step.
type Plugin struct {
	// PodSpec has the step's own containers. A container's command and args are a
	// command line of the job.
	PodSpec *corev1.PodSpec `json:"podSpec,omitempty"`
	// PodSpecPatch is a strategic merge patch. Resolve applies it last.
	PodSpecPatch *corev1.PodSpec `json:"podSpecPatch,omitempty"`
	// PodTemplate names a PodTemplate in the queue's namespace, used without PodSpec.
	PodTemplate string `json:"podTemplate,omitempty"`
	// GitEnvFrom is for the checkout, the command containers and the sidecars.
	GitEnvFrom []corev1.EnvFromSource `json:"gitEnvFrom,omitempty"`
	// Sidecars run beside the job, and end after it.
	Sidecars []corev1.Container `json:"sidecars,omitempty"`
	Metadata Metadata           `json:"metadata,omitempty"`
	// ExtraVolumeMounts is for the checkout, the command containers and the sidecars.
	ExtraVolumeMounts []corev1.VolumeMount `json:"extraVolumeMounts,omitempty"`
	Checkout          *Checkout            `json:"checkout,omitempty"`
	CommandParams     *CommandParams       `json:"commandParams,omitempty"`
	SidecarParams     *SidecarParams       `json:"sidecarParams,omitempty"`
	// JobActiveDeadlineSeconds replaces the queue's; 0 keeps the queue's.
	JobActiveDeadlineSeconds int64 `json:"jobActiveDeadlineSeconds,omitempty"`
}

// Metadata is for the kjob and its pod.
type Metadata struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Checkout says how the runner checks out the repository. A nil field means the queue's.
type Checkout struct {
	// Skip leaves the checkout out.
	Skip *bool `json:"skip,omitempty"`
	// CheckoutFlags are those of git checkout.
	CheckoutFlags *string `json:"checkoutFlags,omitempty"`
	// CleanFlags are those of git clean.
	CleanFlags *string `json:"cleanFlags,omitempty"`
	// CloneFlags are those of git clone.
	CloneFlags *string `json:"cloneFlags,omitempty"`
	// FetchFlags are those of git fetch.
	FetchFlags *string `json:"fetchFlags,omitempty"`
	// NoSubmodules leaves submodules out.
	NoSubmodules *bool `json:"noSubmodules,omitempty"`
	// SubmoduleCloneConfig are git settings (`key=value`) for the clones of submodules.
	SubmoduleCloneConfig []string `json:"submoduleCloneConfig,omitempty"`
	// GitMirrors are the agent's git mirrors, kept on a volume.
	GitMirrors *GitMirrors `json:"gitMirrors,omitempty"`
	// GitCredentialsSecret is a Secret with a file .git-credentials, as a volume names one:
	// `{secretName: NAME}`.
	GitCredentialsSecret *corev1.SecretVolumeSource `json:"gitCredentialsSecret,omitempty"`
	// EnvFrom are Secrets and ConfigMaps whose keys are variables of the checkout alone.
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`
	// ExtraVolumeMounts are mounts of the container that checks out.
	ExtraVolumeMounts []corev1.VolumeMount `json:"extraVolumeMounts,omitempty"`
}

// GitMirrors are the settings of the agent's git mirrors.
type GitMirrors struct {
	// Path is the folder of the mirrors. By default /buildkite/git-mirrors if there is a
	// volume.
	Path *string `json:"path,omitempty"`
	// Volume is a volume with its name, mounted at the path.
	Volume *corev1.Volume `json:"volume,omitempty"`
	// CloneFlags are those of git clone --mirror.
	CloneFlags *string `json:"cloneFlags,omitempty"`
	// LockTimeout is how many seconds the checkout waits for another one's lock on a mirror.
	// By default the agent's own.
	LockTimeout int `json:"lockTimeout,omitempty"`
	// SkipUpdate takes a mirror as it is, without fetching into it first.
	SkipUpdate *bool `json:"skipUpdate,omitempty"`
}

// CommandParams is for all command containers.
type CommandParams struct {
	// Interposer is how a container's command and args become a command line. See
	// docs/pods.md#a-step-with-the-kubernetes-plugin.
	Interposer Interposer `json:"interposer,omitempty" enum:"buildkite vector legacy" default:"buildkite"`
	// EnvFrom are Secrets and ConfigMaps whose keys are variables of these containers.
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`
	// ExtraVolumeMounts are mounts of these containers.
	ExtraVolumeMounts []corev1.VolumeMount `json:"extraVolumeMounts,omitempty"`
}

// SidecarParams is for all sidecars.
type SidecarParams struct {
	// EnvFrom are Secrets and ConfigMaps whose keys are variables of the sidecars.
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`
	// ExtraVolumeMounts are mounts of the sidecars.
	ExtraVolumeMounts []corev1.VolumeMount `json:"extraVolumeMounts,omitempty"`
}

// Interposer makes a command line of a container's command and args. Empty is
// InterposeBuildkite.
type Interposer string

// The interposers.
const (
	// InterposeBuildkite takes each item of command for a line, as a step's own
	// command has lines, and puts the args, quoted, at the end of the last one.
	InterposeBuildkite Interposer = "buildkite"
	// InterposeVector takes command and args for the words of one command, as
	// Kubernetes does, and quotes them.
	InterposeVector Interposer = "vector"
	// InterposeLegacy joins command and args with spaces, and quotes nothing.
	InterposeLegacy Interposer = "legacy"
)
