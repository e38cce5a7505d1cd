package steps

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A date after the year 9999 can be read but not written. It is an error of that step.
func TestWhatCantBeWrittenIsAFault(t *testing.T) {
	step, err := Parse(env(t, `{podSpec: {volumes: [{name: x, ephemeral: {volumeClaimTemplate: {metadata: {creationTimestamp: "9999-12-31T23:59:59-01:00"}, spec: {}}}}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Resolve(step, Defaults{Image: "a"}); err == nil || !strings.Contains(err.Error(), "kubernetes: it has a value that no object can hold") {
		t.Errorf("got %v", err)
	}
}

// The variables and mounts for all containers are copied into each, so their number is
// bounded.
func TestSizesAreBounded(t *testing.T) {
	many := func(n int, format string) string {
		var all []string
		for i := range n {
			all = append(all, strings.ReplaceAll(format, "%d", fmt.Sprint(i)))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	const mount, container, variable = `{"name":"a","mountPath":"/%d"}`, `{"name":"c%d","image":"a"}`, `{"name":"V%d","value":"x"}`
	for _, tt := range []struct{ plugin, want string }{
		{`{"sidecars":` + many(32, container) + `,"extraVolumeMounts":` + many(64, mount) + `}`, ""},
		{`{"sidecars":` + many(33, container) + `}`, "kubernetes: it has 33 containers in all, and a step may have 32"},
		{`{"podSpec":{"containers":` + many(11, container) + `,"initContainers":` + many(11, container) + `},"podSpecPatch":{"containers":` + many(11, container) + `}}`, "it has 33 containers in all"},
		{`{"sidecars":` + many(400, `{"image":"a"}`) + `,"extraVolumeMounts":` + many(400, mount) + `}`, "kubernetes.extraVolumeMounts: it has 400 entries, and a list of a step's may have 64"},
		{`{"gitEnvFrom":` + many(65, `{"secretRef":{"name":"s%d"}}`) + `}`, "kubernetes.gitEnvFrom: it has 65 entries"},
		{`{"podSpec":{"volumes":` + many(65, `{"name":"v%d"}`) + `}}`, "kubernetes.podSpec.volumes: it has 65 entries"},
		{`{"podSpec":{"containers":[{"name":"a","env":` + many(65, variable) + `}]}}`, "kubernetes.podSpec.containers[a].env: it has 65 entries"},
		{`{"metadata":{"annotations":{"a":"` + strings.Repeat("a", 64<<10) + `"}}}`, "bytes, and 65536 are read at the most"},
	} {
		begin := time.Now()
		_, err := Parse(map[string]string{EnvPlugins: `[{"kubernetes":` + tt.plugin + `}]`})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s took %s", tt.want, took)
		}
	}
}

// Reading an amount with a huge exponent takes seconds. Parse refuses such an amount, in any
// spelling, before it reads it.
func TestQuantitiesAreBounded(t *testing.T) {
	for _, tt := range []struct {
		plugin string
		bad    bool
	}{
		{`{"podSpec":{"containers":[{"resources":{"limits":{"cpu":"1.5e3","memory":1e9,"nvidia.com/gpu":"2"}}}]}}`, false},
		{`{"podSpec":{"volumes":[{"name":"a","emptyDir":{"sizeLimit":"1e-30000000"}}]}}`, true},
		{`{"podSpec":{"containers":[{"resources":{"requests":{"cpu":"1E+30000000"}}}]}}`, true},
		{`{"podSpec":{"containers":[{"resources":{"requests":{"cpu":1e300}}}]}}`, true},
		{`{"podSpec":{"containers":[{"resources":{"requests":{"cpu":"` + strings.Repeat("0", 33) + `"}}}]}}`, true},
		{`{"podSpec":{"PODSPEC":{},"volumes":[]},"PodSpec":{"volumes":[{"name":"a","emptyDir":{"sizeLimit":"1e-30000000"}}]}}`, true},
		{`{"podSpec":{"volumes":[{"name":"a","emptyDir":{"sizeLimit":"1e-30000000","sizeLimit":"1"}}]}}`, false},
	} {
		begin := time.Now()
		_, err := Parse(map[string]string{EnvPlugins: `[{"kubernetes":` + tt.plugin + `}]`})
		if (err != nil) != tt.bad {
			t.Errorf("%s: %v", tt.plugin, err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("%s took %s", tt.plugin, took)
		}
	}
}
