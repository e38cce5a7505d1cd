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

// addCheckout gives the runner what the checkout needs: settings by fixed names, volumes
// where none of its programs is.
func addCheckout(spec *corev1.PodSpec, agent *corev1.Container, t *Template, pod *steps.Pod) error {
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
	if folders := addCheckoutEnv(spec, agent, t, plan.EnvFrom); len(folders) > 0 {
		set(contract.EnvCheckoutEnv, contract.CheckoutEnvValue(folders))
	}
	if plan.Credentials == nil {
		return nil
	}
	n, err := gitSettings(agent)
	if err != nil {
		return err
	}
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: credentialsVolume, VolumeSource: corev1.VolumeSource{Secret: plan.Credentials}})
	agent.VolumeMounts = append(agent.VolumeMounts, corev1.VolumeMount{Name: credentialsVolume, MountPath: credentialsDir, ReadOnly: true})
	agent.Env = slices.DeleteFunc(agent.Env, func(e corev1.EnvVar) bool { return e.Name == gitCount })
	set(gitCount, strconv.Itoa(n+1))
	set(fmt.Sprintf("GIT_CONFIG_KEY_%d", n), "credential.helper")
	set(fmt.Sprintf("GIT_CONFIG_VALUE_%d", n), t.gitCredentials())
	return nil
}

const (
	credentialsDir = "/buildkite/git-credentials" //nolint:gosec // a folder
	gitCount       = "GIT_CONFIG_COUNT"
)

// gitCredentials is the setting by which git finds a step's .git-credentials.
func (t *Template) gitCredentials() string {
	return contract.GitCredentials(t.secretsAt(credentialsVolume, credentialsDir) + "/.git-credentials")
}

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

// checkoutEnvDir has the variables of gitEnvFrom and checkout: {envFrom}.
const checkoutEnvDir = "/buildkite/checkout-env"

// addCheckoutEnv brings the variables of the checkout as files. In the container's
// environment the runner would have them, and with it the agent token whoever names them:
// what a Secret has in it nobody knows here, and a prefix makes LD_PRELOAD of PRELOAD. The
// program that checks out has the job's environment alone, and gets them from the files.
func addCheckoutEnv(spec *corev1.PodSpec, agent *corev1.Container, t *Template, from []corev1.EnvFromSource) (folders []contract.CheckoutEnv) {
	for i, e := range from {
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
	if len(folders) > 0 {
		addKeys(spec, agent)
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

const (
	mirrorsPath = "BUILDKITE_GIT_MIRRORS_PATH"
	mirrorMode  = "BUILDKITE_GIT_MIRROR_CHECKOUT_MODE"
)

// alone has the checkout copy what it needs of its mirror where a command's container
// doesn't have the mirrors: git there would find none of the objects that the checkout left
// in its mirror. The queue's own mode stays.
func alone(spec *corev1.PodSpec, agent *corev1.Container) []corev1.EnvVar {
	of := func(name string) int {
		return slices.IndexFunc(agent.Env, func(e corev1.EnvVar) bool { return e.Name == name })
	}
	i := of(mirrorsPath)
	if i < 0 || of(mirrorMode) >= 0 {
		return nil
	}
	at := agent.Env[i].Value // empty where it is elsewhere
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
func checkEnvFrom(e corev1.EnvFromSource) error {
	const at = "kubernetes.gitEnvFrom, kubernetes.checkout.envFrom"
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
