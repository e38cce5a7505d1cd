package steps

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// Each fault of step-defaults has its place in the configuration.
func TestSettingFaults(t *testing.T) {
	for _, tt := range []struct {
		doc  string
		want []string // empty: no fault
	}{
		{"", nil},
		{"null", nil},
		{"{}", nil},
		{`{checkout: {skip: true, checkoutFlags: a, cleanFlags: b, cloneFlags: c, fetchFlags: d, noSubmodules: true, submoduleCloneConfig: [x], gitMirrors: {path: /m, volume: {name: v}, cloneFlags: f, lockTimeout: 5, skipUpdate: true}, gitCredentialsSecret: {secretName: s}, envFrom: [], extraVolumeMounts: []},
 commandParams: {interposer: vector, envFrom: [], extraVolumeMounts: []}, sidecarParams: {envFrom: [], extraVolumeMounts: []}, imagePullPolicy: Always}`, nil},
		{"[]", []string{"step-defaults: it is a list, but it must be a mapping"}},
		{"{checkout: {cloneFlag: x}}", []string{"step-defaults.checkout.cloneFlag: there is no such field, but there is cloneFlags"}},
		{"{podSpec: {}}", []string{"step-defaults.podSpec: there is no such field. There are checkout, commandParams, imagePullPolicy, sidecarParams"}},
		{"{imagePullPolicy: always}", []string{`step-defaults.imagePullPolicy: "always" is not one of Always, IfNotPresent, Never`}},
		{"{commandParams: {interposer: vektor, envFrom: {}}}", []string{"step-defaults.commandParams.envFrom: it is a mapping, but it must be a list"}},
		{"{commandParams: {interposer: vektor}, checkout: {gitMirrors: {lockTimeout: -1, volume: {emptyDir: {}}}}}", []string{
			`step-defaults.commandParams.interposer: "vektor" is not one of buildkite, vector, legacy`, "step-defaults.checkout.gitMirrors.lockTimeout: -1 is negative", "step-defaults.checkout.gitMirrors.volume: it has no name",
		}},
		{"{checkout: {cloneFlags: '{{env.FLAGS}}'}}", []string{"step-defaults: {{env.NAME}} is for the queue's template"}},
	} {
		js, err := yaml.YAMLToJSON([]byte(tt.doc))
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseSetting(js)
		if err == nil && len(tt.want) > 0 || err != nil && len(tt.want) == 0 {
			t.Errorf("%s: %v", tt.doc, err)
		}
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %s", tt.doc, err, want)
			}
		}
	}
}
