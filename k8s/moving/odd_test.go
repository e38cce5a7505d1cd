package moving

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// What a key has that isn't of its kind is named, and nothing of it is in the
// configuration.
func TestOddValues(t *testing.T) {
	odd := []any{"hello", 5.0, true, []any{}, []any{"a"}, []any{nil}, map[string]any{}, map[string]any{"a": "b"}, map[string]any{"name": 5.0}, []any{map[string]any{"name": 5.0, "path": []any{}, "volume": "x"}}}
	for key := range rows() {
		for _, value := range odd {
			v, err := yaml.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := yaml.Marshal(nested(t, key, string(v)))
			if err != nil {
				t.Fatal(err)
			}
			out, _, err := Import(doc)
			if err == nil && (strings.Contains(string(out), "null") || strings.Contains(string(out), "map[")) {
				t.Errorf("%s: %v became\n%s", key, value, out)
			}
		}
	}
	for doc, want := range map[string]string{
		"{workspaceVolume: x}":                                           "config.workspaceVolume",
		"{agent-config: {hooksVolume: hello}}":                           "config.agent-config.hooksVolume",
		"{agent-config: {signingJWKSVolume: {secret: {}}}}":              "config.agent-config.signingJWKSVolume",
		"{agent-config: {additional-hooks: [{path: /a, volume: x}]}}":    "config.agent-config.additional-hooks",
		"{default-checkout-params: {extraVolumeMounts: x}}":              "config.default-checkout-params.extraVolumeMounts",
		"{default-checkout-params: {gitCredentialsSecret: x}}":           "config.default-checkout-params.gitCredentialsSecret",
		"{pod-spec-patch: [a]}":                                          "config.pod-spec-patch",
		"{pod-spec-patch: {volumes: x}}":                                 "config.pod-spec-patch.volumes",
		"{pod-spec-patch: {containers: [{name: container-0, env: {}}]}}": "config.pod-spec-patch.containers[container-0].env",
		"{default-metadata: {labels: x}}":                                "config.default-metadata.labels",
		"{agent-config: {shell: {a: b}}}":                                "config.agent-config.shell",
	} {
		_, notes, err := Import([]byte("config: " + doc))
		if err != nil || len(notes) != 1 || notes[0].Key != want || !strings.Contains(notes[0].Why, "its value isn't understood") {
			t.Errorf("%s: %v, %v", doc, notes, err)
		}
	}
}

// A folder that one import has from its values isn't the next one's.
func TestImportsShareNothing(t *testing.T) {
	const volume = "signingJWKSVolume: {name: s, secret: {secretName: s}}"
	if _, _, err := Import([]byte("config: {agent-config: {signing-jwks-file: /k/s, " + volume + "}}")); err != nil {
		t.Fatal(err)
	}
	out, _, err := Import([]byte("config: {agent-config: {" + volume + "}}"))
	if err != nil || !strings.Contains(string(out), "/buildkite/signing-jwks/key") {
		t.Errorf("%v in\n%s", err, out)
	}
}

func FuzzImport(f *testing.F) {
	for _, tt := range keys {
		for _, value := range []string{tt.value, "x"} {
			doc, err := yaml.Marshal(nested(f, tt.key, value))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(doc)
		}
	}
	f.Fuzz(func(_ *testing.T, doc []byte) {
		_, _, _ = Import(doc) // it may refuse, and mustn't panic
	})
}
