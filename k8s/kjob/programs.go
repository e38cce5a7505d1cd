package kjob

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
)

// mountPrograms has the runtime mount our programs from the agent's image, for the command
// alone: nothing is copied, and nobody can write to them. Of that image the command gets
// their folder, because an administrator's image may have keys in another one. A runtime that
// doesn't know image volumes, or ignores the sub-path, can't start the command: see
// decide.mountedPrograms. The scheduler can't tell beforehand, because it has no right to
// read nodes, and doesn't know which one a pod will get.
func mountPrograms(pod *corev1.PodSpec, agent, command *corev1.Container) {
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: contract.StepPrograms, VolumeSource: corev1.VolumeSource{
		Image: &corev1.ImageVolumeSource{Reference: agent.Image, PullPolicy: agent.ImagePullPolicy},
	}})
	command.VolumeMounts = append(command.VolumeMounts, programsMount())
	agent.Env = append(agent.Env, programsEnv())
}

func programsMount() corev1.VolumeMount {
	return corev1.VolumeMount{Name: contract.StepPrograms, MountPath: contract.StepBin, SubPath: contract.ProgramsIn, ReadOnly: true}
}

func programsEnv() corev1.EnvVar {
	return corev1.EnvVar{Name: contract.EnvStepPrograms, Value: config.ProgramsImageVolume}
}

// copyPrograms has our programs copied into the shared folder before the command's
// container is started. The kubelet starts containers in their order, and begins the next
// one when the last one's postStart has ended. An init container would do, too, and where
// the template has a postStart of its own, it does: but the kubelet looks only once a
// second whether one has ended, and that is longer than all else that a pod takes to start.
//
// If the agent's container can't be started, the kubelet starts the command's without the
// programs, in vain. Then there is a new attempt: see decide.
func copyPrograms(pod *corev1.PodSpec, agent *corev1.Container) {
	copying := []string{contract.StepProgram, "copy"}
	switch l := agent.Lifecycle; {
	case l == nil:
		agent.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: copying}}}
	case l.PostStart == nil:
		l.PostStart = &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: copying}}
	default:
		// It is of the agent's image, and done before the agent begins: a pod asks for the
		// larger of the two.
		last := len(agent.VolumeMounts) - 1
		pod.InitContainers = append([]corev1.Container{{
			Name: contract.StepInit, Image: agent.Image, ImagePullPolicy: agent.ImagePullPolicy, Command: copying,
			Env:       []corev1.EnvVar{{Name: contract.EnvStepDir, Value: contract.StepDir}},
			Resources: *agent.Resources.DeepCopy(), SecurityContext: agent.SecurityContext.DeepCopy(),
			VolumeMounts: agent.VolumeMounts[last:],
		}}, pod.InitContainers...)
	}
}
