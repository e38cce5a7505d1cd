package steps

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// env is a job's environment whose step has the plugin, written in YAML.
func env(t testing.TB, plugin string) map[string]string {
	t.Helper()
	js, err := yaml.YAMLToJSON([]byte(plugin))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{EnvPlugins: fmt.Sprintf(`[{%q:%s}]`, "github.com/buildkite-plugins/kubernetes-buildkite-plugin", js)}
}

func TestParseFaults(t *testing.T) {
	for _, tt := range []struct {
		name, plugin string
		want         []string // empty: no fault
	}{
		{"nothing", "null", nil},
		{"all of it", `{podSpec: {containers: [{image: node, command: [a], resources: {requests: {cpu: 1, memory: 1Gi}}, livenessProbe: {httpGet: {port: 80}}}]}, podSpecPatch: {nodeSelector: {a: b}}, 
 gitEnvFrom: [{secretRef: {name: s}}], sidecars: [{image: "postgres:17"}], metadata: {labels: {a: b}, annotations: {c: d}}, extraVolumeMounts: [{name: v, mountPath: /v}],
 checkout: {skip: true, checkoutFlags: a, cleanFlags: b, cloneFlags: c, fetchFlags: d, noSubmodules: true, submoduleCloneConfig: [x], gitMirrors: {path: /m, volume: {name: v}, cloneFlags: f, lockTimeout: 5, skipUpdate: true}, gitCredentialsSecret: {secretName: s}, envFrom: [], extraVolumeMounts: []},
 commandParams: {interposer: vector, envFrom: [], extraVolumeMounts: []}, sidecarParams: {envFrom: [], extraVolumeMounts: []}, jobActiveDeadlineSeconds: 60}`, nil},
		{"a field of the plugin", "{podspec: {}}", []string{"kubernetes.podspec: there is no such field, but there is podSpec. There are checkout, commandParams, extraVolumeMounts, gitEnvFrom, jobActiveDeadlineSeconds, metadata, podSpec, podSpecPatch, podTemplate, sidecarParams, sidecars"}},
		{"a field far down, by the container's name", "{podSpec: {containers: [{name: test, resources: {request: {cpu: 1}}}]}}", []string{"kubernetes.podSpec.containers[test].resources.request: there is no such field, but there is requests"}},
		{"a field that the pod has, and no container", "{podSpec: {containers: [{volumes: []}]}}", []string{"kubernetes.podSpec.containers[0].volumes: there is no such field. There are args, command, env,"}},
		{"all at once", "{podSpec: {nodeselector: {}, containers: {}}, sidecars: [{image: UPPER}], jobActiveDeadlineSeconds: soon}", []string{
			"kubernetes.podSpec.nodeselector: there is no such field, but there is nodeSelector", "kubernetes.podSpec.containers: it is a mapping, but it must be a list", "kubernetes.jobActiveDeadlineSeconds: it is the string \"soon\", but it must be a whole number",
		}},
		{"a number where Kubernetes has a string", "{podSpec: {containers: [{env: [{name: PORT, value: 80}]}]}}", []string{"kubernetes.podSpec.containers[0].env[PORT].value: it is 80, but it must be a string: put it in quotes"}},
		{"a flag in quotes", `{checkout: {skip: "true"}}`, []string{`kubernetes.checkout.skip: it is the string "true", but it must be true or false`}},
		{"a half", "{jobActiveDeadlineSeconds: 1.5}", []string{"kubernetes.jobActiveDeadlineSeconds: it is 1.5, but it must be a whole number"}},
		{"no quantity", "{podSpec: {containers: [{resources: {limits: {cpu: lots}}}]}}", []string{"kubernetes: quantities must match"}},
		{"a negative deadline", "{jobActiveDeadlineSeconds: -1}", []string{"kubernetes.jobActiveDeadlineSeconds: -1 is negative"}},
		{"an interposer", "{commandParams: {interposer: bash}}", []string{`kubernetes.commandParams.interposer: "bash" is not one of buildkite, vector, legacy`}},
		{"an image in upper case in a patch", "{podSpecPatch: {containers: [{name: container-0, image: Acme/App}]}}", []string{`kubernetes.podSpecPatch.containers[container-0].image: "Acme/App" is not an image name`}},
		{"a sidecar without an image", "{sidecars: [{name: db}]}", []string{"kubernetes.sidecars[db].image: none given"}},
		{"a directive of a patch", "{podSpecPatch: {containers: [{name: agent, $patch: delete}]}}", []string{"there are no directives here; a patch adds and replaces, it can't remove"}},
		{"NUL", `{podSpec: {containers: [{command: ["a\0b"]}]}}`, []string{"kubernetes.podSpec.containers[0].command[0]: it has a NUL character"}},
		{"no mapping", "[1]", []string{"kubernetes: it is a list, but it must be a mapping"}},
		{"a terminal's command in a name", `{"\e]52;c;x\a": 1}`, []string{"kubernetes.]52;c;x: there is no such field"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(env(t, tt.plugin))
			if len(tt.want) == 0 && err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
			}
		})
	}
}

func TestParsePluginsAndImages(t *testing.T) {
	const full = "github.com/buildkite-plugins/kubernetes-buildkite-plugin"
	for _, tt := range []struct {
		name, image, plugins string
		plugin               bool
		want                 string
	}{
		{name: "nothing"},
		{name: "an image", image: "node:22"},
		{name: "a whole one", image: "registry.example:5000/a/b_c/d.e:v1.2@sha256:" + strings.Repeat("0", 64)},
		{name: "a host in upper case", image: "Registry.example/app"},
		{name: "upper case", image: "Node:22", want: `image: "Node:22" is not an image name`},
		{name: "a space", image: " node", want: "image: "},
		{name: "a long one", image: strings.Repeat("a", 600), want: "image: it has 600 characters"},
		{name: "a terminal's command", image: "x\x1b[2J", want: `image: "x [2J" is not an image name`},
		{name: "the plugin", plugins: `[{"docker#v1":{"x":1}},{"` + full + `":{"podSpec":{}}}]`, plugin: true},
		{name: "with a version", plugins: `[{"` + full + `#v1.2.3":{"podSpec":{}}}]`, plugin: true},
		{name: "its short name", plugins: `[{"kubernetes":{"podSpec":{}}}]`, plugin: true},
		{name: "its URL", plugins: `[{"https://` + full + `.git#main":{"podSpec":{}}}]`, plugin: true},
		{name: "a name alone", plugins: `["docker","kubernetes"]`, plugin: true},
		{name: "a name and nothing", plugins: `[{"` + full + `":null}]`, plugin: true},
		{name: "a name alone, twice", plugins: `["kubernetes", {"` + full + `":null}]`, want: "more than once"},
		{name: "somebody else's", plugins: `[{"github.com/acme/kubernetes-buildkite-plugin":{"a":1}}]`},
		{name: "twice", plugins: `[{"kubernetes":{"podSpec":{}}},{"` + full + `":{}}]`, want: "more than once"},
		{name: "no JSON", plugins: `{`},
		{name: "too much", plugins: `[{"kubernetes":{"podTemplate":"` + strings.Repeat("a", maxPlugins) + `"}}]`, want: "read in 262144 at the most"},
		{name: "too much of others", plugins: `[{"docker":"` + strings.Repeat("a", maxPlugins) + `"}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			step, err := Parse(map[string]string{EnvImage: tt.image, EnvPlugins: tt.plugins})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if (step.Plugin != nil) != tt.plugin || step.Image != tt.image {
				t.Errorf("got %+v", step)
			}
		})
	}
}

// The error fits on a job's page with any number of faults.
func TestFaultsAreBounded(t *testing.T) {
	fields := map[string]int{}
	for i := range 3000 {
		fields[fmt.Sprintf("field%d", i)] = i
	}
	js, _ := json.Marshal(fields)
	_, err := Parse(map[string]string{EnvPlugins: `[{"kubernetes":` + string(js) + `}]`})
	if err == nil || strings.Count(err.Error(), "\n") != maxFaults || !strings.HasSuffix(err.Error(), "and 2980 more") {
		t.Errorf("got %v", err)
	}
}

// FuzzParse: no text of a pipeline causes a panic, or puts control characters into an error.
// Resolve accepts, or refuses without a panic, every step that Parse accepts.
func FuzzParse(f *testing.F) {
	f.Add(`{"podSpec":{"containers":[{"image":"node:22","command":["a"],"args":["b c"]}]},"sidecars":[{"image":"x"}]}`, "node:22")
	f.Add(`{"podSpecPatch":{"containers":[{"name":"container-0","command":["x"]},{"name":"agent","image":"x"}],"volumes":[{"name":"v","emptyDir":{}}]},"checkout":{"skip":true,"gitMirrors":{"volume":{"name":"m"}}}}`, "")
	f.Add(`{"podspec":1,"metadata":{"labels":{"a":1}},"checkout":[],"commandParams":{"interposer":"vector"}}`, "\x1b[2J")
	f.Add(`{"podSpec":{"securityContext":{"runAsUser":1},"initContainers":[{"name":"a","image":"b"}],"volumes":[{"name":"onejob-x"}]},"extraVolumeMounts":[{"name":"v","mountPath":"/usr"}]}`, "UPPER")
	f.Add(`{"podTemplate":"t","podSpecPatch":{"containers":[{"name":"t","command":["x"]},{"name":"u","image":"x"}],"initContainers":[{"name":"i","restartPolicy":"Always"}]}}`, "")
	template := aPodSpec(f, "{containers: [{name: t, image: x}, {image: z}], initContainers: [{name: i, image: x}], volumes: [{name: v}], securityContext: {runAsUser: 1}}")
	params := &CommandParams{Interposer: InterposeVector, EnvFrom: make([]corev1.EnvFromSource, 1), ExtraVolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/v"}}}
	f.Fuzz(func(t *testing.T, plugin, image string) {
		step, err := Parse(map[string]string{EnvImage: image, EnvPlugins: `[{"kubernetes":` + plugin + `}]`})
		if err == nil {
			_, err = Resolve(step, Defaults{Command: "make", Image: "agent:1"})
		}
		if err == nil {
			_, err = Resolve(step, Defaults{Command: "make", Image: "agent:1", Template: template.DeepCopy(), CommandParams: params, SidecarParams: &SidecarParams{params.EnvFrom, params.ExtraVolumeMounts}, PullPolicy: "Always"})
		}
		if err == nil {
			return
		}
		for _, r := range err.Error() {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Fatalf("%U in %q", r, err)
			}
		}
		if len(err.Error()) > 64<<10 || !utf8.ValidString(err.Error()) {
			t.Fatalf("%d bytes", len(err.Error()))
		}
	})
}
