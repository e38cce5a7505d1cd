package kjob

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// beside returns every conflict of a step's pod with the queue's: names and folders that the
// queue uses, and pod fields that the template sets.
func beside(pod *steps.Pod, t *Template) error {
	spec := t.underClass()
	agent := FindAgent(spec)
	folders, _ := ownFolders(spec, agent)
	_, given := t.Given()
	return errors.Join(collisions(pod, spec), foreignMounts(pod, given), onRunners(pod, agent), onCommands(pod, folders), overTemplate(&pod.Spec, spec), t.otherMirrors(pod))
}

// collisions returns the step's containers and volumes whose name the template uses.
func collisions(pod *steps.Pod, spec *corev1.PodSpec) error {
	taken := map[string]bool{contract.StepInit: true, contract.SecretsInit: true}
	for _, c := range pod.Commands {
		taken[contract.CommandName(c.Container.Name, len(pod.Commands) > 1)] = true
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		taken[c.Name] = true
	}
	var errs []error
	refuse := func(list, name string) {
		errs = append(errs, fmt.Errorf("%s[%s]: the queue's pods have a container of that name: give it another", list, contract.Line(name, 60)))
	}
	for _, c := range slices.Concat(pod.Init, pod.Sidecars) {
		if taken[c.Name] {
			refuse("initContainers", c.Name)
		}
	}
	for _, c := range pod.Others {
		if taken[c.Name] || contract.IsCommand(c.Name) {
			refuse("containers", c.Name)
		}
	}
	for _, v := range pod.Volumes {
		if slices.ContainsFunc(spec.Volumes, func(o corev1.Volume) bool { return o.Name == v.Name }) {
			errs = append(errs, fmt.Errorf("volumes[%s]: the queue's pods have a volume of that name: give it another", contract.Line(v.Name, 60)))
		}
	}
	return errors.Join(errs...)
}

// foreignMounts returns the step's mounts of volumes that aren't the step's. The queue's
// volumes are for the runner only, because they may hold keys; but for the mounts that the
// queue gives to steps.
func foreignMounts(pod *steps.Pod, given []corev1.VolumeMount) error {
	var errs []error
	check := func(at string, mounts, given []corev1.VolumeMount) {
		for _, m := range mounts {
			if slices.ContainsFunc(given, func(g corev1.VolumeMount) bool { return equality.Semantic.DeepEqual(g, m) }) {
				continue
			}
			if m.Name == "" {
				errs = append(errs, fmt.Errorf("%s.volumeMounts[%s]: it names no volume: give it the name of one in volumes", at, contract.Line(m.MountPath, 60)))
			} else if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
				errs = append(errs, fmt.Errorf("%s.volumeMounts[%s]: the step has no volume %s, and the queue's own are for its runner: add it to volumes", at, contract.Line(m.MountPath, 60), contract.Line(m.Name, 60)))
			}
		}
	}
	for _, placed := range pod.Containers() {
		check(placed.At, placed.Container.VolumeMounts, given)
		for _, d := range placed.Container.VolumeDevices {
			check(placed.At, []corev1.VolumeMount{{Name: d.Name, MountPath: d.DevicePath}}, nil)
		}
	}
	check("kubernetes.checkout", pod.Checkout.Mounts, nil) // the queue says itself what the runner has
	return errors.Join(errs...)
}

// onRunners returns the checkout's mounts that would hide one of the runner's paths, or lie
// in one: the keys by which the runner verifies a job, its hooks, its caches.
func onRunners(pod *steps.Pod, agent *corev1.Container) error {
	taken := absolute(agent.Env)
	for _, m := range agent.VolumeMounts {
		taken = append(taken, m.MountPath)
	}
	for _, d := range agent.VolumeDevices {
		taken = append(taken, d.DevicePath)
	}
	if pod.Checkout.Credentials != nil {
		taken = append(taken, credentialsDir)
	}
	if len(pod.Checkout.EnvFrom) > 0 {
		taken = append(taken, checkoutEnvDir, contract.CheckoutKeysDir)
	}
	var errs []error
	for _, m := range pod.Checkout.Mounts {
		i := slices.IndexFunc(taken, func(p string) bool { return isIn(p, m.MountPath) || isIn(m.MountPath, p) })
		if i >= 0 {
			errs = append(errs, fmt.Errorf("kubernetes.checkout.volumeMounts[%s]: the runner has %s: mount it elsewhere", contract.Line(m.MountPath, 60), contract.Line(taken[i], 60)))
		}
	}
	return errors.Join(errs...)
}

// absolute returns the absolute paths in the values of variables, each cut before a template
// variable.
func absolute(env []corev1.EnvVar) (paths []string) {
	for _, e := range env {
		if strings.Contains(e.Value, "://") {
			continue
		}
		for _, p := range strings.FieldsFunc(e.Value, func(r rune) bool { return r == ',' || r == ':' }) {
			if p, _, _ = strings.Cut(p, "{{"); path.IsAbs(p) {
				paths = append(paths, p)
			}
		}
	}
	return paths
}

// isIn reports whether a path is a folder or in it.
func isIn(p, dir string) bool {
	p, dir = path.Clean(p), path.Clean(dir)
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// onCommands returns the command containers' mounts at the job's own folders, and their
// variables with a name that onejob or Kubernetes sets.
func onCommands(pod *steps.Pod, ours []corev1.VolumeMount) error {
	var errs []error
	for _, command := range pod.Commands {
		at := "containers[" + contract.Line(command.Container.Name, 60) + "]"
		for _, m := range command.Container.VolumeMounts {
			same := func(o corev1.VolumeMount) bool { return path.Clean(o.MountPath) == path.Clean(m.MountPath) }
			if slices.ContainsFunc(ours, same) || isIn(m.MountPath, contract.StepDir) {
				errs = append(errs, fmt.Errorf("%s.volumeMounts[%s]: the job's own folder is there: mount it elsewhere", at, contract.Line(m.MountPath, 60)))
			}
		}
		for _, e := range command.Container.Env {
			if strings.HasPrefix(e.Name, "ONEJOB_") || strings.HasPrefix(e.Name, "KUBERNETES_") {
				errs = append(errs, fmt.Errorf("%s.env[%s]: names that begin with ONEJOB_ or KUBERNETES_ are kept: give it another", at, contract.Line(e.Name, 60)))
			}
		}
	}
	return errors.Join(errs...)
}

// overTemplate returns the pod fields that both the step and the template set, because the
// template decides where the queue's pods run.
func overTemplate(step, spec *corev1.PodSpec) error {
	const fix = "take it out, or use a queue whose template says so"
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(step.NodeSelector)) {
		if has, ok := spec.NodeSelector[key]; ok && has != step.NodeSelector[key] {
			errs = append(errs, fmt.Errorf("nodeSelector.%s: the queue's pods have %q there: %s", contract.Line(key, 60), has, fix))
		}
	}
	if step.Affinity != nil && spec.Affinity != nil {
		errs = append(errs, fmt.Errorf("affinity: the queue's pods have one: %s", fix))
	}
	if s, has := step.PreemptionPolicy, spec.PreemptionPolicy; s != nil && has != nil && *s != *has {
		errs = append(errs, fmt.Errorf("preemptionPolicy: the queue's pods have %s there: %s", *has, fix))
	}
	return errors.Join(append(errs, ofHost(step, spec))...)
}
