package kjob

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// The volumes of Secrets that onejob itself gives a runner. A step's .git-credentials take
// the place of its queue's.
const (
	stepCredentials  = steps.OwnPrefix + "git-credentials"
	QueueCredentials = steps.OwnPrefix + "git-credentials-of-queue"
	checkoutVolume   = steps.OwnPrefix + "checkout-env-"
)

// isSecrets reports whether a volume has Secrets for the runner.
func isSecrets(volume string) bool {
	return volume == stepCredentials || volume == QueueCredentials || strings.HasPrefix(volume, checkoutVolume)
}

// secretsFolder is the folder for such a volume where the runner may stay.
func secretsFolder(volume string) string {
	if volume == QueueCredentials {
		return stepCredentials
	}
	return volume
}

// secretsAt is where the runner finds the files of such a volume, at dir unless its
// container may stay.
func (t *Template) secretsAt(volume, dir string) string {
	if t.Hold > 0 {
		return path.Join(contract.SecretsDir, secretsFolder(volume))
	}
	return dir
}

// addSecrets takes the agent token and the step's Secrets out of a runner's container that
// may stay, and has an init container write them into files for it. An init container costs
// such a pod about a second, because the kubelet looks only once a second whether one has
// ended.
func addSecrets(pod *corev1.PodSpec, agent *corev1.Container, t *Template) {
	if t.Hold <= 0 {
		return
	}
	volume, mount := secretsVolume()
	init := corev1.Container{
		Name: contract.SecretsInit, Image: agent.Image, ImagePullPolicy: agent.ImagePullPolicy,
		Command:   []string{contract.StepProgram, "secrets"},
		Resources: *agent.Resources.DeepCopy(), SecurityContext: agent.SecurityContext.DeepCopy(),
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		VolumeMounts:             []corev1.VolumeMount{mount},
	}
	init.Resources.Claims = nil
	agent.Env = slices.DeleteFunc(agent.Env, func(e corev1.EnvVar) bool {
		if e.Name == contract.EnvToken {
			init.Env = append(init.Env, e)
		}
		return e.Name == contract.EnvToken
	})
	agent.VolumeMounts = slices.DeleteFunc(agent.VolumeMounts, func(m corev1.VolumeMount) bool {
		if isSecrets(m.Name) {
			m.MountPath = SecretsMount(m.Name)
			init.VolumeMounts = append(init.VolumeMounts, m)
		}
		return isSecrets(m.Name)
	})
	agent.Env = append(agent.Env, tokenFile)
	agent.VolumeMounts = append(agent.VolumeMounts, mount)
	pod.Volumes = append(pod.Volumes, volume)
	pod.InitContainers = append([]corev1.Container{init}, pod.InitContainers...)
}

var tokenFile = corev1.EnvVar{Name: contract.EnvTokenFile, Value: contract.SecretsToken}

// secretsVolume is in memory, so that no token is ever on the node's disk.
func secretsVolume() (corev1.Volume, corev1.VolumeMount) {
	return corev1.Volume{Name: contract.SecretsInit, VolumeSource: corev1.VolumeSource{
		EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: ptr.To(resource.MustParse("16Mi"))},
	}}, corev1.VolumeMount{Name: contract.SecretsInit, MountPath: contract.SecretsDir}
}
