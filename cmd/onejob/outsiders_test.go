package main

import (
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// several is a step with n commands, none of which says what it needs.
func several(n int) map[string]string {
	return map[string]string{steps.EnvCommand: "make", steps.EnvPlugins: `[{"kubernetes": {"podSpec": {"containers": [` + strings.TrimSuffix(strings.Repeat(`{"image": "x"},`, n), ",") + `]}}}]`}
}

// secretive is a step with Secrets for its checkout.
var secretive = map[string]string{steps.EnvCommand: "make", steps.EnvPlugins: `[{"kubernetes": {"checkout": {"envFrom": [{"secretRef": {"name": "git-a"}}], "gitCredentialsSecret": {"secretName": "git-b"}}}}]`}

// programsOf is the first command's mount of them.
func programsOf(s *corev1.PodSpec) *corev1.VolumeMount {
	mounts := s.Containers[1].VolumeMounts
	return &mounts[slices.IndexFunc(mounts, func(m corev1.VolumeMount) bool { return m.Name == contract.StepPrograms })]
}

// claimOf is what the volume of a queue's git mirrors asks for.
func claimOf(s *corev1.PodSpec) *corev1.PersistentVolumeClaimSpec {
	return &s.Volumes[slices.IndexFunc(s.Volumes, func(v corev1.Volume) bool { return v.Name == kjob.MirrorsVolume })].Ephemeral.VolumeClaimTemplate.Spec
}

// closed are Jobs of queues with more in their pods, and such that have more than onejob's
// where all that it puts there is in its place.
func (l *lab) closed(of map[string]ruled, made, outsiders map[string]*batchv1.Job) {
	l.Helper()
	again := l.made(of["near"], nil)
	kjob.HandOn(again, "", "", []string{"node-1", "node-2"})
	own := map[string]string{steps.EnvCommand: "make", steps.EnvPlugins: `[{"kubernetes": {"sidecars": [{"image": "db"}], "checkout": {"skip": false, "cloneFlags": "-v", "gitCredentialsSecret": {"secretName": "own"}, "envFrom": [{"secretRef": {"name": "own"}}]}}}]`}
	mirrored := ruled{of["snapshots"].Queue, of["snapshots"].WithSnapshot("mirrors-29411320")}
	of["mirrored"] = mirrored
	for name, k := range map[string]*batchv1.Job{
		"mirrors of a snapshot": l.made(mirrored, nil), "mirrors, and an image": l.made(mirrored, map[string]string{steps.EnvImage: "node"}), "mirrors, and commands": l.made(mirrored, several(2)), "mirrors, and a class": l.made(mirrored, nil, "resource_class=large"), "no snapshot": l.made(of["snapshots"], nil),
		"the queue's defaults": l.made(of["defaults"], nil), "an image with these": l.made(of["defaults"], map[string]string{steps.EnvImage: "node"}), "a step's own over these": l.made(of["defaults"], own),
		"these, and a hold": l.made(of["held-defaults"], nil), "a step's own over these, and a hold": l.made(of["held-defaults"], own),
		"all of it": l.made(of["together"], nil), "all of it, and an image": l.made(of["together"], map[string]string{steps.EnvImage: "node"}), "all of it, and commands": l.made(of["together"], several(3)), "all of it, and a step's own": l.made(of["together"], own),
		"a hold": l.made(of["hold"], nil), "a hold, and a plugin": l.made(of["hold"], several(1)), "a hold, and Secrets": l.made(of["hold"], secretive), "spans": l.made(of["tracing"], nil), "several commands": l.made(of["pods"], several(3)),
		"the template's affinity": l.made(of["near"], nil), "another attempt with that": again, "commands with room": l.made(of["near"], several(3)),
		"programs that are mounted": l.made(of["mounted"], several(2)), "programs that nobody needs": l.made(of["mounted"], nil),
	} {
		made[name] = k
	}
	never := corev1.ContainerRestartPolicyNever
	rules := []corev1.ContainerRestartRule{{Action: corev1.ContainerRestartRuleActionRestart, ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{1}}}}
	token := corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "onejob-agent-token"}}
	for name, row := range map[string]struct {
		queue  string
		change func(k *batchv1.Job, s *corev1.PodSpec, agent *corev1.Container)
	}{
		"another job's id": {"pods", func(_ *batchv1.Job, _ *corev1.PodSpec, agent *corev1.Container) {
			agent.Env[slices.IndexFunc(agent.Env, func(e corev1.EnvVar) bool { return e.Name == contract.EnvJobID })].Value = "018f0000-0000-7000-8000-0000000000ff"
		}},
		"a part of a mount": {"pods", func(_ *batchv1.Job, _ *corev1.PodSpec, agent *corev1.Container) {
			agent.VolumeMounts[0].SubPath = "evil"
		}},
		"more rights": {"pods", func(_ *batchv1.Job, _ *corev1.PodSpec, agent *corev1.Container) {
			agent.SecurityContext.Capabilities.Add = []corev1.Capability{"NET_ADMIN"}
		}},
		"the job's folder for a helper": {"pods", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.InitContainers = append(s.InitContainers, corev1.Container{Name: "x", Image: "x", VolumeMounts: []corev1.VolumeMount{{Name: "builds", MountPath: "/b"}}})
		}},
		"a program for the queue's helper": {"pods", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.InitContainers[0].Command = []string{"sh"}
		}},
		"another run": {"pods", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.Containers[1].RestartPolicy, s.Containers[1].RestartPolicyRules = &never, rules
		}},
		"another run of a first one": {"pods", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.InitContainers = append(s.InitContainers, corev1.Container{Name: "x", Image: "x", RestartPolicy: &never, RestartPolicyRules: rules})
		}},
		"a number that is none": {"pods", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.Containers[1].Command = append(s.Containers[1].Command, "--x")
		}},
		"no queue, and a volume of our name": {"pods", func(k *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			others(k)
			*s = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Volumes: []corev1.Volume{{Name: contract.StepInit, VolumeSource: token}}, Containers: []corev1.Container{{Name: "c", Image: "x", VolumeMounts: []corev1.VolumeMount{{Name: contract.StepInit, MountPath: "/t"}}}}}
		}},
		"more of a key that commands have": {"defaults", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.Containers[1].VolumeMounts = append(s.Containers[1].VolumeMounts, corev1.VolumeMount{Name: "keys", MountPath: "/mnt", SubPath: "other"})
		}},
		"the mirrors for a command": {"defaults", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.Containers[1].VolumeMounts = append(s.Containers[1].VolumeMounts, corev1.VolumeMount{Name: "mirrors", MountPath: "/mnt"})
		}},
		"a snapshot for a command": {"mirrored", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.Containers[1].VolumeMounts = append(s.Containers[1].VolumeMounts, corev1.VolumeMount{Name: kjob.MirrorsVolume, MountPath: "/mnt"})
		}},
		"another's claim in the place of a snapshot": {"mirrored", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			claimOf(s).DataSource = &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "release"}
		}},
		"another's volume in the place of a snapshot": {"mirrored", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			claimOf(s).VolumeName = "pv-1"
		}},
		"a larger copy of a snapshot": {"mirrored", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			claimOf(s).Resources.Requests[corev1.ResourceStorage] = resource.MustParse("20Ti")
		}},
		"the checkout's variables for a command": {"defaults", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.Containers[1].EnvFrom[0].SecretRef.Name = "git-env"
		}},
		"the commands' variables for the runner": {"defaults", func(_ *batchv1.Job, s *corev1.PodSpec, agent *corev1.Container) {
			agent.EnvFrom = s.Containers[1].EnvFrom
		}},
		"other credentials of the queue's": {"defaults", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			v := &s.Volumes[slices.IndexFunc(s.Volumes, func(v corev1.Volume) bool { return v.Name == "onejob-git-credentials-of-queue" })]
			v.Secret.SecretName = "own"
		}},
		"a longer hold": {"hold", func(_ *batchv1.Job, _ *corev1.PodSpec, agent *corev1.Container) {
			agent.Env = append(agent.Env, corev1.EnvVar{Name: contract.EnvHold, Value: "999h"})
		}},
		"another hold": {"hold", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			v := &s.Volumes[slices.IndexFunc(s.Volumes, func(v corev1.Volume) bool { return v.Name == contract.HoldVolume })]
			v.VolumeSource = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
		}},
		"a hold of no queue's": {"tracing", func(_ *batchv1.Job, _ *corev1.PodSpec, agent *corev1.Container) {
			agent.Env = append(agent.Env, corev1.EnvVar{Name: contract.EnvHold, Value: "30m0s"})
		}},
		"the token in a runner that stays": {"hold", func(_ *batchv1.Job, s *corev1.PodSpec, agent *corev1.Container) {
			agent.Env = append(agent.Env, s.InitContainers[0].Env...)
		}},
		"the runner's files for a command": {"hold", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.Containers[1].VolumeMounts = append(s.Containers[1].VolumeMounts, corev1.VolumeMount{Name: contract.SecretsInit, MountPath: "/s"})
		}},
		"another program with the token": {"hold", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.InitContainers[0].Command = []string{"sh", "-c", "env"}
		}},
		"more for that program": {"hold", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.InitContainers[0].Args = []string{"env"}
		}},
		"another program beside it": {"hold", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			always, c := corev1.ContainerRestartPolicyAlways, &s.InitContainers[0]
			c.RestartPolicy, c.StartupProbe = &always, &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"sh", "-c", "env"}}}}
		}},
		"the token's program again and again": {"hold", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			always := corev1.ContainerRestartPolicyAlways
			s.InitContainers[0].RestartPolicy = &always
		}},
		"the token's program beside the runner": {"hold", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.Containers, s.InitContainers = append(s.Containers, s.InitContainers[0]), s.InitContainers[1:]
		}},
		"the token's program with the job's folder": {"hold", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.InitContainers[0].VolumeMounts[0].Name = "builds"
		}},
		"the runner's files on the disk": {"hold", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.Volumes[slices.IndexFunc(s.Volumes, func(v corev1.Volume) bool { return v.Name == contract.SecretsInit })].EmptyDir.Medium = ""
		}},
		"the token's program in a queue without a hold": {"tracing", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.InitContainers = append(s.InitContainers, *l.made(of["hold"], several(1)).Spec.Template.Spec.InitContainers[0].DeepCopy())
			s.InitContainers[0].VolumeMounts[0].Name = "builds"
		}},
		"all of the runner's image": {"mounted", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			programsOf(s).SubPath = ""
		}},
		"programs elsewhere": {"mounted", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			programsOf(s).MountPath = "/usr/bin"
		}},
		"programs of another image": {"mounted", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.Volumes[slices.IndexFunc(s.Volumes, func(v corev1.Volume) bool { return v.Name == contract.StepPrograms })].Image.Reference = "evil:1"
		}},
		"programs for the runner": {"mounted", func(_ *batchv1.Job, s *corev1.PodSpec, agent *corev1.Container) {
			agent.VolumeMounts = append(agent.VolumeMounts, *programsOf(s))
		}},
		"programs for a helper": {"mounted", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.InitContainers = append(s.InitContainers, corev1.Container{Name: "x", Image: "x", VolumeMounts: []corev1.VolumeMount{*programsOf(s)}})
		}},
		"spans for others": {"tracing", func(_ *batchv1.Job, _ *corev1.PodSpec, agent *corev1.Container) {
			agent.Env = append(agent.Env, corev1.EnvVar{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: "http://evil"})
		}},
		"an empty variable, filled": {"near", func(_ *batchv1.Job, _ *corev1.PodSpec, agent *corev1.Container) {
			agent.Env = append(agent.Env, corev1.EnvVar{Name: "HTTPS_PROXY", Value: "http://evil"})
		}},
		"far from all": {"tracing", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: "rack", LabelSelector: &metav1.LabelSelector{}, NamespaceSelector: &metav1.LabelSelector{}}}}
		}},
		"farther": {"near", func(_ *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			s.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].NamespaceSelector = &metav1.LabelSelector{}
		}},
		"a node": {"near", func(k *batchv1.Job, s *corev1.PodSpec, _ *corev1.Container) {
			kjob.HandOn(k, "", "", []string{"node-1"})
			s.Affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution[1].Preference.MatchFields[0].Operator = corev1.NodeSelectorOpIn
		}},
	} {
		k := l.made(of[row.queue], several(1))
		row.change(k, &k.Spec.Template.Spec, kjob.FindAgent(&k.Spec.Template.Spec))
		outsiders[name] = k
	}
	k := l.made(of["near"], several(3))
	for _, name := range []string{"command-x", "command-y"} {
		c := k.Spec.Template.Spec.Containers[3].DeepCopy()
		c.Name = name
		k.Spec.Template.Spec.Containers = append(k.Spec.Template.Spec.Containers, *c)
	}
	outsiders["commands without room"] = k
	warm := kjob.NewPlaceholder(of["plain"].Template, 1)
	warm.Spec.Template.Spec.Containers[0].SecurityContext.Capabilities.Add = []corev1.Capability{"NET_ADMIN"}
	outsiders["a placeholder with more rights"] = warm
}
