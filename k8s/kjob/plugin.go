package kjob

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/policy"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// pluginOf is the step with its kubernetes plugin, nil if it has none. It is nil, too, if the
// queue's steps may not describe their pods; then the runner refuses the step.
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

// addStep adds a step's image or plugin to a pod, and returns the image: that the pod honours.
func addStep(k *batchv1.Job, t *Template, env map[string]string) (image string, err error) {
	spec := &k.Spec.Template.Spec
	t.chooseMirrors(spec)
	plugin, err := pluginOf(t, env)
	switch {
	case err != nil:
		return "", err
	case plugin != nil:
		return addPlugin(k, t, plugin, env)
	}
	agent := FindAgent(spec)
	own := ofStep(t, agent, env)
	if own == "" && (t.Plain || env[envImage] == "") { // the step may ask for the agent's own
		own = t.image
	}
	if own == "" && !t.setting.Apart() {
		return honoured(t.Image(), agent.Image, env), nil
	}
	if own != "" && own != t.image { // the class's is the administrator's
		if err := t.CheckImage(own); err != nil {
			return "", err
		}
	}
	if !t.setting.IsZero() {
		return cmp.Or(own, honoured(t.Image(), agent.Image, env)), addWithDefaults(k, t, cmp.Or(own, agent.Image), env)
	}
	addCommand(spec, own, t.Mounted)
	return own, nil
}

// addPlugin adds the containers and fields that a step describes to the runner's pod, and
// returns the image: that the pod honours.
func addPlugin(k *batchv1.Job, t *Template, step *steps.Step, env map[string]string) (image string, err error) {
	pod, err := t.Describe(*step, env)
	if err != nil {
		return "", err
	}
	if err := t.addPod(k, pod, env); err != nil {
		return "", err
	}
	agent := FindAgent(&k.Spec.Template.Spec)
	agent.Env = append(agent.Env, corev1.EnvVar{Name: contract.EnvPlugin, Value: "kubernetes"})
	if name := step.PodTemplate(); name != "" {
		k.Annotations[contract.AnnotationPodTemplate] = name
	}
	return cmp.Or(step.Image, pod.Commands[0].Container.Image), nil
}

// addPod adds a step's pod to the runner's.
func (t *Template) addPod(k *batchv1.Job, pod *steps.Pod, env map[string]string) error {
	spec := &k.Spec.Template.Spec
	addCommand(spec, pod.Commands[0].Container.Image, t.Mounted)
	secure := commandSecurity(FindAgent(spec))
	addStepContainers(spec, t, pod, env[steps.EnvCommand])
	for _, c := range slices.Concat(pod.Init, pod.Sidecars) {
		spec.InitContainers = append(spec.InitContainers, t.besides(c, secure))
	}
	for _, c := range pod.Others {
		spec.Containers = append(spec.Containers, t.besides(c, secure))
	}
	spec.Volumes = append(spec.Volumes, pod.Volumes...)
	agent := FindAgent(spec)
	if err := addCheckout(spec, agent, t, pod); err != nil {
		return err
	}
	overlayResources(&agent.Resources, pod.Runner.Resources)
	if commands := commandsOf(pod); len(commands) > 1 {
		agent.Env = append(agent.Env, corev1.EnvVar{Name: contract.EnvCommands, Value: contract.CommandsValue(commands)})
	}
	addPodFields(spec, &pod.Spec)
	own := &k.Spec.Template.ObjectMeta
	for _, to := range []struct{ labels, annotations map[string]string }{{own.Labels, own.Annotations}, {k.Labels, k.Annotations}} {
		overlayKeys(to.labels, pod.Metadata.Labels)
		overlayKeys(to.annotations, pod.Metadata.Annotations)
	}
	if pod.Deadline > 0 {
		k.Spec.ActiveDeadlineSeconds = ptr.To(pod.Deadline)
	}
	return nil
}

// Describe works out the pod of a step with the plugin, as far as this queue's pods have
// room for it. The error has every fault, a line for each.
func (t *Template) Describe(step steps.Step, env map[string]string) (*steps.Pod, error) {
	d, named := t.forSteps(env), step.PodTemplate()
	violations := policy.PodTemplate(t.policy, named)
	if named != "" && len(violations) == 0 && t.named == nil {
		return nil, &NeedsPodTemplate{named}
	}
	var pod *steps.Pod
	var err error
	if len(violations) == 0 {
		pod, violations, err = policy.Resolve(t.policy, step, d, t.tokens)
	}
	if err != nil {
		return nil, fmt.Errorf("the step's pod can't be made:\n%w", err)
	}
	if len(violations) > 0 {
		return nil, fmt.Errorf("the queue's policy refuses the step's pod:\n%s", policy.Text(violations))
	}
	faults := []error{unsupported(pod), tooEarly(pod, t.agent()), beside(pod, t)}
	if named != "" {
		faults = append(faults, notTaken(named, &pod.Spec))
	}
	if err := errors.Join(faults...); err != nil {
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

// unsupported returns the parts of a description that onejob doesn't support.
func unsupported(pod *steps.Pod) error {
	var errs []error
	for _, e := range pod.Checkout.EnvFrom {
		if err := checkEnvFrom("kubernetes.gitEnvFrom, kubernetes.checkout.envFrom", e); err != nil {
			errs = append(errs, err)
		}
	}
	unnamed := func(list string, i int, name string) {
		if name == "" {
			errs = append(errs, fmt.Errorf("%s[%d]: it has no name: give it one", list, i))
		}
	}
	for i, c := range pod.Init {
		unnamed("initContainers", i, c.Name)
	}
	for _, c := range pod.Commands {
		if name := contract.CommandName(c.Container.Name, len(pod.Commands) > 1); len(validation.IsDNS1123Label(name)) > 0 {
			errs = append(errs, fmt.Errorf("containers[%s].name: the container is called %s in the pod, and Kubernetes takes no such name: use at most 55 characters of a-z 0-9 -", contract.Line(c.Container.Name, 60), contract.Line(name, 70)))
		}
	}
	for i, v := range pod.Volumes {
		unnamed("volumes", i, v.Name)
	}
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		errs = append(errs, errors.New("kubernetes.podSpec.terminationGracePeriodSeconds: it is divided between the runner and the job: set it in the queue's template"))
	}
	return errors.Join(errs...)
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
