package steps

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// The containers of agent-stack-k8s that patches name. In onejob, agent and checkout are
// the runner, and copy-agent and imagecheck- don't exist.
const (
	agentContainer    = contract.AgentContainer
	checkoutContainer = "checkout"
	copyAgent         = "copy-agent"
	imageCheck        = "imagecheck-"
	defaultContainer  = "container-0"
)

// OwnPrefix begins the names of the containers and the volumes that onejob adds itself.
const OwnPrefix = "onejob-"

// resolver is the work of one Resolve.
type resolver struct {
	faults
	d       Defaults
	image   string
	plugin  *Plugin
	pod     *Pod
	lines   map[string]string // of the command containers
	order   []string          // in which these run, and the init containers
	sidecar map[string]bool
}

// Resolve works out the pod that a step describes. The rules, each of which is a row in
// its test:
//
//	containers  the plugin's podSpec, else its PodTemplate, else one container container-0
//	command     of a container: its command and args by the interposer, else the job's
//	image       the step's patch, else image:, else the container's own, else the queue's or its class's
//	patch       the step's, once; it takes nothing away
//	order       of commands and init containers: the podSpec's, whatever a patch names first
//	variables   the queue's, then the container's, then the step's for all, then gitEnvFrom; the last wins
//	mounts      the container's, then the step's for all, then the queue's; of two at one path the first is mounted
func Resolve(step Step, d Defaults) (*Pod, error) {
	r := &resolver{d: d, image: step.Image, plugin: &Plugin{}, pod: &Pod{}, lines: map[string]string{}, sidecar: map[string]bool{}}
	if step.Plugin != nil {
		var err error
		if r.plugin, err = cloned(step.Plugin); err != nil {
			r.bad("kubernetes", "it has a value that no object can hold: %s", contract.Line(err.Error(), 3*maxShown))
			return nil, r.err()
		}
	}
	base := r.base()
	r.names(base)
	r.commands(base)
	r.sidecars(base)
	for _, name := range []string{agentContainer, checkoutContainer} {
		base.Containers = append(base.Containers, corev1.Container{Name: name})
	}
	if r.image != "" {
		for i := range base.Containers {
			if r.isCommand(base.Containers[i].Name) {
				base.Containers[i].Image = r.image
			}
		}
	}
	base = r.patch(base, r.plugin.PodSpecPatch)
	lowerSecurity(base)
	r.split(base)
	r.checkout()
	r.pod.Metadata = r.plugin.Metadata
	r.pod.Deadline = r.plugin.JobActiveDeadlineSeconds
	r.tidy()
	if err := r.err(); err != nil {
		return nil, err
	}
	return r.pod, nil
}

func (r *resolver) note(format string, args ...any) {
	r.pod.Notes = append(r.pod.Notes, fmt.Sprintf(format, args...))
}

func (r *resolver) isCommand(name string) bool { _, ok := r.lines[name]; return ok }

// base is the podSpec that the other parts are merged into.
func (r *resolver) base() *corev1.PodSpec {
	template := r.plugin.PodTemplate
	base := &corev1.PodSpec{}
	switch {
	case r.plugin.PodSpec != nil:
		base = r.plugin.PodSpec
		if template != "" {
			r.note("kubernetes.podTemplate: %s is not used, because there is a podSpec", shown(template))
		}
	case template != "" && r.d.Template == nil:
		r.bad("kubernetes.podTemplate", "%s: it wasn't read from the cluster", shown(template))
	case template != "":
		base = r.d.Template.DeepCopy()
	}
	if p := base.RestartPolicy; p != "" && p != corev1.RestartPolicyNever {
		r.note("kubernetes.podSpec.restartPolicy: %s is not used: a job runs once", shown(string(p)))
	}
	base.RestartPolicy = ""
	if len(base.EphemeralContainers) > 0 {
		r.bad("kubernetes.podSpec.ephemeralContainers", "a new pod can't have ephemeral containers: use sidecars")
	}
	return base
}

// names gives each container without a name one. It refuses names that onejob uses, and a
// name of two containers.
func (r *resolver) names(base *corev1.PodSpec) {
	used := map[string]bool{}
	claim := func(at, name string) {
		switch {
		case name == agentContainer, name == checkoutContainer, name == copyAgent, strings.HasPrefix(name, OwnPrefix):
			r.bad(at, "the name %s is kept for onejob's own containers: give it another", shown(name))
		case used[name]:
			r.bad(at, "two containers are called %s: give each a name of its own", shown(name))
		}
		used[name] = true
	}
	for i := range base.Containers {
		c := &base.Containers[i]
		if c.Name == "" {
			c.Name = fmt.Sprintf("container-%d", i)
		}
		claim(place("kubernetes.podSpec.containers", i, c.Name), c.Name)
	}
	for i, c := range base.InitContainers {
		claim(place("kubernetes.podSpec.initContainers", i, c.Name), c.Name)
	}
	for i := range r.plugin.Sidecars {
		c := &r.plugin.Sidecars[i]
		if c.Name == "" {
			c.Name = fmt.Sprintf("sidecar-%d", i)
		}
		claim(place("kubernetes.sidecars", i, c.Name), c.Name)
	}
}

// commands moves each container's command into lines, and gives each container its image
// and the variables and mounts for all command containers.
func (r *resolver) commands(base *corev1.PodSpec) {
	if len(base.Containers) == 0 {
		base.Containers = []corev1.Container{{Name: defaultContainer}}
	}
	how := interposer(r.plugin.CommandParams, r.d.CommandParams)
	for i := range base.Containers {
		c := &base.Containers[i]
		line := r.d.Command
		switch {
		case len(c.Command) > 0:
			line = how.line(c.Command, c.Args)
		case len(c.Args) > 0:
			r.note("%s: args without a command are not used: the container runs the step's command", place("kubernetes.podSpec.containers", i, c.Name))
		}
		r.lines[c.Name] = line
		r.order = append(r.order, c.Name)
		c.Command, c.Args = nil, nil
		if c.Image == "" {
			c.Image = r.d.Image
		}
		queue, step := cmp.Or(r.d.CommandParams, &CommandParams{}), cmp.Or(r.plugin.CommandParams, &CommandParams{})
		r.share(c, SidecarParams{queue.EnvFrom, queue.ExtraVolumeMounts}, SidecarParams{step.EnvFrom, step.ExtraVolumeMounts})
	}
}

// share adds to a container the variables and mounts that the queue and the step have for
// all of its kind, and the step for all of its containers. Of two variables the last counts,
// of two mounts at one path the first: neither time the queue's.
func (r *resolver) share(c *corev1.Container, queue, step SidecarParams) {
	c.EnvFrom = slices.Concat(deepEnvFrom(queue.EnvFrom), c.EnvFrom, step.EnvFrom, r.plugin.GitEnvFrom)
	c.VolumeMounts = slices.Concat(c.VolumeMounts, step.ExtraVolumeMounts, r.plugin.ExtraVolumeMounts, queue.ExtraVolumeMounts)
}

func (r *resolver) sidecars(base *corev1.PodSpec) {
	for _, c := range r.plugin.Sidecars {
		r.share(&c, *cmp.Or(r.d.SidecarParams, &SidecarParams{}), *cmp.Or(r.plugin.SidecarParams, &SidecarParams{}))
		always := corev1.ContainerRestartPolicyAlways
		c.RestartPolicy = &always
		r.sidecar[c.Name] = true
		base.InitContainers = append(base.InitContainers, c)
	}
	for _, c := range base.InitContainers {
		r.order = append(r.order, c.Name)
	}
}

// split puts the patched containers where they belong.
func (r *resolver) split(base *corev1.PodSpec) {
	stubs := map[string]corev1.Container{}
	for _, c := range base.Containers {
		switch {
		case c.Name == agentContainer, c.Name == checkoutContainer:
			stubs[c.Name] = c
		case r.isCommand(c.Name):
			r.pod.Commands = append(r.pod.Commands, Command{Container: c, Line: r.lines[c.Name]})
		default:
			r.pod.Others = append(r.pod.Others, c)
		}
	}
	// A merge puts what a patch names before the rest: what it adds stays there.
	slices.SortStableFunc(r.pod.Commands, func(a, b Command) int { return r.before(a.Container, b.Container) })
	slices.SortStableFunc(base.InitContainers, r.before)
	for _, c := range base.InitContainers {
		if r.sidecar[c.Name] {
			r.pod.Sidecars = append(r.pod.Sidecars, c)
		} else {
			r.pod.Init = append(r.pod.Init, c)
		}
	}
	r.pod.Runner = runner(stubs[agentContainer], stubs[checkoutContainer])
	r.pod.Volumes = base.Volumes
	base.Containers, base.InitContainers, base.Volumes = nil, nil, nil
	r.pod.Spec = *base
}

// before compares containers by the order in which they run.
func (r *resolver) before(a, b corev1.Container) int {
	return slices.Index(r.order, a.Name) - slices.Index(r.order, b.Name)
}

// runner is the two containers as one, with the larger of both amounts of each resource,
// because their work is done one after the other. A patch can set nothing else of them.
func runner(agent, checkout corev1.Container) corev1.Container {
	for _, pair := range []struct{ to, from *corev1.ResourceList }{{&agent.Resources.Requests, &checkout.Resources.Requests}, {&agent.Resources.Limits, &checkout.Resources.Limits}} {
		for name, amount := range *pair.from {
			if *pair.to == nil {
				*pair.to = corev1.ResourceList{}
			}
			if has, ok := (*pair.to)[name]; !ok || amount.Cmp(has) > 0 {
				(*pair.to)[name] = amount
			}
		}
	}
	return corev1.Container{Resources: agent.Resources}
}

// cloned is a deep copy of a plugin, because several goroutines may resolve one plugin. A
// plugin comes from JSON, but some values can't be encoded again: a date after the year 9999
// is an error.
func cloned(p *Plugin) (*Plugin, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	out := &Plugin{}
	return out, json.Unmarshal(b, out)
}
