package steps

import (
	corev1 "k8s.io/api/core/v1"
)

// Defaults are a queue's defaults for each of its steps. Resolve doesn't change them.
type Defaults struct {
	// Command is the job's own command.
	Command string
	// Image is the image of a command container that names none.
	Image string
	// PullPolicy is for the containers that have none; empty leaves it to Kubernetes.
	PullPolicy corev1.PullPolicy
	// Template is the pod of the PodTemplate that the step names (Step.PodTemplate).
	Template *corev1.PodSpec
	// Patch is the queue's own patch. Resolve merges it before a step's image and patch.
	Patch         *corev1.PodSpec
	Metadata      Metadata
	Checkout      *Checkout
	CommandParams *CommandParams
	SidecarParams *SidecarParams
	// Resources are what the job's resource class gives each command container. They are
	// the queue's: whoever builds the pod puts them there, under what the step says.
	Resources corev1.ResourceRequirements
	// Further are what each command container after the first gets, its class's included.
	Further corev1.ResourceRequirements
	// Hooks and Plugins are for the checkout and the commands, Signing for the commands.
	Hooks, Plugins, Signing *Mounted
}

// Mounted is a volume, and where it is mounted.
type Mounted struct {
	Volume corev1.Volume `json:"volume"`
	Path   string        `json:"path"`
}
