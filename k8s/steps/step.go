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
	Skip                 *bool    `json:"skip,omitempty"`
	CheckoutFlags        *string  `json:"checkoutFlags,omitempty"`
	CleanFlags           *string  `json:"cleanFlags,omitempty"`
	CloneFlags           *string  `json:"cloneFlags,omitempty"`
	FetchFlags           *string  `json:"fetchFlags,omitempty"`
	NoSubmodules         *bool    `json:"noSubmodules,omitempty"`
	SubmoduleCloneConfig []string `json:"submoduleCloneConfig,omitempty"`
	// GitMirrors are kept on a volume.
	GitMirrors *GitMirrors `json:"gitMirrors,omitempty"`
	// GitCredentialsSecret has a file .git-credentials.
	GitCredentialsSecret *corev1.SecretVolumeSource `json:"gitCredentialsSecret,omitempty"`
	EnvFrom              []corev1.EnvFromSource     `json:"envFrom,omitempty"`
	ExtraVolumeMounts    []corev1.VolumeMount       `json:"extraVolumeMounts,omitempty"`
}

// GitMirrors are the settings of the agent's git mirrors.
type GitMirrors struct {
	Path       *string        `json:"path,omitempty"`
	Volume     *corev1.Volume `json:"volume,omitempty"`
	CloneFlags *string        `json:"cloneFlags,omitempty"`
	// LockTimeout is in seconds, 0 for the agent's own.
	LockTimeout int   `json:"lockTimeout,omitempty"`
	SkipUpdate  *bool `json:"skipUpdate,omitempty"`
}

// CommandParams is for all command containers.
type CommandParams struct {
	Interposer        Interposer             `json:"interposer,omitempty"`
	EnvFrom           []corev1.EnvFromSource `json:"envFrom,omitempty"`
	ExtraVolumeMounts []corev1.VolumeMount   `json:"extraVolumeMounts,omitempty"`
}

// SidecarParams is for all sidecars.
type SidecarParams struct {
	EnvFrom           []corev1.EnvFromSource `json:"envFrom,omitempty"`
	ExtraVolumeMounts []corev1.VolumeMount   `json:"extraVolumeMounts,omitempty"`
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
