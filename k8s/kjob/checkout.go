package kjob

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// addCheckout gives the runner what a step's checkout needs: settings by fixed names, volumes
// where none of its programs is.
func addCheckout(spec *corev1.PodSpec, agent *corev1.Container, t *Template, pod *steps.Pod) error {
	plan := pod.Checkout
	set(agent, plan.Env...)
	agent.VolumeMounts = append(agent.VolumeMounts, plan.Mounts...)
	folders := slices.Concat(t.checkoutEnv, addCheckoutEnv(spec, agent, t, plan.EnvFrom, len(t.checkoutEnv)))
	if len(folders) > 0 {
		set(agent, corev1.EnvVar{Name: contract.EnvCheckoutEnv, Value: contract.CheckoutEnvValue(folders)})
		addKeys(spec, agent)
	}
	if plan.Credentials == nil {
		return nil
	}
	if err := t.addCredentials(spec, agent, stepCredentials, plan.Credentials); err != nil {
		return fmt.Errorf("kubernetes.%w", err)
	}
	return nil
}

func set(agent *corev1.Container, env ...corev1.EnvVar) {
	for _, e := range env {
		agent.Env = append(agent.Env, corev1.EnvVar{Name: e.Name, Value: escaped(e.Value)})
	}
}

const (
	credentialsDir = "/buildkite/git-credentials" //nolint:gosec // a folder
	gitCount       = "GIT_CONFIG_COUNT"
)

// gitCredentials is the setting by which git finds .git-credentials.
func (t *Template) gitCredentials() string {
	return contract.GitCredentials(t.secretsAt(stepCredentials, credentialsDir) + "/.git-credentials")
}

// addCredentials mounts a Secret where git looks for credentials.
func (t *Template) addCredentials(spec *corev1.PodSpec, agent *corev1.Container, name string, secret *corev1.SecretVolumeSource) error {
	mounts := len(agent.VolumeMounts)
	spec.Volumes = slices.DeleteFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == QueueCredentials })
	agent.VolumeMounts = slices.DeleteFunc(agent.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == QueueCredentials })
	hasQueues := len(agent.VolumeMounts) < mounts
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: secret.DeepCopy()}})
	agent.VolumeMounts = append(agent.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: credentialsDir, ReadOnly: true})
	if hasQueues {
		return nil // and git's settings with it
	}
	n, err := gitSettings(agent)
	if err != nil {
		return err
	}
	agent.Env = slices.DeleteFunc(agent.Env, func(e corev1.EnvVar) bool { return e.Name == gitCount })
	set(agent, corev1.EnvVar{Name: gitCount, Value: strconv.Itoa(n + 1)},
		corev1.EnvVar{Name: fmt.Sprintf("GIT_CONFIG_KEY_%d", n), Value: "credential.helper"},
		corev1.EnvVar{Name: fmt.Sprintf("GIT_CONFIG_VALUE_%d", n), Value: t.gitCredentials()})
	return nil
}

// gitSettings is how many settings of git's the template has in variables, which are
// numbered.
func gitSettings(agent *corev1.Container) (n int, err error) {
	for _, e := range agent.Env {
		if e.Name != gitCount {
			continue
		}
		if n, err = strconv.Atoi(e.Value); err != nil || n < 0 {
			return 0, fmt.Errorf("checkout.gitCredentialsSecret: the queue's template has settings of git's by %s, and no number there to go on from: put the credentials into the template", gitCount)
		}
	}
	return n, nil
}

// checkoutEnvDir has the variables of gitEnvFrom and checkout: {envFrom}.
const checkoutEnvDir = "/buildkite/checkout-env"

// addCheckoutEnv brings the variables of the checkout as files. In the container's
// environment the runner would have them, and with it the agent token whoever names them:
// what a Secret has in it nobody knows here, and a prefix makes LD_PRELOAD of PRELOAD. The
// program that checks out has the job's environment alone, and gets them from the files. The
// names begin at a number.
func addCheckoutEnv(spec *corev1.PodSpec, agent *corev1.Container, t *Template, from []corev1.EnvFromSource, number int) (folders []contract.CheckoutEnv) {
	for i, e := range from {
		i += number
		name, dir := checkoutVolume+strconv.Itoa(i), path.Join(checkoutEnvDir, strconv.Itoa(i))
		v := corev1.Volume{Name: name}
		switch {
		case e.SecretRef != nil:
			v.Secret = &corev1.SecretVolumeSource{SecretName: e.SecretRef.Name, Optional: e.SecretRef.Optional}
		case e.ConfigMapRef != nil:
			v.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: e.ConfigMapRef.LocalObjectReference, Optional: e.ConfigMapRef.Optional}
		default:
			continue
		}
		spec.Volumes = append(spec.Volumes, v)
		agent.VolumeMounts = append(agent.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: dir, ReadOnly: true})
		folders = append(folders, contract.CheckoutEnv{Prefix: e.Prefix, Dir: t.secretsAt(name, dir)})
	}
	return folders
}

// addKeys gives the runner a folder in memory for ssh's keys: a Secret's file is ssh's only
// if nobody else may read it, and the pod's other volumes are on the node's disk.
func addKeys(spec *corev1.PodSpec, agent *corev1.Container) {
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: KeysVolume, VolumeSource: corev1.VolumeSource{
		EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: ptr.To(resource.MustParse("1Mi"))},
	}})
	agent.VolumeMounts = append(agent.VolumeMounts, corev1.VolumeMount{Name: KeysVolume, MountPath: contract.CheckoutKeysDir})
}

const mirrorMode = "BUILDKITE_GIT_MIRROR_CHECKOUT_MODE"

// alone has the checkout copy what it needs of its mirror where a command's container
// doesn't have the mirrors: git there would find none of the objects that the checkout left
// in its mirror. The queue's own mode stays.
func alone(spec *corev1.PodSpec, agent *corev1.Container) []corev1.EnvVar {
	values := map[string]string{} // of two variables the kubelet takes the last
	for _, e := range agent.Env {
		values[e.Name] = e.Value
	}
	at, mirrors := values[steps.EnvMirrors] // empty where it is elsewhere
	if _, set := values[mirrorMode]; !mirrors || set {
		return nil
	}
	without := func(c corev1.Container) bool {
		return contract.IsCommand(c.Name) && !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return at != "" && isIn(at, m.MountPath) })
	}
	if !slices.ContainsFunc(spec.Containers, without) {
		return nil
	}
	return []corev1.EnvVar{{Name: mirrorMode, Value: "dissociate"}}
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_]*$`)

// checkEnvFrom refuses what no variable of the checkout may be called.
func checkEnvFrom(at string, e corev1.EnvFromSource) error {
	switch {
	case (e.SecretRef == nil) == (e.ConfigMapRef == nil):
		return errors.New(at + ": an entry has either a secretRef or a configMapRef")
	case contract.IsKept(e.Prefix):
		return fmt.Errorf("%s: the prefix %q would make settings of the agent: take another", at, contract.Line(e.Prefix, 60))
	case !plainName.MatchString(e.Prefix):
		return fmt.Errorf("%s: the prefix %q begins no variable's name: use A-Z a-z 0-9 _", at, contract.Line(e.Prefix, 60))
	}
	return nil
}
