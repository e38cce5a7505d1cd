package plugin

import (
	"testing"
)

// The plugin that described the pod isn't for the bootstrap, which would clone it.
func TestWithout(t *testing.T) {
	for _, tt := range []struct{ name, plugins, want string }{
		{"none", "", ""},
		{"others", `["docker#v1",{"github.com/acme/kubernetes-buildkite-plugin":{"a":1}}]`, `["docker#v1",{"github.com/acme/kubernetes-buildkite-plugin":{"a":1}}]`},
		{"alone", `[{"` + source + `":{"podSpec":{}}}]`, ""},
		{"with a version, among others", `["docker#v1",{"` + source + `#v1":{"podSpec":{}}},{"cache#v2":{"b":[1]}}]`, `["docker#v1",{"cache#v2":{"b":[1]}}]`},
		{"by name", `["kubernetes"]`, ""},
		{"no list", `{"kubernetes":{}}`, `{"kubernetes":{}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Without(tt.plugins); got != tt.want {
				t.Errorf("got %q, want %s", got, tt.want)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	for _, tt := range []struct {
		plugins string
		want    []string
	}{
		{`["docker",{"kubernetes":{"a":1}}]`, []string{`{"a":1}`}},
		{`["kubernetes", {"kubernetes":null}, {"ssh://` + source + `.git#v1":{}}]`, []string{"null", "null", "{}"}},
		{`[{"cache":{}}, 1, null]`, nil},
		{`{`, nil},
	} {
		got := Settings(tt.plugins)
		if len(got) != len(tt.want) {
			t.Fatalf("%s: got %s", tt.plugins, got)
		}
		for i, want := range tt.want {
			if string(got[i]) != want {
				t.Errorf("%s: got %s, want %s", tt.plugins, got[i], want)
			}
		}
	}
}
