package kjob

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// MirrorsVolume is the volume of a queue's git mirrors. It is made of a snapshot, and is the
// runner's alone.
const MirrorsVolume = steps.OwnPrefix + "git-mirrors"

// SampleSnapshot stands for the name of the newest snapshot where there is no job.
const SampleSnapshot = "newest-ready-snapshot"

// addMirrors puts the volume of the queue's git mirrors into the template, so that whatever
// is checked there, and what a step may have beside it, is the same with a snapshot and
// without. The volume lives as long as its pod.
func addMirrors(pod *corev1.PodSpec, of *config.Snapshot) error {
	agent := FindAgent(pod)
	if of == nil || agent == nil { // without an agent container there is no template
		return nil
	}
	if slices.ContainsFunc(agent.Env, func(e corev1.EnvVar) bool { return e.Name == steps.EnvMirrors }) {
		return fmt.Errorf("git-mirrors: the queue's template has %s, which says the same: take one of the two out", steps.EnvMirrors)
	}
	claim := corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, VolumeMode: ptr.To(corev1.PersistentVolumeFilesystem),
		Resources:  corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: of.Size.DeepCopy()}},
		DataSource: &corev1.TypedLocalObjectReference{APIGroup: ptr.To(snapshotGroup), Kind: "VolumeSnapshot", Name: SampleSnapshot},
	}
	if of.StorageClass != "" {
		claim.StorageClassName = ptr.To(of.StorageClass)
	}
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: MirrorsVolume, VolumeSource: corev1.VolumeSource{
		Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{Spec: claim}},
	}})
	agent.VolumeMounts = append(agent.VolumeMounts, corev1.VolumeMount{Name: MirrorsVolume, MountPath: steps.DefaultMirrors})
	agent.Env = append(agent.Env, corev1.EnvVar{Name: steps.EnvMirrors, Value: steps.DefaultMirrors})
	return nil
}

// WithSnapshot is the template for a pod whose git mirrors are of this VolumeSnapshot; an
// empty name is a pod without. It changes nothing in a queue that has no git-mirrors.
func (t *Template) WithSnapshot(name string) *Template {
	with := *t
	with.snapshot = name
	return &with
}

// chooseMirrors names the snapshot in a pod, or takes the mirrors out where there is none:
// the checkout then clones, which takes longer.
func (t *Template) chooseMirrors(pod *corev1.PodSpec) {
	i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == MirrorsVolume })
	if t.mirrors == nil || i < 0 {
		return
	}
	if t.snapshot != "" {
		pod.Volumes[i].Ephemeral.VolumeClaimTemplate.Spec.DataSource.Name = t.snapshot
		return
	}
	agent := FindAgent(pod)
	pod.Volumes = slices.Delete(pod.Volumes, i, i+1)
	agent.VolumeMounts = slices.DeleteFunc(agent.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == MirrorsVolume })
	agent.Env = slices.DeleteFunc(agent.Env, func(e corev1.EnvVar) bool { return e.Name == steps.EnvMirrors })
}
