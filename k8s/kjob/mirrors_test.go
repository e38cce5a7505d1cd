package kjob

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestMirrorMode: a checkout whose command's container has no mirrors needs none.
func TestMirrorMode(t *testing.T) {
	const (
		inTemplate = "spec: {containers: [{name: agent, env: [{name: BUILDKITE_GIT_MIRRORS_PATH, value: /mirrors}], volumeMounts: [{name: m, mountPath: /mirrors}]}], volumes: [{name: m, persistentVolumeClaim: {claimName: m}}]}"
		own        = "spec: {containers: [{name: agent, env: [{name: BUILDKITE_GIT_MIRRORS_PATH, value: /mirrors}, {name: BUILDKITE_GIT_MIRROR_CHECKOUT_MODE, value: reference}]}]}"
		claim      = "{name: m, persistentVolumeClaim: {claimName: m}}"
	)
	for _, tt := range []struct{ name, template, image, plugin, want string }{
		{"no mirrors", "", "node", "", ""},
		{"the agent's own container", inTemplate, "", "", ""},
		{"an image", inTemplate, "node", "", "dissociate"},
		{"the queue's own mode", own, "node", "", "reference"},
		{"a plugin", "", "", "{checkout: {gitMirrors: {volume: " + claim + "}}}", "dissociate"},
		{"a plugin with the mirrors in its command's container", "", "", "{checkout: {gitMirrors: {volume: " + claim + "}}, extraVolumeMounts: [{name: m, mountPath: /buildkite/git-mirrors, readOnly: true}]}", ""},
		{"with the mirrors in the commands alone", "", "", "{checkout: {gitMirrors: {volume: " + claim + "}}, commandParams: {extraVolumeMounts: [{name: m, mountPath: /buildkite/git-mirrors, readOnly: true}]}}", ""},
		{"in one of two", "", "", "{checkout: {gitMirrors: {volume: " + claim + "}}, podSpec: {containers: [{image: a, volumeMounts: [{name: m, mountPath: /buildkite}]}, {image: b}]}}", "dissociate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tpl, err := Parse([]byte(tt.template), aQueue(t, "  steps: pod\n  policy: {claims: [m]}"))
			if err != nil {
				t.Fatal(err)
			}
			env := map[string]string{"BUILDKITE_IMAGE": tt.image}
			if tt.plugin != "" {
				js, err := yaml.YAMLToJSON([]byte(tt.plugin))
				if err != nil {
					t.Fatal(err)
				}
				env["BUILDKITE_PLUGINS"] = fmt.Sprintf(`[{"kubernetes":%s}]`, js)
			}
			k, err := New(aJob(), 1, tpl, env)
			if err != nil {
				t.Fatal(err)
			}
			mode(t, &k.Spec.Template.Spec, tt.want)
			for _, m := range FindAgent(&k.Spec.Template.Spec).VolumeMounts {
				if m.Name == "m" && m.ReadOnly {
					t.Errorf("the checkout can't update the mirrors: %+v", m)
				}
			}
		})
	}
}

func mode(t *testing.T, pod *corev1.PodSpec, want string) {
	t.Helper()
	if got := env(FindAgent(pod), "BUILDKITE_GIT_MIRROR_CHECKOUT_MODE"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

const ofSnapshot = "  git-mirrors: {snapshot: {labels: {app: mirrors}, storage-class: fast, size: 20Gi}}\n"

// Each kind of pod has a volume of its own, made of the snapshot, for the runner alone;
// without a snapshot nothing of it is left.
func TestMirrorsOfSnapshot(t *testing.T) {
	for _, tt := range []struct {
		name, queue, template, image, plugin, mode string
		rules                                      []string
	}{
		{name: "the agent's own container"},
		{name: "an image", image: "node", mode: "dissociate"},
		{name: "the queue's own mode", template: "spec: {containers: [{name: agent, env: [{name: BUILDKITE_GIT_MIRROR_CHECKOUT_MODE, value: reference}]}]}", image: "node", mode: "reference"},
		{name: "a plugin", queue: "  steps: pod\n", plugin: "{podSpec: {containers: [{image: a}, {image: b}]}, checkout: {gitMirrors: {lockTimeout: 5}}}", mode: "dissociate"},
		{name: "a class", queue: "  resource-classes: {large: {image: tools}}\n", rules: []string{"resource_class=large"}, mode: "dissociate"},
		{name: "a template with variables", template: "spec: {nodeSelector: {pool: '{{env.BUILDKITE_IMAGE}}'}}", image: "node", mode: "dissociate"},
		{name: "users of its own", queue: "  user-namespace: true\n"},
		{name: "a hold", queue: "  hold: 5m\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tpl, err := Parse([]byte(tt.template), aQueue(t, ofSnapshot+tt.queue))
			if err != nil {
				t.Fatal(err)
			}
			job, own := aJob(), map[string]string{"BUILDKITE_IMAGE": tt.image}
			if job.Rules = tt.rules; tt.plugin != "" {
				js, err := yaml.YAMLToJSON([]byte(tt.plugin))
				if err != nil {
					t.Fatal(err)
				}
				own["BUILDKITE_PLUGINS"] = fmt.Sprintf(`[{"kubernetes":%s}]`, js)
			}
			for _, snapshot := range []string{"mirrors-7", "", "mirrors-8"} {
				k, err := New(job, 1, tpl.WithSnapshot(snapshot), own)
				if err != nil {
					t.Fatal(err)
				}
				pod, want := &k.Spec.Template.Spec, []string(nil)
				if snapshot != "" {
					want = []string{"agent:/buildkite/git-mirrors", "of " + snapshot}
					mode(t, pod, tt.mode)
				}
				var got []string
				for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
					for _, m := range c.VolumeMounts {
						if m.Name == MirrorsVolume && !m.ReadOnly {
							got = append(got, c.Name+":"+m.MountPath)
						}
					}
				}
				for _, v := range pod.Volumes {
					if v.Name == MirrorsVolume {
						claim := v.Ephemeral.VolumeClaimTemplate.Spec
						got = append(got, "of "+claim.DataSource.Name)
						if size := claim.Resources.Requests.Storage().String(); *claim.StorageClassName != "fast" || size != "20Gi" || claim.DataSource.Kind != "VolumeSnapshot" || *claim.DataSource.APIGroup != "snapshot.storage.k8s.io" {
							t.Errorf("the claim is %+v", claim)
						}
					}
				}
				if has := env(FindAgent(pod), "BUILDKITE_GIT_MIRRORS_PATH"); !slices.Equal(got, want) || (has == "/buildkite/git-mirrors") != (snapshot != "") {
					t.Errorf("with the snapshot %q: got %q and the path %q", snapshot, got, has)
				}
			}
			if err := tpl.PodSecurity("restricted"); err != nil {
				t.Error(err)
			}
		})
	}
}

// What a queue, or a step, says of mirrors beside that is refused, with a snapshot and without.
func TestMirrorsBesideSnapshot(t *testing.T) {
	for template, want := range map[string]string{
		"spec: {containers: [{name: agent, env: [{name: BUILDKITE_GIT_MIRRORS_PATH, value: /m}]}]}":                                             "git-mirrors: the queue's template has BUILDKITE_GIT_MIRRORS_PATH, which says the same",
		"spec: {containers: [{name: agent, volumeMounts: [{name: m, mountPath: /buildkite/git-mirrors}]}], volumes: [{name: m, emptyDir: {}}]}": "two volumes are mounted there",
		"spec: {containers: [{name: agent}], volumes: [{name: onejob-git-mirrors, emptyDir: {}}]}":                                              "spec.template.spec.volumes[onejob-git-mirrors]: the name is used twice",
	} {
		if _, err := Parse([]byte(template), aQueue(t, ofSnapshot)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", template, err, want)
		}
	}
	if _, err := Parse(nil, aQueue(t, ofSnapshot+"  step-defaults: {checkout: {gitMirrors: {volume: {name: m, emptyDir: {}}}}}\n")); err == nil || !strings.Contains(err.Error(), "step-defaults.checkout: the queue's template has BUILDKITE_GIT_MIRRORS_PATH") {
		t.Errorf("step-defaults with mirrors: %v", err)
	}
	for plugin, want := range map[string]string{
		"{checkout: {gitMirrors: {path: /buildkite/own}}}":                                           "kubernetes.checkout.gitMirrors.path: the queue's mirrors are in /buildkite/git-mirrors",
		"{checkout: {gitMirrors: {volume: {name: own, emptyDir: {}}}}}":                              "the runner has /buildkite/git-mirrors: mount it elsewhere",
		"{extraVolumeMounts: [{name: onejob-git-mirrors, mountPath: /mnt/m}]}":                       "the queue's own are for its runner",
		"{podSpec: {containers: [{image: a}], volumes: [{name: onejob-git-mirrors, emptyDir: {}}]}}": "names that begin with onejob- are kept",
		"{checkout: {gitMirrors: {path: /buildkite/own, volume: {name: own, emptyDir: {}}}}}":        "",
	} {
		tpl, err := Parse(nil, aQueue(t, ofSnapshot+"  steps: pod\n"))
		if err != nil {
			t.Fatal(err)
		}
		js, err := yaml.YAMLToJSON([]byte(plugin))
		if err != nil {
			t.Fatal(err)
		}
		for _, snapshot := range []string{"", "mirrors-7"} {
			_, err := New(aJob(), 1, tpl.WithSnapshot(snapshot), map[string]string{"BUILDKITE_PLUGINS": fmt.Sprintf(`[{"kubernetes":%s}]`, js)})
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s, with the snapshot %q: got %v, want %q", plugin, snapshot, err, want)
			}
		}
	}
}
