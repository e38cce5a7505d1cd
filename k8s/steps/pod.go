package steps

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Pod is the pod that a step describes, its containers by roles. Package kjob adds the
// runner's container, the workspace and the queue's own parts. A Pod shares no memory with
// Resolve's arguments.
type Pod struct {
	// Commands are the containers in which the job's commands run, at least one.
	Commands []Command
	// Init are the podSpec's init containers in their order, native sidecars
	// (restartPolicy Always) among them. Sidecars are the plugin's: native too, and begun
	// after those.
	Init, Sidecars []corev1.Container
	// Others are containers that a patch added. They run beside the job, but Kubernetes
	// doesn't treat them as sidecars.
	Others []corev1.Container
	// Volumes are the step's.
	Volumes []corev1.Volume
	// Runner is what the step's patch sets in the containers agent and checkout, which are
	// one container here: its resources. Its name is empty.
	Runner   corev1.Container
	Checkout CheckoutPlan
	// Spec has the fields of the pod itself. Its lists of containers and volumes are empty.
	// The pod's settings of users, seccomp and the like are in each of the containers above,
	// so that the runner keeps its own.
	Spec     corev1.PodSpec
	Metadata Metadata
	// Deadline is the kjob's activeDeadlineSeconds, 0 for the queue's.
	Deadline int64
	// Notes name the parts of the step that have no effect.
	Notes []string
}

// Command is a container in which a command of the job runs.
type Command struct {
	// Container has no command and no args: they are in Line. An empty workingDir means the
	// checkout.
	Container corev1.Container
	// Line is the container's command, for BUILDKITE_COMMAND.
	Line string
}

// CheckoutPlan is how the repository is checked out.
type CheckoutPlan struct {
	// Env are settings of the agent, by the names of its flags' variables.
	Env []corev1.EnvVar
	// EnvFrom and Mounts are for the checkout. EnvFrom may set any variable, so it must never
	// reach a process that has the agent token.
	EnvFrom []corev1.EnvFromSource
	Mounts  []corev1.VolumeMount
	// Credentials is a Secret with a file .git-credentials, nil if there is none.
	Credentials *corev1.SecretVolumeSource
}

// Containers are all the step's containers, each with its place in a PodSpec.
func (p *Pod) Containers() []Placed {
	var all []Placed
	add := func(list string, cs []corev1.Container) {
		for _, c := range cs {
			all = append(all, Placed{list + "[" + c.Name + "]", c})
		}
	}
	add("initContainers", p.Init)
	add("sidecars", p.Sidecars)
	for _, c := range p.Commands {
		add("containers", []corev1.Container{c.Container})
	}
	add("containers", p.Others)
	return all
}

// Placed is a container and its path in the step, for messages.
type Placed struct {
	At        string
	Container corev1.Container
}

// Images are the images that the step's containers run after all patches, each once, in the
// containers' order.
func (p *Pod) Images() []string {
	var images []string
	for _, c := range p.Containers() {
		if !slices.Contains(images, c.Container.Image) {
			images = append(images, c.Container.Image)
		}
	}
	return images
}

// PodSpec is the description as one PodSpec, without a runner: for checks.
func (p *Pod) PodSpec() *corev1.PodSpec {
	s := p.Spec.DeepCopy()
	s.Volumes = p.Volumes
	s.InitContainers = slices.Concat(p.Init, p.Sidecars)
	s.Containers = nil
	for _, c := range p.Commands {
		s.Containers = append(s.Containers, c.Container)
	}
	s.Containers = append(s.Containers, p.Others...)
	return s.DeepCopy()
}
