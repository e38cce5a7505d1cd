package kjob

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// addHold lets a runner stay when its job is over. People's wish comes by an annotation of
// the pod, which the kubelet writes into a volume: whoever may patch the pod may ask, no
// program needs a right for it, and the job can't write it.
func addHold(pod *corev1.PodSpec, agent *corev1.Container, t *Template) {
	if t.Hold <= 0 {
		return
	}
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: contract.HoldVolume, VolumeSource: corev1.VolumeSource{
		DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{
			Path: contract.HoldFile, FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['" + contract.AnnotationHold + "']"},
		}}},
	}})
	agent.VolumeMounts = append(agent.VolumeMounts, corev1.VolumeMount{Name: contract.HoldVolume, MountPath: contract.HoldDir, ReadOnly: true})
	agent.Env = append(agent.Env, corev1.EnvVar{Name: contract.EnvHold, Value: t.Hold.String()}, corev1.EnvVar{Name: contract.EnvPodNamespace, Value: t.Namespace})
}
