package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/steps"
	"github.com/onejob-dev/onejob/stacks"
	"github.com/onejob-dev/onejob/test/plugins"
)

// What a queue's policy says of a step, the API server says of the Job that somebody makes
// of it who asks nobody: the same table.
func TestPolicyAsTheAPIServer(t *testing.T) {
	l := aLab(t)
	b, err := os.ReadFile(filepath.Join("..", "..", "k8s", "policy", "testdata", "rules.yaml"))
	l.must(err)
	var rows []struct{ Name, Policy, Image, Plugin, Want string }
	l.must(yaml.UnmarshalStrict(b, &rows))
	queues, queueOf := "queues:\n", map[string]string{}
	for _, row := range rows {
		if queueOf[row.Policy] == "" {
			queueOf[row.Policy] = fmt.Sprintf("q%d", len(queueOf))
			// The template's own limits are the policy's, where it has none.
			queues += fmt.Sprintf("- {name: %s, steps: pod, policy: {%s}, template: {inline: {spec: {containers: [{name: agent, resources: {limits: {memory: 2Ti}}}]}}}}\n", queueOf[row.Policy], row.Policy)
		}
	}
	of := l.rules(queues, false)
	began, invalid := time.Now(), 0
	for _, row := range rows {
		plugin, err := yaml.YAMLToJSON([]byte(row.Plugin))
		l.must(err)
		step, err := steps.Parse(map[string]string{steps.EnvImage: row.Image, steps.EnvPlugins: `[{"kubernetes":` + string(plugin) + `}]`})
		l.must(err)
		q := of[queueOf[row.Policy]]
		kept, err := l.answer(l.byHand(q, step))
		switch {
		case err == nil && isDropped(row.Want, kept):
		case row.Want == "" && denied(err):
			t.Errorf("%s: the policy takes it, the API server says %v", row.Name, err)
		case row.Want == "" && err != nil:
			t.Logf("%s: not the policy, the API server itself says %v", row.Name, err)
		case row.Want != "" && err == nil:
			t.Errorf("%s: the policy says %q, and the API server takes it", row.Name, row.Want)
		case row.Want != "" && !denied(err) && !apierrors.IsInvalid(err):
			t.Errorf("%s: %v", row.Name, err)
		case row.Want != "" && !denied(err):
			invalid++
			t.Logf("%s: no Job at all: %v", row.Name, err)
		}
	}
	t.Logf("%d rows took %s", len(rows), time.Since(began))
}

// isDropped: an API server takes a field out that is of a feature which is off, as these are
// in the tests' cluster; what is left of the Job breaks no rule.
func isDropped(want string, kept *batchv1.Job) bool {
	doc, _ := json.Marshal(kept) // it came as one
	return slices.ContainsFunc([]string{"podCertificate", "clusterTrustBundle"}, func(field string) bool {
		return strings.Contains(want, "sources."+field) && !strings.Contains(string(doc), field)
	})
}

// Whoever applies the policies of a queue with pod-templates learns what they refuse.
func TestPolicyOfPodTemplates(t *testing.T) {
	for policy, want := range map[string]bool{"{}": false, "{pod-templates: [node]}": true} {
		got := run(t, "policy", "-f", write(t, "endpoint: http://x/v3\ntoken-file: x\nqueues: [{name: q, steps: pod, policy: "+policy+"}]\n"))
		if got.code != 0 || strings.HasPrefix(got.out, "# Queue q has pod-templates: ") != want || strings.Count(got.out, "#") > 1 {
			t.Errorf("%s: exit %d, %.200q %s", policy, got.code, got.out, got.err)
		}
	}
}

const labQueues = `
queues:
- {name: plain, steps: plain, min-agents: 1}
- name: pods
  steps: pod
  policy: {secrets: ["*"], limits: {container: {cpu: "8", memory: 8Gi}}}
  template: {inline: {metadata: {labels: {team: ci}}, spec: {
    serviceAccountName: builder, nodeSelector: {pool: ci}, tolerations: [{key: ci, operator: Exists}],
    initContainers: [{name: proxy, image: "proxy:1", restartPolicy: Always, env: [{name: KEY, valueFrom: {secretKeyRef: {name: proxy, key: k}}}]}],
    containers: [{name: agent, volumeMounts: [{name: ssh, mountPath: /ssh}]}],
    volumes: [{name: ssh, secret: {secretName: ssh}}, {name: host, hostPath: {path: /cache}}]}}}
- name: classes
  steps: pod
  user-namespace: true
  policy: {limits: {pod: {cpu: "8"}}}
  resource-classes: {large: {resource: {requests: {cpu: "6"}}, priorityClassName: ci, tolerations: [{key: big, operator: Exists}], image: "tools:1"}}
- name: defaults
  steps: pod
  policy: {secrets: [own]}
  step-defaults:
    checkout:
      cloneFlags: --depth=1
      envFrom: [{secretRef: {name: git-env}}]
      gitCredentialsSecret: {secretName: git}
      gitMirrors: {volume: {name: mirrors, persistentVolumeClaim: {claimName: m}}}
      extraVolumeMounts: [{name: keys, mountPath: /keys, readOnly: true}]
    commandParams: {envFrom: [{secretRef: {name: all}}], extraVolumeMounts: [{name: keys, mountPath: /etc/keys, readOnly: true}]}
    sidecarParams: {envFrom: [{secretRef: {name: side}, prefix: A}]}
    imagePullPolicy: Always
  template: {inline: {spec: {containers: [{name: agent}], volumes: [{name: keys, secret: {secretName: keys}}]}}}
- {name: hold, steps: pod, hold: 30m, policy: {secrets: ["git-*"]}}
- {name: held-defaults, steps: pod, hold: 30m, policy: {secrets: [own]}, step-defaults: {checkout: {envFrom: [{secretRef: {name: git-env}}], gitCredentialsSecret: {secretName: git}}}}
- {name: mounted, steps: pod, programs: image-volume, policy: {volumes: [emptyDir, image]}}
- name: together
  steps: pod
  hold: 30m
  programs: image-volume
  user-namespace: true
  policy: {secrets: [own], level: baseline, claims: [m]}
  resource-classes: {large: {resource: {requests: {cpu: "6"}}, image: "tools:1"}}
  step-defaults:
    checkout:
      envFrom: [{secretRef: {name: git-env}}]
      gitCredentialsSecret: {secretName: git}
      gitMirrors: {volume: {name: mirrors, persistentVolumeClaim: {claimName: m}}}
    commandParams: {envFrom: [{secretRef: {name: all}}], extraVolumeMounts: [{name: keys, mountPath: /etc/keys, readOnly: true}]}
    imagePullPolicy: Always
  template: {inline: {spec: {containers: [{name: agent, lifecycle: {postStart: {exec: {command: ["true"]}}}}], volumes: [{name: keys, secret: {secretName: keys}}]}}}
- name: snapshots
  steps: pod
  git-mirrors: {snapshot: {labels: {app: mirrors}, storage-class: fast, size: 20Gi}}
  resource-classes: {large: {resource: {requests: {cpu: "6"}}, image: "tools:1"}}
- name: tracing
  steps: pod
  agent-tracing: "http://otel:4318"
  template: {inline: {spec: {affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: [{key: disk, operator: Exists}]}}]}}}}}
- name: near
  steps: pod
  policy: {node-selectors: ["pool=ci"], limits: {pod: {cpu: "1"}}}
  template: {inline: {spec: {
    affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: [{key: disk, operator: Exists}]}}]},
      podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: rack, labelSelector: {matchLabels: {a: b}}}]}},
    containers: [{name: agent, env: [{name: HTTPS_PROXY, value: ""}], resources: {requests: {cpu: 300m}}}]}}}
`

// What onejob makes itself the API server takes, of random plugins, too, and nothing that
// looks like it.
func TestOutsidersAtTheAPIServer(t *testing.T) {
	l := aLab(t)
	of := l.rules(labQueues, true)
	made, outsiders := l.outsiders(of)
	l.closed(of, made, outsiders)
	for name, k := range made {
		if err := l.ask(k); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, k := range outsiders {
		if err := l.ask(k); !denied(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := l.ask(&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "other"}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "x", EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "own"}}}}}},
	}}}}); err != nil {
		t.Errorf("somebody's own Job: %v", err)
	}
	l.random(of["pods"])
}

// outsiders are Jobs that onejob makes of steps, and such that somebody makes who wants
// more.
func (l *lab) outsiders(of map[string]ruled) (made, outsiders map[string]*batchv1.Job) {
	l.Helper()
	whole := map[string]string{steps.EnvCommand: "make", steps.EnvPlugins: `[{"kubernetes": {"podSpec": {"containers": [{"image": "x", "command": ["a"], "env": [{"name": "A", "value": "b"}], "resources": {"requests": {"cpu": "1"}}, "volumeMounts": [{"name": "v", "mountPath": "/mnt/v"}]}], "volumes": [{"name": "v", "emptyDir": {}}]}, "sidecars": [{"image": "db"}], "checkout": {"cloneFlags": "--depth=1", "extraVolumeMounts": [{"name": "v", "mountPath": "/mnt/v"}], "gitCredentialsSecret": {"secretName": "git"}, "envFrom": [{"secretRef": {"name": "git"}}], "gitMirrors": {"volume": {"name": "m", "emptyDir": {}}}}}}]`}
	small := map[string]string{steps.EnvPlugins: `[{"kubernetes": {"sidecars": [{"image": "db", "resources": {"requests": {"cpu": "1"}}}]}}]`}
	retry := l.made(of["pods"], whole)
	kjob.HandOn(retry, "", "", []string{"node-1"})
	made = map[string]*batchv1.Job{
		"plain": l.made(of["plain"], nil), "an image": l.made(of["pods"], map[string]string{steps.EnvImage: "node"}), "a plugin": l.made(of["pods"], whole), "another attempt": retry,
		"no class": l.made(of["classes"], nil), "a class": l.made(of["classes"], small, "resource_class=large"), "a placeholder": kjob.NewPlaceholder(of["plain"].Template, 1),
	}
	outsiders = map[string]*batchv1.Job{}
	for name, change := range map[string]func(*batchv1.Job, *corev1.PodSpec){
		"another runner's image":   func(_ *batchv1.Job, s *corev1.PodSpec) { s.Containers[0].Image = "evil" },
		"another runner's command": func(_ *batchv1.Job, s *corev1.PodSpec) { s.Containers[0].Command = []string{"sh"} },
		"a hook of the runner's": func(_ *batchv1.Job, s *corev1.PodSpec) {
			s.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"a"}}}}
		},
		"a variable of the loader's": func(_ *batchv1.Job, s *corev1.PodSpec) {
			s.Containers[0].Env = append(s.Containers[0].Env, corev1.EnvVar{Name: "LD_PRELOAD", Value: "/x"})
		},
		"another Buildkite": func(_ *batchv1.Job, s *corev1.PodSpec) {
			s.Containers[0].Env = append(s.Containers[0].Env, corev1.EnvVar{Name: contract.EnvEndpoint, Value: "https://evil.example"})
		},
		"a mount over the runner": func(_ *batchv1.Job, s *corev1.PodSpec) {
			s.Containers[0].VolumeMounts = append(s.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "v", MountPath: "/usr/local/bin"})
		},
		"the checkout's keys for the command": func(_ *batchv1.Job, s *corev1.PodSpec) {
			s.Containers[1].VolumeMounts = append(s.Containers[1].VolumeMounts, corev1.VolumeMount{Name: kjob.KeysVolume, MountPath: "/mnt/keys"})
		},
		"the token for the command": func(_ *batchv1.Job, s *corev1.PodSpec) {
			s.Containers[1].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "onejob-agent-token"}}}}
		},
		"the token as a volume": func(_ *batchv1.Job, s *corev1.PodSpec) {
			s.Volumes = append(s.Volumes, corev1.Volume{Name: "x", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "onejob-agent-token"}}})
		},
		"the queue's keys": func(_ *batchv1.Job, s *corev1.PodSpec) {
			s.Containers[1].VolumeMounts = append(s.Containers[1].VolumeMounts, corev1.VolumeMount{Name: "ssh", MountPath: "/x"})
		},
		"another volume of a name": func(_ *batchv1.Job, s *corev1.PodSpec) {
			s.Volumes[slices.IndexFunc(s.Volumes, func(v corev1.Volume) bool { return v.Name == "host" })].HostPath.Path = "/"
		},
		"another helper of a name": func(_ *batchv1.Job, s *corev1.PodSpec) {
			s.InitContainers[slices.IndexFunc(s.InitContainers, func(c corev1.Container) bool { return c.Name == "proxy" })].Image = "evil"
		},
		"another command":         func(_ *batchv1.Job, s *corev1.PodSpec) { s.Containers[1].Command = []string{"sh"} },
		"another account":         func(_ *batchv1.Job, s *corev1.PodSpec) { s.ServiceAccountName = "admin" },
		"an account's token":      func(_ *batchv1.Job, s *corev1.PodSpec) { s.AutomountServiceAccountToken = nil },
		"no queue, and its token": func(k *batchv1.Job, _ *corev1.PodSpec) { others(k) },
		"another queue's name":    func(k *batchv1.Job, _ *corev1.PodSpec) { k.Labels[contract.LabelQueue] = "plain" },
		"no placeholder":          func(k *batchv1.Job, _ *corev1.PodSpec) { k.Name = kjob.PlaceholderPrefix + "pods-1" },
		"more processes":          func(_ *batchv1.Job, s *corev1.PodSpec) { yes := true; s.ShareProcessNamespace = &yes },
	} {
		k := l.made(of["pods"], whole)
		change(k, &k.Spec.Template.Spec)
		outsiders[name] = k
	}
	return made, outsiders
}

// random: of 1,000 plugins made at random, what onejob makes of them the API server takes,
// and the queue's policy there does, too.
func (l *lab) random(q ruled) {
	l.Helper()
	counts, began := map[string]int{}, time.Now()
	for seed := range uint64(1000) {
		doc, err := json.Marshal(plugins.Random(seed))
		l.must(err)
		k, err := kjob.New(stacks.Job{ID: contract.SampleJobID}, 1, q.Template, map[string]string{steps.EnvCommand: "make", steps.EnvPlugins: `[{"kubernetes":` + string(doc) + `}]`})
		if err != nil {
			counts["refused"]++
			continue
		}
		counts["made"]++
		if err := l.ask(k); err != nil {
			l.Errorf("seed %d: onejob makes of %s what the API server refuses: %v", seed, doc, err)
		}
	}
	l.Log(counts, time.Since(began))
	if counts["made"] < 50 {
		l.Errorf("only %d were made: the plugins are too much alike", counts["made"])
	}
}
