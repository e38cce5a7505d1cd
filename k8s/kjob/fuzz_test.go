package kjob

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// FuzzPlugin: whatever a step describes, there is no panic, its runner is the template's,
// and the agent token is the runner's alone. A PodTemplate may be any, too.
func FuzzPlugin(f *testing.F) {
	f.Add(`{"podSpec":{"containers":[{"name":"lint","image":"node:22","command":["a"],"args":["b c"]},{"image":"x"}],"initContainers":[{"name":"i","image":"x"}]},"sidecars":[{"image":"x"}]}`, `{"containers":[]}`, "node:22")
	f.Add(`{"podSpecPatch":{"containers":[{"name":"container-0","command":["x"]},{"name":"proxy","image":"x","envFrom":[{"secretRef":{"name":"s"}}]}],"initContainers":[{"name":"db","image":"x","restartPolicy":"Always"}],"volumes":[{"name":"v","emptyDir":{}}]}}`, `{}`, "")
	f.Add(`{"podTemplate":"t","podSpecPatch":{"containers":[{"name":"t","image":"y1"}]},"metadata":{"labels":{"app.kubernetes.io/name":"a"},"annotations":{"a":"b"}}}`, `{"containers":[{"name":"t","image":"x"},{"name":"u","image":"x"}],"volumes":[{"name":"keys","secret":{"secretName":"onejob-agent-token"}}],"hostPID":true,"securityContext":{"runAsUser":0}}`, "")
	f.Add(`{"gitEnvFrom":[{"prefix":"LD_","secretRef":{"name":"s"}}],"checkout":{"envFrom":[{"configMapRef":{"name":"c"}}],"gitMirrors":{"volume":{"name":"m","emptyDir":{}}},"extraVolumeMounts":[{"name":"m","mountPath":"/mnt/a"}],"gitCredentialsSecret":{"secretName":"g"}},"jobActiveDeadlineSeconds":60}`, `null`, "x")
	var templates []*Template
	for _, defaults := range []string{"{}", "{checkout: {skip: true, cloneFlags: -v, envFrom: [{configMapRef: {name: c}}], gitCredentialsSecret: {secretName: q}, gitMirrors: {volume: {name: mirrors, emptyDir: {}}}}, commandParams: {interposer: vector, envFrom: [{secretRef: {name: q}}], extraVolumeMounts: [{name: ca, mountPath: /mnt/ca}]}, sidecarParams: {envFrom: [{secretRef: {name: q}}]}, imagePullPolicy: Always}"} {
		templates = append(templates, aFuzzed(f, defaults))
	}
	f.Fuzz(func(t *testing.T, plugin, named, image string) {
		for _, tpl := range templates {
			fuzzed(t, tpl, plugin, named, image)
		}
	})
}

func aFuzzed(f *testing.F, defaults string) *Template {
	tpl, err := Parse([]byte("spec: {containers: [{name: agent, envFrom: [{secretRef: {name: runner}}], volumeMounts: [{name: keys, mountPath: /keys}]}], volumes: [{name: keys, secret: {secretName: git-key}}, {name: ca, configMap: {name: ca}}]}"),
		aQueue(f, "  steps: pod\n  policy: {level: privileged, secrets: ['**'], pod-templates: ['**'], metadata: ['**'], claims: ['**'], privileged: true, service-accounts: ['**']}\n  step-defaults: "+defaults))
	if err != nil {
		f.Fatal(err)
	}
	return tpl
}

func fuzzed(t *testing.T, tpl *Template, plugin, named, image string) {
	env := map[string]string{steps.EnvImage: image, steps.EnvCommand: "make", steps.EnvPlugins: `[{"kubernetes":` + plugin + `}]`}
	k, err := New(aJob(), 1, tpl, env)
	var needs *NeedsPodTemplate
	if errors.As(err, &needs) {
		pod := &corev1.PodSpec{}
		if json.Unmarshal([]byte(named), pod) != nil {
			return
		}
		k, err = New(aJob(), 1, tpl.With(pod), env)
	}
	if err != nil {
		if len(err.Error()) > 256<<10 || !utf8.ValidString(err.Error()) {
			t.Fatalf("%d bytes", len(err.Error()))
		}
		return
	}
	pod := &k.Spec.Template.Spec
	agent, ours := FindAgent(pod), tpl.agent()
	if agent.Image != ours.Image || len(agent.Command)+len(agent.Args) > 0 || len(agent.EnvFrom) != 1 || pod.HostPID || pod.ShareProcessNamespace != nil {
		t.Errorf("the runner is %+v", agent)
	}
	if k.Labels[contract.LabelJobID] != aJob().ID.String() || pod.RestartPolicy != corev1.RestartPolicyNever || k.Labels[labelName] != "onejob-agent" {
		t.Errorf("%+v", k.ObjectMeta)
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		if c.Name == contract.AgentContainer {
			continue
		}
		for _, m := range c.VolumeMounts {
			if m.Name == "keys" {
				t.Errorf("%s mounts the runner's keys", c.Name)
			}
		}
		for _, e := range c.Env {
			if r := e.ValueFrom; r != nil && r.SecretKeyRef != nil && slices.Contains(tpl.tokens, r.SecretKeyRef.Name) {
				t.Errorf("%s has the token", c.Name)
			}
		}
		for _, e := range c.EnvFrom {
			if e.SecretRef != nil && slices.Contains(tpl.tokens, e.SecretRef.Name) {
				t.Errorf("%s has the token", c.Name)
			}
		}
	}
	for _, v := range pod.Volumes {
		if v.Secret != nil && slices.Contains(tpl.tokens, v.Secret.SecretName) {
			t.Errorf("volume %s has the token", v.Name)
		}
	}
}
