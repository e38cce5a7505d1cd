package kjob

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/policy"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// pluginOf is what a step says by the kubernetes plugin, nil if it has none or the
// queue's pods are not a step's to describe; then the runner refuses the step.
func pluginOf(t *Template, env map[string]string) (*steps.Step, error) {
	if !t.Pods {
		return nil, nil
	}
	step, err := steps.Parse(map[string]string{steps.EnvPlugins: env[steps.EnvPlugins]})
	if step.Plugin != nil {
		step, err = steps.Parse(env) // what is wrong with both, at once
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("the step's pod can't be read:\n%w", err)
	case step.Plugin == nil:
		return nil, nil
	}
	return &step, nil
}

// addStep gives a pod what its step says of it, and returns the image that it honours.
func addStep(k *batchv1.Job, t *Template, env map[string]string) (image string, err error) {
	spec := &k.Spec.Template.Spec
	plugin, err := pluginOf(t, env)
	switch {
	case err != nil:
		return "", err
	case plugin != nil:
		return addPlugin(k, t, plugin, env)
	}
	agent := FindAgent(spec)
	own := cmp.Or(ofStep(t, agent, env), t.image)
	if own == "" {
		return honoured(t.Image(), agent.Image, env), nil
	}
	if own != t.image { // the class's is the administrator's
		if err := t.CheckImage(own); err != nil {
			return "", err
		}
	}
	addCommand(spec, own)
	return own, nil
}

// addPlugin puts what a step describes into a pod beside the runner, and returns the
// image that the runner is told of.
func addPlugin(k *batchv1.Job, t *Template, step *steps.Step, env map[string]string) (image string, err error) {
	pod, err := t.Describe(*step, env)
	if err != nil {
		return "", err
	}
	spec, command := &k.Spec.Template.Spec, pod.Commands[0]
	addCommand(spec, command.Container.Image)
	agent := FindAgent(spec)
	secure := commandSecurity(agent)
	ours := &spec.Containers[len(spec.Containers)-1]
	*ours = commandOf(command, *ours, env[steps.EnvCommand])
	t.keep(ours)
	for _, c := range slices.Concat(pod.Init, pod.Sidecars) {
		c.SecurityContext = secured(c.SecurityContext, secure)
		t.keep(&c)
		spec.InitContainers = append(spec.InitContainers, c)
	}
	spec.Volumes = append(spec.Volumes, pod.Volumes...)
	if err := addCheckout(spec, agent, pod); err != nil {
		return "", err
	}
	overlayResources(&agent.Resources, pod.Runner.Resources)
	agent.Env = append(agent.Env, corev1.EnvVar{Name: contract.EnvPlugin, Value: "kubernetes"})
	addPodFields(spec, &pod.Spec)
	own := &k.Spec.Template.ObjectMeta
	for _, to := range []struct{ labels, annotations *map[string]string }{{&own.Labels, &own.Annotations}, {&k.Labels, &k.Annotations}} {
		*to.labels, *to.annotations = merge(pod.Metadata.Labels, *to.labels), merge(pod.Metadata.Annotations, *to.annotations)
	}
	if pod.Deadline > 0 {
		k.Spec.ActiveDeadlineSeconds = ptr.To(pod.Deadline)
	}
	return cmp.Or(step.Image, command.Container.Image), nil
}

// Describe works out the pod of a step with the plugin, as far as this queue's pods have
// room for it. The error has every fault, a line for each.
func (t *Template) Describe(step steps.Step, env map[string]string) (*steps.Pod, error) {
	d := steps.Defaults{Command: env[steps.EnvCommand], Image: t.CommandImage(), Resources: t.class}
	pod, violations, err := policy.Resolve(t.policy, step, d, t.tokens)
	if err != nil {
		return nil, fmt.Errorf("the step's pod can't be made:\n%w", err)
	}
	if len(violations) > 0 {
		return nil, fmt.Errorf("the queue's policy refuses the step's pod:\n%s", policy.Text(violations))
	}
	if err := errors.Join(unsupported(pod), beside(pod, t.underClass())); err != nil {
		return nil, fmt.Errorf("the step's pod can't be made:\n%w", err)
	}
	return pod, nil
}

// OfPlugin reports whether a kjob's pod is one that a step described: it can't be made
// anew without the job's environment.
func OfPlugin(k *batchv1.Job) bool { return k != nil && ofPlugin(&k.Spec.Template.Spec) }

func ofPlugin(spec *corev1.PodSpec) bool {
	agent := FindAgent(spec)
	return agent != nil && slices.ContainsFunc(agent.Env, func(e corev1.EnvVar) bool { return e.Name == contract.EnvPlugin })
}

// unsupported is what can be described, and isn't built yet.
func unsupported(pod *steps.Pod) error {
	var errs []error
	if n := len(pod.Commands); n > 1 {
		errs = append(errs, fmt.Errorf("kubernetes.podSpec.containers: %d containers with a command, and one is supported: make the others sidecars, or steps of their own", n))
	}
	for _, c := range pod.Others {
		errs = append(errs, fmt.Errorf("kubernetes.podSpecPatch.containers[%s]: a patch can't add a container: make it a sidecar", contract.Line(c.Name, 60)))
	}
	if len(pod.Checkout.EnvFrom) > 0 {
		errs = append(errs, errors.New("kubernetes.gitEnvFrom, kubernetes.checkout.envFrom: the checkout gets no variables from a step, because it is beside the agent token: use checkout: {gitCredentialsSecret}, or put them into the queue's template"))
	}
	unnamed := func(list string, i int, name string) {
		if name == "" {
			errs = append(errs, fmt.Errorf("%s[%d]: it has no name: give it one", list, i))
		}
	}
	for i, c := range pod.Init {
		unnamed("initContainers", i, c.Name)
	}
	for i, v := range pod.Volumes {
		unnamed("volumes", i, v.Name)
	}
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		errs = append(errs, errors.New("kubernetes.podSpec.terminationGracePeriodSeconds: it is divided between the runner and the job: set it in the queue's template"))
	}
	return errors.Join(errs...)
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

// escaped keeps the kubelet from expanding $(…), which a shell is to.
func escaped(line string) string {
	out := make([]byte, 0, len(line))
	for i := range len(line) {
		out = append(out, line[i])
		if line[i] == '$' {
			out = append(out, '$')
		}
	}
	return string(out)
}

// addCheckout gives the runner what the checkout needs: settings by fixed names, volumes
// where none of its programs is.
func addCheckout(spec *corev1.PodSpec, agent *corev1.Container, pod *steps.Pod) error {
	plan := pod.Checkout
	set := func(name, value string) {
		agent.Env = append(agent.Env, corev1.EnvVar{Name: name, Value: escaped(value)})
	}
	for _, e := range plan.Env {
		set(e.Name, e.Value)
	}
	if plan.Skip {
		set("BUILDKITE_SKIP_CHECKOUT", "true")
	}
	agent.VolumeMounts = append(agent.VolumeMounts, plan.Mounts...)
	if plan.Credentials == nil {
		return nil
	}
	n, err := gitSettings(agent)
	if err != nil {
		return err
	}
	const name = steps.OwnPrefix + "git-credentials"
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: plan.Credentials}})
	agent.VolumeMounts = append(agent.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: credentialsDir, ReadOnly: true})
	agent.Env = slices.DeleteFunc(agent.Env, func(e corev1.EnvVar) bool { return e.Name == gitCount })
	set(gitCount, strconv.Itoa(n+1))
	set(fmt.Sprintf("GIT_CONFIG_KEY_%d", n), "credential.helper")
	set(fmt.Sprintf("GIT_CONFIG_VALUE_%d", n), "store --file "+credentialsDir+"/.git-credentials")
	return nil
}

const (
	credentialsDir = "/buildkite/git-credentials" //nolint:gosec // a folder
	gitCount       = "GIT_CONFIG_COUNT"
)

// gitSettings is how many settings of git's the template has in variables, which are
// numbered.
func gitSettings(agent *corev1.Container) (n int, err error) {
	for _, e := range agent.Env {
		if e.Name != gitCount {
			continue
		}
		if n, err = strconv.Atoi(e.Value); err != nil || n < 0 {
			return 0, fmt.Errorf("kubernetes.checkout.gitCredentialsSecret: the queue's template has settings of git's by %s, and no number there to go on from: put the credentials into the template", gitCount)
		}
	}
	return n, nil
}
