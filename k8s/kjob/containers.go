package kjob

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// commandsOf are a step's command containers, in the order in which they run.
func commandsOf(pod *steps.Pod) (commands []contract.Command) {
	for _, c := range pod.Commands {
		commands = append(commands, contract.Command{Name: c.Container.Name, Image: c.Container.Image})
	}
	return commands
}

// addStepContainers makes the step's command containers of the one that addCommand has put
// at the end. job is the job's own command.
func addStepContainers(spec *corev1.PodSpec, t *Template, pod *steps.Pod, job string) {
	last, agent := len(spec.Containers)-1, FindAgent(spec)
	ours := spec.Containers[last]
	spec.Containers = spec.Containers[:last]
	for i, command := range pod.Commands {
		model := *ours.DeepCopy()
		model.Name = contract.CommandName(command.Container.Name, len(pod.Commands) > 1)
		if i > 0 {
			model.Command = append(model.Command, strconv.Itoa(i))
			model.Resources = withoutDevices(model.Resources)
		}
		c := commandOf(command, model, job)
		if c.ImagePullPolicy == "" && c.Image == agent.Image {
			c.ImagePullPolicy = agent.ImagePullPolicy
		}
		t.keep(&c)
		spec.Containers = append(spec.Containers, c)
	}
}

// withoutDevices leaves the template's devices to the first container: a job that asks for
// one in its queue's template has one. The others ask for their own.
func withoutDevices(r corev1.ResourceRequirements) corev1.ResourceRequirements {
	for _, amounts := range []corev1.ResourceList{r.Requests, r.Limits} {
		for name := range amounts {
			if !native(name) {
				delete(amounts, name)
			}
		}
	}
	return r
}

// besides is a container of the step's that runs no command of the job, with the rights and
// the limits of those that do.
func (t *Template) besides(c corev1.Container, secure *corev1.SecurityContext) corev1.Container {
	c.SecurityContext = secured(c.SecurityContext, secure)
	t.keep(&c)
	return c
}

// commandOf is the step's own container, with what ours has for the runner's sake. ours
// comes last: of two variables of one name the last counts.
func commandOf(command steps.Command, ours corev1.Container, job string) corev1.Container {
	c := command.Container
	c.Name, c.Command, c.Args, c.WorkingDir = ours.Name, ours.Command, ours.Args, ours.WorkingDir
	c.TerminationMessagePolicy, c.TerminationMessagePath = ours.TerminationMessagePolicy, ""
	hasHome := slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "HOME" })
	for _, e := range ours.Env {
		if e.Name != "HOME" || !hasHome {
			c.Env = append(c.Env, e)
		}
	}
	line := command.Line
	if dir := command.Container.WorkingDir; dir != "" {
		line = "cd '" + strings.ReplaceAll(dir, "'", `'\''`) + "'\n" + line
	}
	if line != job {
		c.Env = append(c.Env, corev1.EnvVar{Name: steps.EnvCommand, Value: escaped(line)})
	}
	c.VolumeMounts = append(c.VolumeMounts, ours.VolumeMounts...)
	resources := ours.Resources
	overlayResources(&resources, c.Resources)
	c.Resources = resources
	c.SecurityContext = secured(c.SecurityContext, ours.SecurityContext)
	return c
}
