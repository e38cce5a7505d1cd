package kjob

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
)

// ofPluginStep is the kjob of a step with the plugin, in YAML.
func ofPluginStep(t *testing.T, template, queue, image, plugin string) (*batchv1.Job, error) {
	t.Helper()
	if !strings.HasPrefix(queue, "steps: ") {
		queue = "steps: pod\n  " + queue
	}
	tpl, err := Parse([]byte(template), aQueue(t, "  "+queue))
	if err != nil {
		t.Fatal(err)
	}
	js, err := yaml.YAMLToJSON([]byte(plugin))
	if err != nil {
		t.Fatal(err)
	}
	return New(aJob(), 1, tpl, map[string]string{
		"BUILDKITE_IMAGE": image, "BUILDKITE_COMMAND": "make", "BUILDKITE_PLUGINS": fmt.Sprintf(`[{"kubernetes":%s}]`, js),
	})
}

// A step's pod has the containers of its plugin, and a runner that the plugin can't change.
func TestPluginPod(t *testing.T) {
	k, err := ofPluginStep(t, `
spec:
  nodeSelector: {pool: ci, disk: ssd}
  containers:
  - {name: agent, env: [{name: KEY, valueFrom: {secretKeyRef: {name: git, key: key}}}]}
`, "policy: {secrets: [db, git-*], limits: {container: {cpu: '8'}}, tolerations: [big], metadata: [team]}", "", `
podSpec:
  nodeSelector: {pool: ci, arch: arm}
  securityContext: {fsGroup: 5, runAsUser: 2000}
  tolerations: [{key: big, operator: Exists}]
  initContainers: [{name: setup, image: "setup:1", command: [a]}]
  containers:
  - name: test
    image: node:22
    command: [npm ci, 'echo $(date)']
    env: [{name: PORT, value: "80"}, {name: PASSWORD, valueFrom: {secretKeyRef: {name: db, key: p}}}]
    resources: {requests: {cpu: "4"}, limits: {memory: 1Gi}}
    volumeMounts: [{name: cache, mountPath: /cache}]
    securityContext: {runAsUser: 3000}
  volumes: [{name: cache, emptyDir: {}}]
sidecars: [{name: db, image: "postgres:17"}]
metadata: {labels: {team: a}, annotations: {note: b}}
checkout: {cloneFlags: --depth=1, gitCredentialsSecret: {secretName: git-x}}
podSpecPatch: {containers: [{name: agent, resources: {requests: {memory: 128Mi}}}]}
jobActiveDeadlineSeconds: 60
`)
	if err != nil {
		t.Fatal(err)
	}
	pod := k.Spec.Template.Spec
	if len(pod.Containers) != 2 {
		t.Fatalf("%d containers", len(pod.Containers))
	}
	agent, c := FindAgent(&pod), pod.Containers[1]
	var inits []string
	for _, i := range pod.InitContainers {
		inits = append(inits, i.Name)
		if s := i.SecurityContext; s == nil || *s.AllowPrivilegeEscalation || len(s.Capabilities.Drop) != 1 {
			t.Errorf("%s has %+v", i.Name, s)
		}
	}
	for _, tt := range []struct {
		what      string
		got, want any
	}{
		{"init containers", inits, []string{"setup", "db"}},
		{"container", c.Name + " " + c.Image + " " + strings.Join(c.Command, " "), "command node:22 /onejob/bin/onejob-step run"},
		{"line", env(&c, "BUILDKITE_COMMAND"), "npm ci\necho $$(date)"},
		{"port", env(&c, "PORT"), "80"},
		{"home", env(&c, "HOME"), "/home/onejob"},
		{"requests", c.Resources.Requests.Cpu().String() + c.Resources.Requests.Memory().String(), "4256Mi"},
		{"limits", c.Resources.Limits.Memory().String() + c.Resources.Limits.Cpu().String(), "1Gi8"},
		{"user", *c.SecurityContext.RunAsUser, 3000},
		{"user of the init container", *pod.InitContainers[1].SecurityContext.RunAsUser, 2000},
		{"user of the pod, who is the runner's", *pod.SecurityContext.RunAsUser, 1000},
		{"group", *pod.SecurityContext.FSGroup, 5},
		{"node selector", pod.NodeSelector, map[string]string{"pool": "ci", "arch": "arm", "disk": "ssd"}},
		{"tolerations", len(pod.Tolerations), 1},
		{"deadline", *k.Spec.ActiveDeadlineSeconds, 60},
		{"label", k.Labels["team"] + k.Spec.Template.Labels["team"], "aa"},
		{"annotation", k.Spec.Template.Annotations["note"], "b"},
		{"clone flags", env(agent, "BUILDKITE_GIT_CLONE_FLAGS"), "--depth=1"},
		{"credentials", env(agent, "GIT_CONFIG_VALUE_0"), `!f() { test "$$1" != get || git credential-store --file /buildkite/git-credentials/.git-credentials get; }; f`},
		{"the runner's memory", agent.Resources.Requests.Memory().String(), "128Mi"},
		{"what the runner is told", env(agent, contract.EnvPlugin) + env(agent, contract.EnvImage), "kubernetesnode:22"},
	} {
		if fmt.Sprint(tt.got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: got %v, want %v", tt.what, tt.got, tt.want)
		}
	}
	for _, of := range slices.Concat(pod.InitContainers, pod.Containers[1:]) {
		for _, e := range of.Env {
			if e.Name == contract.EnvToken || e.Name == "KEY" {
				t.Errorf("%s has %s", of.Name, e.Name)
			}
		}
	}
	if EnvOf(k) != nil {
		t.Error("a new attempt without its environment would have another pod")
	}
}

// TestPluginImages: image: with a plugin, and a container that names none.
func TestPluginImages(t *testing.T) {
	for _, tt := range []struct{ image, plugin, want string }{
		{"go:1", "{podSpec: {containers: [{image: node}]}}", "go:1 go:1"},
		{"go:1", "{podSpec: {containers: [{image: node}]}, podSpecPatch: {containers: [{name: container-0, image: rust}]}}", "rust go:1"},
		{"", "{checkout: {skip: true}}", "agent:1 agent:1"},
	} {
		k, err := ofPluginStep(t, "spec: {containers: [{name: agent, image: 'agent:1'}]}", "", tt.image, tt.plugin)
		if err != nil {
			t.Fatal(err)
		}
		pod := &k.Spec.Template.Spec
		if got := pod.Containers[1].Image + " " + env(FindAgent(pod), contract.EnvImage); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.plugin, got, tt.want)
		}
		if got := env(&pod.Containers[1], "BUILDKITE_COMMAND"); got != "" {
			t.Errorf("the job's own command is there twice: %s", got)
		}
	}
}

// New refuses what a step may not have, what isn't supported, and names that the queue uses.
func TestPluginRefused(t *testing.T) {
	const template = `
spec:
  initContainers: [{name: proxy, image: "proxy:1", restartPolicy: Always}]
  containers: [{name: agent, volumeMounts: [{name: keys, mountPath: /keys}]}]
  volumes: [{name: keys, secret: {secretName: git-key}}]`
	for _, tt := range []struct{ name, queue, plugin, want string }{
		{"a field", "", "{podspec: {}}", "the step's pod can't be read:\nkubernetes.podspec: there is no such field"},
		{"the policy", "", "{podSpec: {hostNetwork: true, containers: [{image: x}]}}", "the queue's policy refuses the step's pod:\nhostNetwork: it is the node's network"},
		{"the token", "policy: {level: privileged, secrets: ['**']}", "{podSpec: {containers: [{image: x, envFrom: [{secretRef: {name: onejob-agent-token}}]}]}}", "the Secret onejob-agent-token has the agent token in it"},
		{"the queue's Secret by its volume", "", "{podSpec: {containers: [{image: x, volumeMounts: [{name: keys, mountPath: /k}]}]}}", "containers[container-0].volumeMounts[/k]: the step has no volume keys, and the queue's own are for its runner"},
		{"the same in a sidecar", "", "{sidecars: [{image: x, volumeMounts: [{name: keys, mountPath: /k}]}]}", "sidecars[sidecar-0].volumeMounts[/k]: the step has no volume keys"},
		{"the same in the checkout", "", "{checkout: {extraVolumeMounts: [{name: keys, mountPath: /mnt/k}]}}", "kubernetes.checkout.volumeMounts[/mnt/k]: the step has no volume keys"},
		{"a volume in the place of the queue's", "", "{podSpec: {containers: [{image: x}], volumes: [{name: keys, emptyDir: {}}]}}", "volumes[keys]: the queue's pods have a volume of that name"},
		{"the folder of builds", "", "{podSpec: {containers: [{image: x}], volumes: [{name: builds, emptyDir: {}}]}}", "volumes[builds]: the queue's pods have a volume of that name"},
		{"a container by the queue's name", "", "{sidecars: [{name: proxy, image: x}]}", "initContainers[proxy]: the queue's pods have a container of that name"},
		{"a container by ours", "", "{sidecars: [{name: command, image: x}]}", "initContainers[command]: the queue's pods have a container of that name"},
		{"a command container with a name that is no container's", "", "{podSpec: {containers: [{name: Unit_Test, image: x}, {image: y1}]}}", "containers[Unit_Test].name: the container is called command-Unit_Test in the pod, and Kubernetes takes no such name"},
		{"another container by the name of ours", "", "{podSpecPatch: {containers: [{name: command, image: x}]}}", "containers[command]: the queue's pods have a container of that name"},
		{"another container by the name of a command's", "", "{podSpecPatch: {containers: [{name: command-x, image: x}]}}", "containers[command-x]: the queue's pods have a container of that name"},
		{"another container with the queue's Secret", "", "{podSpecPatch: {containers: [{name: more, image: x, volumeMounts: [{name: keys, mountPath: /k}]}]}}", "containers[more].volumeMounts[/k]: the step has no volume keys"},
		{"another container that is privileged", "", "{podSpecPatch: {containers: [{name: more, image: x, securityContext: {privileged: true}}]}}", "containers[more].securityContext.privileged: "},
		{"another container with more than the queue's limit", "", "{podSpecPatch: {containers: [{name: more, image: x, resources: {limits: {memory: 1Ti}}}]}}", "containers[more].resources.limits.memory: 1Ti is more"},
		{"an init container by patch with more", "", "{podSpecPatch: {initContainers: [{name: more, image: x, resources: {limits: {memory: 1Ti}}}]}}", "initContainers[more].resources.limits.memory: 1Ti is more"},
		{"a second command container with more", "", "{podSpec: {containers: [{image: x}, {image: x, resources: {requests: {memory: 1Ti}}}]}}", "containers[container-1].resources.requests.memory: 1Ti is more"},
		{"a patch over a command container", "", "{podSpec: {containers: [{image: x}, {image: x}]}, podSpecPatch: {containers: [{name: container-1, securityContext: {privileged: true}}]}}", "containers[container-1].securityContext.privileged: "},
		{"a Secret for the checkout", "", "{gitEnvFrom: [{secretRef: {name: s}}]}", `checkout.envFrom[0].secretRef.name: the Secret "s" is not one that this queue's steps may use`},
		{"the token for the checkout", "policy: {secrets: ['**']}", "{checkout: {envFrom: [{secretRef: {name: onejob-agent-token}}]}}", "the Secret onejob-agent-token has the agent token in it"},
		{"a setting of the agent by a prefix", "policy: {secrets: ['**']}", "{checkout: {envFrom: [{prefix: BUILDKITE_AGENT_, secretRef: {name: s}}]}}", `the prefix "BUILDKITE_AGENT_" would make settings of the agent`},
		{"a prefix that is none", "policy: {secrets: ['**']}", "{checkout: {envFrom: [{prefix: 'A B=/x ', secretRef: {name: s}}]}}", "begins no variable's name"},
		{"variables of nothing", "", "{checkout: {envFrom: [{prefix: A}]}}", "an entry has either a secretRef or a configMapRef"},
		{"a volume over the checkout's variables", "policy: {secrets: ['**']}", "{checkout: {envFrom: [{secretRef: {name: s}}], extraVolumeMounts: [{name: v, mountPath: /buildkite/checkout-env/0}]}, podSpec: {containers: [{image: x}], volumes: [{name: v, emptyDir: {}}]}}", "kubernetes.checkout.volumeMounts[/buildkite/checkout-env/0]: the runner has /buildkite/checkout-env"},
		{"a PodTemplate", "", "{podTemplate: x}", `kubernetes.podTemplate: the PodTemplate "x" is not one that this queue's steps may use: take it out, or have it added to pod-templates in the queue's policy`},
		{"a grace", "", "{podSpec: {terminationGracePeriodSeconds: 5, containers: [{image: x}]}}", "kubernetes.podSpec.terminationGracePeriodSeconds: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := ofPluginStep(t, template, tt.queue, "", tt.plugin)
			if k != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	for _, steps := range []string{"image", "plain"} {
		k, err := ofPluginStep(t, "", "steps: "+steps, "", "{podspec: {}}")
		if err != nil || len(k.Spec.Template.Spec.Containers) != 1 || env(FindAgent(&k.Spec.Template.Spec), contract.EnvPlugin) != "" {
			t.Errorf("steps: %s: %v", steps, err)
		}
	}
}

// A request of the queue's is never above a step's own limit.
func TestOverlayResources(t *testing.T) {
	var to, from corev1.ResourceRequirements
	for doc, r := range map[string]*corev1.ResourceRequirements{"{requests: {cpu: '2', memory: 1Gi}, limits: {memory: 4Gi}}": &to, "{requests: {cpu: '8', memory: 8Gi}, limits: {cpu: '9'}}": &from} {
		if err := yaml.Unmarshal([]byte(doc), r); err != nil {
			t.Fatal(err)
		}
	}
	overlayResources(&to, from)
	if got := fmt.Sprint(to.Requests.Cpu(), to.Limits.Cpu(), to.Requests.Memory(), to.Limits.Memory()); got != "8 9 8Gi 8Gi" {
		t.Errorf("got %s", got)
	}
	to.Limits = nil
	overlayResources(&to, corev1.ResourceRequirements{Limits: corev1.ResourceList{"memory": *from.Requests.Memory()}})
	if got := fmt.Sprint(to.Requests.Memory(), to.Limits.Memory()); got != "8Gi 8Gi" {
		t.Errorf("got %s", got)
	}
}
