package kjob

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/k8s/steps"
)

// A queue's step-defaults are its administrator's, as the template is:
//
//	template with the checkout's defaults  <  class  <  commandParams and the like  <  what the step says
//
// The policy doesn't judge them. A fault in them would end every job, so each is looked for
// when the file is read, and so is whatever a pipeline could take the agent token with.

// giveDefaults puts the checkout's defaults into the template, because the runner is there
// that checks out, and checks what comes of all of them.
func (t *Template) giveDefaults(trusted bool) error {
	if t.setting.IsZero() {
		return nil
	}
	if err := t.badMounts(trusted); err != nil {
		return err
	}
	if err := t.giveCheckout(); err != nil {
		return err
	}
	if t.raw != "" {
		doc, err := json.Marshal(t.Job)
		if err != nil {
			return err
		}
		t.raw = string(doc)
	}
	if err := t.checkGiven(t.Job, trusted); err != nil {
		return fmt.Errorf("%s.checkout: %w", steps.SettingName, err)
	}
	return t.tryDefaults(trusted)
}

// checkGiven checks a kjob with the defaults in it as a template is.
func (t *Template) checkGiven(k *batchv1.Job, trusted bool) error {
	doc, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return errors.Join(checkAdmissible(k), checkVariables(doc, k, trusted), checkTokenSecret(&k.Spec.Template.Spec, t.tokens))
}

// badMounts are mounts of volumes that the template lacks, and those of which a step could
// choose the folder: it sets the variables of its own containers.
func (t *Template) badMounts(trusted bool) error {
	var errs []error
	volumes := t.Job.Spec.Template.Spec.Volumes
	look := func(at string, mounts []corev1.VolumeMount, ofStep bool) {
		for _, m := range mounts {
			if !slices.ContainsFunc(volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
				errs = append(errs, fmt.Errorf("%s.%s.extraVolumeMounts: the queue's template has no volume %q: add it to the volumes there", steps.SettingName, at, m.Name))
			}
			if ofStep && !trusted && expansion.MatchString(m.SubPathExpr) {
				errs = append(errs, fmt.Errorf("%s.%s.extraVolumeMounts[%s].subPathExpr: whoever writes a step can set its variables, and have any folder of the volume mounted: use subPath, or set trusted-pipelines: true on the queue if they may", steps.SettingName, at, m.Name))
			}
		}
	}
	s := t.setting
	if s.Checkout != nil {
		look("checkout", s.Checkout.ExtraVolumeMounts, false)
	}
	if s.CommandParams != nil {
		look("commandParams", s.CommandParams.ExtraVolumeMounts, true)
	}
	if s.SidecarParams != nil {
		look("sidecarParams", s.SidecarParams.ExtraVolumeMounts, true)
	}
	return errors.Join(errs...)
}

func (t *Template) giveCheckout() error {
	c := t.setting.Checkout
	if c == nil {
		return nil
	}
	const at = steps.SettingName + ".checkout"
	spec, agent := &t.Job.Spec.Template.Spec, t.agent()
	var errs []error
	for _, e := range c.Env() {
		if slices.ContainsFunc(agent.Env, func(o corev1.EnvVar) bool { return o.Name == e.Name }) {
			errs = append(errs, fmt.Errorf("%s: the queue's template has %s, which says the same: take one of the two out", at, e.Name))
		}
	}
	for _, e := range c.EnvFrom {
		errs = append(errs, checkEnvFrom(at+".envFrom", e))
	}
	set(agent, c.Env()...)
	agent.VolumeMounts = append(agent.VolumeMounts, c.ExtraVolumeMounts...)
	if m := c.GitMirrors; m != nil && m.Volume != nil {
		spec.Volumes = append(spec.Volumes, *m.Volume.DeepCopy())
		agent.VolumeMounts = append(agent.VolumeMounts, corev1.VolumeMount{Name: m.Volume.Name, MountPath: *m.At()})
	}
	t.checkoutEnv = addCheckoutEnv(spec, agent, t, c.EnvFrom, 0)
	if c.GitCredentialsSecret != nil {
		if err := t.addCredentials(spec, agent, QueueCredentials, c.GitCredentialsSecret); err != nil {
			errs = append(errs, fmt.Errorf("%s.%w", steps.SettingName, err))
		}
	}
	return errors.Join(errs...)
}

// otherMirrors refuses a step's folder of mirrors that is not the one where the queue's volume
// is, and no volume of the step's either: each checkout would make them anew.
func (t *Template) otherMirrors(pod *steps.Pod) error {
	at := steps.DefaultMirrors
	if c := t.setting.Checkout; c != nil && c.GitMirrors != nil && c.GitMirrors.Volume != nil {
		at = *c.GitMirrors.At()
	} else if t.mirrors == nil {
		return nil
	}
	for _, e := range pod.Checkout.Env {
		isThere := func(m corev1.VolumeMount) bool { return m.MountPath == e.Value }
		if e.Name != steps.EnvMirrors || e.Value == at || slices.ContainsFunc(pod.Checkout.Mounts, isThere) {
			continue
		}
		return fmt.Errorf("kubernetes.checkout.gitMirrors.path: the queue's mirrors are in %s: take it out, or give it a volume of its own", at)
	}
	return nil
}

// tryDefaults makes a pod with a command and a sidecar that say nothing themselves.
func (t *Template) tryDefaults(trusted bool) error {
	step := steps.Step{Plugin: &steps.Plugin{Sidecars: []corev1.Container{{Name: "sidecar-0", Image: t.Image()}}}}
	pod, err := steps.Resolve(step, t.forSteps(nil))
	if err == nil {
		err = beside(pod, t)
	}
	k := t.Job.DeepCopy()
	if err == nil {
		err = t.addPod(k, pod, nil)
	}
	if err == nil {
		err = t.checkGiven(k, trusted)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", steps.SettingName, err)
	}
	return nil
}

// forSteps is what the queue gives each of its steps.
func (t *Template) forSteps(env map[string]string) steps.Defaults {
	s := t.setting
	return steps.Defaults{
		Command: env[steps.EnvCommand], Image: t.CommandImage(), Template: t.named, Resources: t.class, Further: withoutDevices(commandResources(t.agent())),
		PullPolicy: s.ImagePullPolicy, CommandParams: s.CommandParams, SidecarParams: s.SidecarParams,
	}
}

// addWithDefaults adds the container of a step's command, in an image, to the runner's pod.
// The image was judged before, or is the queue's.
func addWithDefaults(k *batchv1.Job, t *Template, image string, env map[string]string) error {
	of := *t
	of.image = image
	pod, err := of.Describe(steps.Step{}, env)
	if err != nil {
		return err
	}
	return t.addPod(k, pod, env)
}
