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
	// Class is the resource class that the job's tags name, or the queue's default.
	Class *Class
	// Hooks and Plugins are for the checkout and the commands, Signing for the commands.
	Hooks, Plugins, Signing *Mounted
}

// Mounted is a volume, and where it is mounted.
type Mounted struct {
	Volume corev1.Volume `json:"volume"`
	Path   string        `json:"path"`
}

// Class is a resource class: the resources and the place of a job that names the class by
// the agent tag resource_class.
type Class struct {
	// Resource is for each command container, PodResource for the pod as a whole.
	Resource     *corev1.ResourceRequirements `json:"resource,omitempty"`
	PodResource  *corev1.ResourceRequirements `json:"podResource,omitempty"`
	NodeSelector map[string]string            `json:"nodeSelector,omitempty"`
	Tolerations  []corev1.Toleration          `json:"tolerations,omitempty"`
	Affinity     *corev1.Affinity             `json:"affinity,omitempty"`
	// PriorityClassName and RuntimeClassName replace what a step asks for.
	PriorityClassName string  `json:"priorityClassName,omitempty"`
	RuntimeClassName  *string `json:"runtimeClassName,omitempty"`
	// Image is for command containers that name none.
	Image string `json:"image,omitempty"`
}
