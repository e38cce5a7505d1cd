package container

import "testing"

// The bootstrap doesn't get the kubernetes plugin, because it would try to clone it.
func TestWithoutPlugin(t *testing.T) {
	const full = "github.com/buildkite-plugins/kubernetes-buildkite-plugin"
	for _, tt := range []struct{ name, plugins, want string }{
		{"none", "", ""},
		{"others", `["docker#v1",{"github.com/acme/kubernetes-buildkite-plugin":{"a":1}}]`, `["docker#v1",{"github.com/acme/kubernetes-buildkite-plugin":{"a":1}}]`},
		{"alone", `[{"` + full + `":{"podSpec":{}}}]`, ""},
		{"with a version, among others", `["docker#v1",{"` + full + `#v1":{"podSpec":{}}},{"cache#v2":{"b":[1]}}]`, `["docker#v1",{"cache#v2":{"b":[1]}}]`},
		{"by name", `["kubernetes"]`, ""},
		{"no list", `{"kubernetes":{}}`, `{"kubernetes":{}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := withoutPlugin([]string{"A=b", plugins + "=" + tt.plugins, "C=d"})
			if got := value(env, plugins); got != tt.want || value(env, "A") != "b" || value(env, "C") != "d" || len(env) != 3 {
				t.Errorf("got %q, want %s", env, tt.want)
			}
		})
	}
}
