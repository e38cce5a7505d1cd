package steps

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Pod is what a step describes, by roles. Whoever builds the kjob adds the runner's
// container, the workspace and the queue's own. It shares nothing with what it was made
// from.
type Pod struct {
	// Commands are the containers in which the job's commands run, at least one.
	Commands []Command
	// Init are the podSpec's init containers in their order, native sidecars
	// (restartPolicy Always) among them. Sidecars are the plugin's: native too, and begun
	// after those.
	Init, Sidecars []corev1.Container
	// Others were added by a patch. They run beside the job, nobody waits for them, and
	// they are no sidecars to Kubernetes.
	Others []corev1.Container
	// Volumes are the step's, and those of the queue's defaults that its pod needs.
	Volumes []corev1.Volume
	// Runner is what patches say of the containers agent and checkout, which are one
	// container here: of a step the resources alone, of the queue's own patch whatever
	// it says. Its name, and all that nobody set, is empty.
	Runner   corev1.Container
	Checkout CheckoutPlan
	// Spec is the rest: what is said of the pod itself. Its lists of containers and
	// volumes are empty. What its security context said of users, seccomp and the like
	// is in each of the containers above, so that the runner keeps its own.
	Spec     corev1.PodSpec
	Metadata Metadata
	// Deadline is the kjob's activeDeadlineSeconds, 0 for the queue's.
	Deadline int64
	// Notes say what the step has in it that changes nothing.
	Notes []string
}

// Command is a container in which a command of the job runs.
type Command struct {
	// Container has no command and no args: they are in Line. Its workingDir is empty if
	// nobody set one; then it is the checkout.
	Container corev1.Container
	// Line is what the container runs, as BUILDKITE_COMMAND.
	Line string
}

// CheckoutPlan is how the repository is checked out.
type CheckoutPlan struct {
	// Skip: it isn't.
	Skip bool
	// Env are settings of the agent, by the names of its flags' variables.
	Env []corev1.EnvVar
	// EnvFrom and Mounts are for the checkout. EnvFrom may hold any name: it is never to
	// be the environment of a process that has the agent token.
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

// Placed is a container, and the place that people find it at.
type Placed struct {
	At        string
	Container corev1.Container
}

// Images are the images that the step's containers run, each once, in their order: after
// all patches, so that none of them is missed.
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
