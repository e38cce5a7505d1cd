package launcher

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRefusal(t *testing.T) {
	const full = "github.com/buildkite-plugins/kubernetes-buildkite-plugin"
	for _, tt := range []struct {
		name, image, plugins, pod string
		says                      []string
	}{
		{name: "nothing"},
		{name: "nothing of a pod that honours an image", pod: "node:22"},
		{name: "an image", image: "node:22", says: []string{`image "node:22"`, "Take image: out", "a queue whose template names that image"}},
		{name: "an image that the pod isn't", image: "node:22", pod: "node:20", says: []string{`image "node:22"`}},
		{name: "the pod's image", image: "node:22", pod: "node:22"},
		{name: "a long image", image: strings.Repeat("é", 300), says: []string{"é…"}},
		{name: "other plugins", plugins: `["docker#v1",{"github.com/acme/kubernetes-buildkite-plugin#v1":{"podSpec":{}}},{"./kubernetes":null}]`},
		{name: "the plugin", plugins: `[{"docker":null},{"` + full + `":{"podSpec":{},"checkout":{"skip":true}}}]`, says: []string{"kubernetes plugin (checkout, podSpec),", "Take the plugin out"}},
		{name: "the plugin with a version", plugins: `[{"` + full + `#v1.2.3":null}]`, says: []string{"kubernetes plugin, and"}},
		{name: "the plugin by its short name", plugins: `["kubernetes"]`, says: []string{"kubernetes plugin, and"}},
		{name: "the short name with a version", plugins: `[{"kubernetes#v1":{"gitEnvFrom":[]}}]`, says: []string{"kubernetes plugin (gitEnvFrom)"}},
		{name: "its organization's name", plugins: `[{"buildkite-plugins/kubernetes":{}}]`, says: []string{"kubernetes plugin, and"}},
		{name: "its URL", plugins: `[{"https://` + full + `.git#main":{}}]`, says: []string{"kubernetes plugin, and"}},
		{name: "many settings", plugins: `[{"kubernetes":{"` + strings.Repeat("x", 300) + `":1}}]`, says: []string{"x…"}},
		{name: "both", image: "node:22", plugins: `["kubernetes"]`, says: []string{`image "node:22"`, "kubernetes plugin, and"}},
		{name: "no JSON", plugins: `kubernetes`},
		{name: "no list", plugins: `{"kubernetes":{}}`},
		{name: "strange entries", plugins: `[1,null,[]]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := refusal(map[string]string{"BUILDKITE_IMAGE": tt.image, "BUILDKITE_PLUGINS": tt.plugins}, tt.pod, false)
			if (got == "") != (tt.says == nil) {
				t.Errorf("got %q, want words: %v", got, tt.says != nil)
			}
			rest := got
			for _, want := range tt.says {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Errorf("%q doesn't say %q", got, want)
				}
				rest = after
			}
			// A line on the job's page has 256, and begins with the attempt.
			if n := utf8.RuneCountInString(got); n > 220 && tt.name != "both" {
				t.Errorf("%q has %d characters, want 220 at the most", got, n)
			}
		})
	}
}

// In a pod that the plugin described, it is no reason to refuse; another image is.
func TestNoRefusalOfWhatThePodIs(t *testing.T) {
	env := map[string]string{"BUILDKITE_IMAGE": "node:22", "BUILDKITE_PLUGINS": `["kubernetes"]`}
	if got := refusal(env, "node:22", true); got != "" {
		t.Errorf("got %q", got)
	}
	if got := refusal(env, "node:20", true); !strings.Contains(got, `image "node:22"`) || strings.Contains(got, "plugin") {
		t.Errorf("got %q", got)
	}
}
