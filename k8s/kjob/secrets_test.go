package kjob

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
)

// hasSecrets are what of a container is a Secret's, by variable or by volume.
func hasSecrets(pod *corev1.PodSpec, c corev1.Container) (found []string) {
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			found = append(found, e.Name)
		}
	}
	for _, m := range c.VolumeMounts {
		if slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name && (v.Secret != nil || v.ConfigMap != nil) }) {
			found = append(found, m.MountPath)
		}
	}
	slices.Sort(found)
	return found
}

// A runner whose container may stay has no variable and no volume of a Secret's: another
// container writes them into files, which no command's container has.
func TestSecretsOfAContainerThatStays(t *testing.T) {
	const plugin = `
podSpec: {containers: [{image: node, command: [make]}]}
gitEnvFrom: [{secretRef: {name: git}}]
checkout: {gitCredentialsSecret: {secretName: git-x}}
`
	for hold, want := range map[string][2][]string{
		"0s": {{"/buildkite/checkout-env/0", "/buildkite/git-credentials", contract.EnvToken}, nil},
		"1h": {nil, {"/run/onejob-secrets-from/onejob-checkout-env-0", "/run/onejob-secrets-from/onejob-git-credentials", contract.EnvToken}},
	} {
		k, err := ofPluginStep(t, "", "hold: "+hold+"\n  policy: {secrets: [git, git-*]}", "", plugin)
		if err != nil {
			t.Fatal(err)
		}
		pod := &k.Spec.Template.Spec
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			var expected []string
			switch c.Name {
			case contract.AgentContainer:
				expected = want[0]
			case contract.SecretsInit:
				expected = want[1]
			}
			if got := hasSecrets(pod, c); !slices.Equal(got, expected) {
				t.Errorf("hold %s: container %s has %q, want %q", hold, c.Name, got, expected)
			}
			mounts := slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == contract.SecretsInit })
			if may := c.Name == contract.AgentContainer || c.Name == contract.SecretsInit; mounts != (may && hold != "0s") {
				t.Errorf("hold %s: container %s mounts the runner's files: %v", hold, c.Name, mounts)
			}
		}
		if hold == "0s" {
			continue
		}
		if first := pod.InitContainers[0]; first.Name != contract.SecretsInit || first.Image != FindAgent(pod).Image || first.SecurityContext == nil {
			t.Errorf("the first container is %+v", first)
		}
		agent, err := yaml.Marshal(FindAgent(pod))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{contract.SecretsToken, "=/run/onejob-secrets/onejob-checkout-env-0", "store --file /run/onejob-secrets/onejob-git-credentials/.git-credentials"} {
			if !strings.Contains(string(agent), want) {
				t.Errorf("the runner isn't told %s", want)
			}
		}
		volume := pod.Volumes[slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == contract.SecretsInit })]
		if volume.EmptyDir == nil || volume.EmptyDir.Medium != corev1.StorageMediumMemory {
			t.Errorf("the files are in %+v, want memory", volume)
		}
	}
}

// So are the Secrets that the queue's step-defaults give a checkout, and a step's
// .git-credentials take their place.
func TestQueuesSecretsOfAContainerThatStays(t *testing.T) {
	const setting = "hold: 1h\n  policy: {secrets: [git-*]}\n  step-defaults: {checkout: {envFrom: [{secretRef: {name: git}}], gitCredentialsSecret: {secretName: git-queue}}}"
	for plugin, want := range map[string]string{
		"podSpec: {containers: [{image: node, command: [make]}]}":                                                           "git-queue",
		"podSpec: {containers: [{image: node, command: [make]}]}\ncheckout: {gitCredentialsSecret: {secretName: git-step}}": "git-step",
	} {
		k, err := ofPluginStep(t, "", setting, "", plugin)
		if err != nil {
			t.Fatal(err)
		}
		pod := &k.Spec.Template.Spec
		if got := hasSecrets(pod, *FindAgent(pod)); len(got) != 0 {
			t.Errorf("the runner has %q", got)
		}
		init := pod.InitContainers[0]
		i := slices.IndexFunc(init.VolumeMounts, func(m corev1.VolumeMount) bool {
			return m.MountPath == "/run/onejob-secrets-from/onejob-git-credentials"
		})
		if got := hasSecrets(pod, init); len(got) != 3 || i < 0 {
			t.Fatalf("%s has %q", init.Name, got)
		}
		volume := pod.Volumes[slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == init.VolumeMounts[i].Name })]
		if volume.Secret == nil || volume.Secret.SecretName != want {
			t.Errorf("the credentials are of %+v, want %s", volume.Secret, want)
		}
		for _, e := range FindAgent(pod).Env {
			if strings.HasPrefix(e.Name, "GIT_CONFIG_VALUE_") && !strings.Contains(e.Value, " /run/onejob-secrets/onejob-git-credentials/.git-credentials ") {
				t.Errorf("git is told %s", e.Value)
			}
		}
	}
}
