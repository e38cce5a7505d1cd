package steps

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// patch merges a step's patch over its pod, as kubectl does. Of the runner the patch may
// change only the resources, because the runner's image, variables and mounts give access
// to the agent token.
func (r *resolver) patch(base, patch *corev1.PodSpec) *corev1.PodSpec {
	const field = "kubernetes.podSpecPatch"
	if patch == nil {
		return base
	}
	p := patch.DeepCopy()
	p.InitContainers = slices.DeleteFunc(p.InitContainers, func(c corev1.Container) bool {
		theirs := c.Name == copyAgent || strings.HasPrefix(c.Name, imageCheck)
		if theirs {
			r.note("%s.initContainers[%s] is not used: there is no such container here", field, shown(c.Name))
		}
		return theirs
	})
	for i, c := range p.InitContainers {
		at := place(field+".initContainers", i, c.Name)
		if c.Name == "" {
			r.bad(at, "it has no name, by which a patch finds it")
		}
		if strings.HasPrefix(c.Name, OwnPrefix) {
			r.bad(at, "the name is kept for onejob's own containers")
		}
	}
	for i := range p.Containers {
		r.patchContainer(&p.Containers[i], place(field+".containers", i, p.Containers[i].Name))
	}
	if s := p.RestartPolicy; s != "" && s != corev1.RestartPolicyNever {
		r.bad(field+".restartPolicy", "%s: a job runs once, so it is always Never", shown(string(s)))
	}
	p.RestartPolicy = ""
	if len(p.EphemeralContainers) > 0 {
		r.bad(field+".ephemeralContainers", "a new pod can't have ephemeral containers: use sidecars")
	}
	if p.Containers == nil {
		p.Containers = []corev1.Container{} // null would take them all away
	}
	replace(base, p)
	out, err := merge(base, p)
	if err != nil {
		r.bad(field, "%s", shown(err.Error()))
		return base
	}
	return out
}

func (r *resolver) patchContainer(c *corev1.Container, at string) {
	hasCommand := len(c.Command)+len(c.Args) > 0
	switch {
	case c.Name == "":
		r.bad(at, "it has no name, by which a patch finds it: a step's own container is %s unless it has another", defaultContainer)
	case c.Name == agentContainer, c.Name == checkoutContainer:
		r.patchRunner(c, at)
	case strings.HasPrefix(c.Name, OwnPrefix):
		r.bad(at, "the name is kept for onejob's own containers")
	case r.isCommand(c.Name) && hasCommand:
		r.lines[c.Name] = interposer(r.plugin.CommandParams, r.d.CommandParams).line(c.Command, c.Args)
		c.Command, c.Args = nil, nil
	}
}

// patchRunner refuses what would change the runner itself.
func (r *resolver) patchRunner(c *corev1.Container, at string) {
	if len(c.Command)+len(c.Args) > 0 {
		r.bad(at+".command", "what this container runs can't be changed: use a checkout hook, or checkout: {skip: true}")
	}
	v := reflect.ValueOf(*c)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		isSet := !v.Field(i).IsZero()
		if slices.Contains([]string{"name", "resources", "command", "args"}, name) || !isSet {
			continue
		}
		r.bad(at+"."+name, "a step may set the resources of this container and nothing else: it has the agent token. Use checkout: {extraVolumeMounts, gitCredentialsSecret}, or ask whoever runs the queue")
	}
}

// replace removes from base the volumes and variables that patch has, too: a merge would
// leave such a volume or variable with two sources.
func replace(base, patch *corev1.PodSpec) {
	base.Volumes = slices.DeleteFunc(base.Volumes, func(v corev1.Volume) bool {
		return slices.ContainsFunc(patch.Volumes, func(n corev1.Volume) bool { return n.Name == v.Name })
	})
	env := func(to, from []corev1.Container) {
		for _, n := range from {
			i := slices.IndexFunc(to, func(c corev1.Container) bool { return c.Name == n.Name })
			if i < 0 {
				continue
			}
			to[i].Env = slices.DeleteFunc(to[i].Env, func(e corev1.EnvVar) bool {
				return slices.ContainsFunc(n.Env, func(o corev1.EnvVar) bool { return o.Name == e.Name })
			})
		}
	}
	env(base.Containers, patch.Containers)
	env(base.InitContainers, patch.InitContainers)
}

func merge(base, patch *corev1.PodSpec) (*corev1.PodSpec, error) {
	from, err := json.Marshal(base)
	if err != nil {
		return nil, err
	}
	with, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	doc, err := strategicpatch.StrategicMergePatch(from, with, corev1.PodSpec{})
	if err != nil {
		return nil, err
	}
	out := &corev1.PodSpec{}
	return out, json.Unmarshal(doc, out)
}

// lowerSecurity moves the pod's settings of users and confinement into its containers,
// because the runner, which is in the same pod, keeps its own. A container's own settings
// win. Settings that only a pod has (fsGroup, groups, sysctls) stay.
func lowerSecurity(pod *corev1.PodSpec) {
	s := pod.SecurityContext
	if s == nil {
		return
	}
	lower := func(c *corev1.Container) {
		if c.Name == agentContainer || c.Name == checkoutContainer {
			return
		}
		if c.SecurityContext == nil {
			c.SecurityContext = &corev1.SecurityContext{}
		}
		to := c.SecurityContext
		byDefault(&to.RunAsUser, s.RunAsUser)
		byDefault(&to.RunAsGroup, s.RunAsGroup)
		byDefault(&to.RunAsNonRoot, s.RunAsNonRoot)
		byDefault(&to.SELinuxOptions, s.SELinuxOptions)
		byDefault(&to.SeccompProfile, s.SeccompProfile)
		byDefault(&to.AppArmorProfile, s.AppArmorProfile)
		byDefault(&to.WindowsOptions, s.WindowsOptions)
	}
	for i := range pod.Containers {
		lower(&pod.Containers[i])
	}
	for i := range pod.InitContainers {
		lower(&pod.InitContainers[i])
	}
	s.RunAsUser, s.RunAsGroup, s.RunAsNonRoot = nil, nil, nil
	s.SELinuxOptions, s.SeccompProfile, s.AppArmorProfile, s.WindowsOptions = nil, nil, nil, nil
}

// byDefault sets *to to a copy of *from, if *to is nil.
func byDefault[T any](to **T, from *T) {
	if *to == nil && from != nil {
		v := *from
		*to = &v
	}
}
