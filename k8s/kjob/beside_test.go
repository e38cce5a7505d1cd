package kjob

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// besideTemplate sets many fields of its pods, so that they conflict with a step's.
const besideTemplate = `
spec:
  activeDeadlineSeconds: 600
  nodeSelector: {pool: ci}
  preemptionPolicy: Never
  affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}
  containers:
  - name: agent
    resources: {limits: {cpu: '2', memory: 4Gi, ephemeral-storage: 8Gi}}
    env:
    - {name: BUILDKITE_AGENT_VERIFICATION_JWKS_FILE, value: /buildkite/verification-jwks/keys.json}
    - {name: BUILDKITE_ADDITIONAL_HOOKS_PATHS, value: "/opt/a,/data/hooks"}
    - {name: SERVICE, value: "https://srv"}
    volumeMounts: [{name: verify, mountPath: /buildkite/verification-jwks}]
  volumes: [{name: verify, secret: {secretName: s}}]`

func TestBesideTheTemplate(t *testing.T) {
	mount := func(at string) string {
		return "{podSpec: {containers: [{image: x}], volumes: [{name: v, emptyDir: {}}]}, checkout: {extraVolumeMounts: [{name: v, mountPath: " + at + "}]}}"
	}
	pod := func(fields string) string { return "{podSpec: {containers: [{image: x}], " + fields + "}}" }
	ctr := func(fields string) string {
		return "{podSpec: {containers: [{image: x, " + fields + "}], volumes: [{name: v, emptyDir: {}}]}}"
	}
	for _, tt := range []struct{ name, policy, plugin, want string }{
		{"on a mount of the runner's", "", mount("/buildkite/verification-jwks"), "kubernetes.checkout.volumeMounts[/buildkite/verification-jwks]: the runner has /buildkite/verification-jwks"},
		{"in it", "", mount("/buildkite/verification-jwks/keys.json"), "kubernetes.checkout.volumeMounts[/buildkite/verification-jwks/keys.json]: the runner has"},
		{"over it", "", mount("/buildkite"), "kubernetes.checkout.volumeMounts[/buildkite]: the runner has"},
		{"over hooks of its image", "", mount("/data"), "kubernetes.checkout.volumeMounts[/data]: the runner has /data/hooks"},
		{"beside all of them", "", mount("/buildkite/verification-jwks2"), ""},
		{"what is no path", "", mount("/srv"), ""},
		{"where its credentials are", "secrets: [g]", "{podSpec: {containers: [{image: x}], volumes: [{name: v, emptyDir: {}}]}, checkout: {gitCredentialsSecret: {secretName: g}, extraVolumeMounts: [{name: v, mountPath: /buildkite/git-credentials}]}}", "kubernetes.checkout.volumeMounts[/buildkite/git-credentials]: the runner has"},
		{"mirrors there", "", "{podSpec: {containers: [{image: x}]}, checkout: {gitMirrors: {path: /buildkite/verification-jwks, volume: {name: v, emptyDir: {}}}}}", "kubernetes.checkout.volumeMounts[/buildkite/verification-jwks]: the runner has"},

		{"another node", "", pod("nodeSelector: {pool: prod}"), `nodeSelector.pool: the queue's pods have "ci" there`},
		{"the same node", "", pod("nodeSelector: {pool: ci, disk: ssd}"), ""},
		{"another affinity", "", pod("affinity: {}"), "affinity: the queue's pods have one"},
		{"another preemption", "", pod("preemptionPolicy: PreemptLowerPriority"), "preemptionPolicy: the queue's pods have Never there"},

		{"more than the runner has", "", ctr("resources: {limits: {memory: 5Gi}}"), "containers[container-0].resources.limits.memory: 5Gi is more than a container of this queue may have, 4Gi"},
		{"a request", "", ctr("resources: {requests: {cpu: '500'}}"), "containers[container-0].resources.requests.cpu: 500 is more"},
		{"of the disk", "", ctr("resources: {limits: {ephemeral-storage: 9Gi}}"), "containers[container-0].resources.limits.ephemeral-storage: 9Gi is more"},
		{"in a sidecar", "", "{sidecars: [{image: x, resources: {limits: {memory: 1Ti}}}]}", "sidecars[sidecar-0].resources.limits.memory: 1Ti is more"},
		{"as much as the policy has", "limits: {container: {memory: 8Gi}}", ctr("resources: {limits: {memory: 8Gi}}"), ""},
		{"more time", "", "{jobActiveDeadlineSeconds: 2147483647000}", "kubernetes.jobActiveDeadlineSeconds: 2147483647000 s is more than this queue's steps may take, 600 s"},
		{"more time for the pod", "", pod("activeDeadlineSeconds: 601"), "activeDeadlineSeconds: 601 s is more"},
		{"less", "", "{jobActiveDeadlineSeconds: 600}", ""},
		{"as the policy has", "max-deadline: 2h", "{jobActiveDeadlineSeconds: 7200}", ""},

		{"on the folder of builds", "", ctr("volumeMounts: [{name: v, mountPath: /builds/}]"), "containers[container-0].volumeMounts[/builds/]: the job's own folder is there"},
		{"on HOME", "", ctr("volumeMounts: [{name: v, mountPath: /home/onejob}]"), "containers[container-0].volumeMounts[/home/onejob]: the job's own folder is there"},
		{"in HOME", "", ctr("volumeMounts: [{name: v, mountPath: /home/onejob/.npm}]"), ""},
		{"on /var/tmp", "", ctr("volumeMounts: [{name: v, mountPath: /var/tmp}]"), "containers[container-0].volumeMounts[/var/tmp]: "},
		{"in the programs' folder", "", ctr("volumeMounts: [{name: v, mountPath: /onejob/bin}]"), "containers[container-0].volumeMounts[/onejob/bin]: "},
		{"our variable", "", ctr("env: [{name: ONEJOB_X, value: a}]"), "containers[container-0].env[ONEJOB_X]: "},
		{"Kubernetes' variable", "", ctr("env: [{name: KUBERNETES_X, value: a}]"), "containers[container-0].env[KUBERNETES_X]: "},
		{"a container without a name", "", pod("initContainers: [{image: x}]"), "initContainers[0]: it has no name: give it one"},
		{"a mount of no name", "", ctr("volumeMounts: [{mountPath: /k}]"), "containers[container-0].volumeMounts[/k]: it names no volume: give it the name of one in volumes"},
		{"a volume without a name", "", pod("volumes: [{emptyDir: {}}]"), "volumes[0]: it has no name: give it one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ofPluginStep(t, besideTemplate, "steps: pod\n  policy: {"+tt.policy+"}", "", tt.plugin)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestTheImageAlone: the policy applies to a step's image:, with the plugin or without.
func TestTheImageAlone(t *testing.T) {
	for _, steps := range []string{"image", "pod"} {
		for policy, want := range map[string]string{
			"images: ['ghcr.io/acme/**']": `image: the image "docker.io/library/node:22" is not one that this queue's steps may use, which are ghcr.io/acme/**: take it out`,
			"registries: [ghcr.io]":       `image: the registry "docker.io"`,
			"digests: true":               "image: this queue runs images by digest only",
			"registries: [docker.io]":     "",
		} {
			_, err := ofImage(t, "", "  steps: "+steps+"\n  policy: {"+policy+"}", "node:22")
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", policy, err, want)
			}
		}
		if _, err := ofImage(t, "spec: {containers: [{name: agent, image: 'agent:1'}]}", "  steps: "+steps+"\n  policy: {images: [a]}", "agent:1"); err != nil {
			t.Errorf("the runner's own image: %v", err)
		}
	}
}

// TestSidecarsAreBounded: a container that names no limit gets the template's, but none of
// the template's devices.
func TestSidecarsAreBounded(t *testing.T) {
	k, err := ofPluginStep(t, "spec: {containers: [{name: agent, resources: {limits: {nvidia.com/gpu: '1'}, requests: {nvidia.com/gpu: '1'}}}]}", "steps: pod", "", "{sidecars: [{image: x}], podSpec: {containers: [{image: x}], initContainers: [{name: i, image: x}]}}")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range k.Spec.Template.Spec.InitContainers[1:] {
		if got := fmt.Sprint(len(c.Resources.Limits), c.Resources.Limits.Memory(), c.Resources.Requests.Memory()); got != "1 2Gi 0" {
			t.Errorf("%s: got %s", c.Name, got)
		}
	}
}

// TestSecured: the template's security context applies to a step's container, where the step
// doesn't set a field itself.
func TestSecured(t *testing.T) {
	const template = "spec: {containers: [{name: agent, securityContext: {seLinuxOptions: {level: 's0:c1,c2'}, appArmorProfile: {type: Localhost, localhostProfile: ci}}}]}"
	for policy, want := range map[string]string{
		"":                  "[ALL] s0:c1,c2 ci <nil> false",
		"level: restricted": "[ALL] s0:c1,c2 ci true false",
	} {
		k, err := ofPluginStep(t, template, "steps: pod\n  policy: {"+policy+"}", "", "{podSpec: {containers: [{image: a, securityContext: {capabilities: {}}}]}, sidecars: [{image: a, securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}}]}")
		if err != nil {
			t.Fatal(err)
		}
		pod := k.Spec.Template.Spec
		for _, c := range []corev1.Container{pod.Containers[1], pod.InitContainers[0]} {
			s := c.SecurityContext
			nonRoot := "<nil>"
			if s.RunAsNonRoot != nil {
				nonRoot = fmt.Sprint(*s.RunAsNonRoot)
			}
			if got := fmt.Sprint(s.Capabilities.Drop, " ", s.SELinuxOptions, s.AppArmorProfile); s.SELinuxOptions == nil || s.AppArmorProfile == nil {
				t.Errorf("%s: got %s", c.Name, got)
			} else if got := fmt.Sprint(s.Capabilities.Drop, s.SELinuxOptions.Level, *s.AppArmorProfile.LocalhostProfile, nonRoot, *s.AllowPrivilegeEscalation); strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
				t.Errorf("%s, %s: got %s, want %s", policy, c.Name, got, want)
			}
		}
	}
}

// TestWorkingDir: the command begins in the working directory, with any characters in its
// name.
func TestWorkingDir(t *testing.T) {
	for plugin, want := range map[string]string{
		"{podSpec: {containers: [{image: a, workingDir: /srv/app}]}}":                           "cd '/srv/app'\nmake",
		`{podSpec: {containers: [{image: a, workingDir: "/it's $(x)", command: [npm ci, b]}]}}`: `cd '/it'\''s $$(x)'` + "\nnpm ci\nb",
	} {
		k, err := ofPluginStep(t, "", "steps: pod", "", plugin)
		if err != nil {
			t.Fatal(err)
		}
		if got := env(&k.Spec.Template.Spec.Containers[1], "BUILDKITE_COMMAND"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestGitConfig: the step's credentials come after the template's settings of git.
func TestGitConfig(t *testing.T) {
	for count, want := range map[string]string{"": "1 credential.helper", "'2'": "3 url.x.insteadOf credential.helper", "two": "kubernetes.checkout.gitCredentialsSecret: "} {
		doc := map[string]any{}
		if count != "" {
			if err := yaml.Unmarshal([]byte("{spec: {containers: [{name: agent, env: [{name: GIT_CONFIG_COUNT, value: "+count+"}, {name: GIT_CONFIG_KEY_0, value: url.x.insteadOf}]}]}}"), &doc); err != nil {
				t.Fatal(err)
			}
		}
		template, err := yaml.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if count == "" {
			template = nil
		}
		k, err := ofPluginStep(t, string(template), "steps: pod\n  policy: {secrets: [g]}", "", "{checkout: {gitCredentialsSecret: {secretName: g}}}")
		if err != nil {
			if !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s: %v", count, err)
			}
			continue
		}
		agent := FindAgent(&k.Spec.Template.Spec)
		got := env(agent, "GIT_CONFIG_COUNT")
		for i := range 3 {
			if key := env(agent, fmt.Sprintf("GIT_CONFIG_KEY_%d", i)); key != "" {
				got += " " + key
			}
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", count, got, want)
		}
	}
}
