package kjob

import (
	"fmt"
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
