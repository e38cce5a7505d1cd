package kjob

import (
	"cmp"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// What package admission needs to know of a template and of what New adds to it, to tell
// both from a step's.

// CredentialHelper is the variable by which git reads a step's .git-credentials, as it is in
// the pod.
func (t *Template) CredentialHelper() string { return escaped(t.gitCredentials()) }

// SecretsMount is where the container contract.SecretsInit has a volume with Secrets.
func SecretsMount(volume string) string {
	return path.Join(contract.SecretsFrom, secretsFolder(volume))
}

// KeysVolume is the volume at contract.CheckoutKeysDir. It is the runner's alone.
const KeysVolume = steps.OwnPrefix + "checkout-keys"

// Policy is the queue's, with what the template has for the most that a step may have.
func (t *Template) Policy() config.Policy { return t.policy }

// CommandImage is what the command of a step runs in that names no image.
func (t *Template) CommandImage() string { return cmp.Or(t.image, t.Image()) }

// Given are the variables and the mounts that the queue gives to its steps' containers.
func (t *Template) Given() (env []corev1.EnvFromSource, mounts []corev1.VolumeMount) {
	if c := t.setting.CommandParams; c != nil {
		env, mounts = append(env, c.EnvFrom...), append(mounts, c.ExtraVolumeMounts...)
	}
	if c := t.setting.SidecarParams; c != nil {
		env, mounts = append(env, c.EnvFrom...), append(mounts, c.ExtraVolumeMounts...)
	}
	return env, mounts
}

// ClassResources are the resource class's amounts for a command.
func (t *Template) ClassResources() corev1.ResourceRequirements { return t.class }

// RunnerVariables are those that New gives the runner with a value that is the job's, but
// for the job's id, the token, its endpoint and git's.
func RunnerVariables() []string {
	return []string{contract.EnvTags, contract.EnvAttempt, contract.EnvContractVersion, contract.EnvImage, contract.EnvCommands, contract.EnvCheckoutEnv}
}

// Added is what New may add to a pod with values that no job changes: variables and mounts
// of the runner, which is its one container, and volumes for it.
func (t *Template) Added() *corev1.PodSpec {
	pod := &corev1.PodSpec{Containers: []corev1.Container{{Name: contract.AgentContainer}}}
	agent := &pod.Containers[0]
	addHold(pod, agent, t)
	agent.Env = slices.Concat(agent.Env, tracing(t.agent().Env, t.AgentTracing), t.graces, []corev1.EnvVar{
		{Name: contract.EnvStepDir, Value: contract.StepDir}, {Name: contract.EnvPlugin, Value: "kubernetes"},
	})
	if t.OnTerm == onTermDrain {
		agent.Env = append(agent.Env, corev1.EnvVar{Name: contract.EnvOnTerm, Value: t.OnTerm})
	}
	if t.Mounted {
		agent.Env = append(agent.Env, programsEnv())
	}
	agent.VolumeMounts = append(agent.VolumeMounts, corev1.VolumeMount{Name: contract.StepInit, MountPath: contract.StepDir},
		corev1.VolumeMount{Name: stepCredentials, MountPath: credentialsDir, ReadOnly: true})
	addSecrets(pod, agent, t)
	addKeys(pod, agent)
	return pod
}

// ProgramsMount is the one mount that commands have of contract.StepPrograms, nil if the
// queue's programs are copied.
func (t *Template) ProgramsMount() *corev1.VolumeMount {
	if !t.Mounted {
		return nil
	}
	return ptr.To(programsMount())
}
