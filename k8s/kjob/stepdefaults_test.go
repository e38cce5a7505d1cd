package kjob

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
)

const defaultsTemplate = `
spec:
  containers: [{name: agent, image: 'agent:1', imagePullPolicy: IfNotPresent}]
  volumes: [{name: ca, configMap: {name: ca}}, {name: keys, secret: {secretName: keys}}]
`

// withDefaults is the kjob of a step in a queue with step-defaults, both in YAML.
func withDefaults(t *testing.T, defaults, queue, image, plugin string, rules ...string) (*batchv1.Job, error) {
	t.Helper()
	return ofTemplate(t, defaultsTemplate, "  step-defaults: "+defaults+"\n"+queue, image, plugin, rules...)
}

// seen are a pod's containers, each with what step-defaults can give it.
func seen(k *batchv1.Job) string {
	var all []string
	spec := k.Spec.Template.Spec
	for _, c := range slices.Concat(spec.Containers, spec.InitContainers) {
		words := []string{c.Name, c.Image, string(c.ImagePullPolicy)}
		for _, e := range c.EnvFrom {
			words = append(words, "from "+e.ConfigMapRef.Name)
		}
		for _, e := range c.Env {
			if strings.HasPrefix(e.Name, "BUILDKITE_GIT_") || e.Name == "BUILDKITE_COMMAND" || e.Name == "BUILDKITE_SKIP_CHECKOUT" || e.Name == contract.EnvCheckoutEnv {
				words = append(words, strings.TrimPrefix(e.Name, "BUILDKITE_")+"="+e.Value)
			}
		}
		for _, m := range c.VolumeMounts {
			if strings.HasPrefix(m.MountPath, "/etc/") || strings.HasPrefix(m.MountPath, "/buildkite/") {
				words = append(words, m.Name+":"+m.MountPath)
			}
		}
		all = append(all, strings.Join(words, " "))
	}
	return strings.Join(all, "\n")
}

const (
	flags   = "{checkout: {cloneFlags: --depth=1}, commandParams: {interposer: vector}, imagePullPolicy: Always}"
	mounted = "{commandParams: {envFrom: [{configMapRef: {name: all}}], extraVolumeMounts: [{name: ca, mountPath: /etc/ca}]}, sidecarParams: {envFrom: [{configMapRef: {name: side}}]}}"
)

// What each kind of step has of its queue's defaults.
func TestStepDefaultsOfEachKindOfStep(t *testing.T) {
	for _, tt := range []struct{ name, defaults, queue, image, plugin, want string }{
		{"settings leave a plain step its one container", flags, "", "", "", "agent agent:1 IfNotPresent GIT_CLONE_FLAGS=--depth=1"},
		{"settings, and an image", flags, "", "node", "", "agent agent:1 IfNotPresent GIT_CLONE_FLAGS=--depth=1\ncommand node Always"},
		{"settings, and a plugin", flags, "  steps: pod", "", "{podSpec: {containers: [{image: node, command: [echo, a b]}]}}", "agent agent:1 IfNotPresent GIT_CLONE_FLAGS=--depth=1\ncommand node Always COMMAND=echo 'a b'"},
		{"what is for commands has them apart from the runner", mounted, "", "", "", "agent agent:1 IfNotPresent\ncommand agent:1 IfNotPresent from all ca:/etc/ca"},
		{"in a plain queue, too", mounted, "  steps: plain", "node", "", "agent agent:1 IfNotPresent\ncommand agent:1 IfNotPresent from all ca:/etc/ca"},
		{"and in a class with an image", mounted, "  resource-classes: {tools: {image: 'tools:1'}}\n  default-resource-class-name: tools", "", "", "agent agent:1 IfNotPresent\ncommand tools:1  from all ca:/etc/ca"},
		{"an image", mounted, "", "node", "", "agent agent:1 IfNotPresent\ncommand node  from all ca:/etc/ca"},
		{"a sidecar", mounted, "  steps: pod", "", "{sidecars: [{image: db}]}", "agent agent:1 IfNotPresent\ncommand agent:1 IfNotPresent from all ca:/etc/ca\nsidecar-0 db  from side"},
		{"the checkout's variables are not the runner's, nor the command's", "{checkout: {envFrom: [{configMapRef: {name: git}, prefix: GIT_}]}}", "", "", "", "agent agent:1 IfNotPresent ONEJOB_CHECKOUT_ENV=GIT_=/buildkite/checkout-env/0 onejob-checkout-env-0:/buildkite/checkout-env/0 onejob-checkout-keys:/buildkite/checkout-keys\ncommand agent:1 IfNotPresent"},
		{"mirrors", "{checkout: {gitMirrors: {volume: {name: mirrors, persistentVolumeClaim: {claimName: m}}}}}", "", "node", "", "agent agent:1 IfNotPresent GIT_MIRRORS_PATH=/buildkite/git-mirrors GIT_MIRROR_CHECKOUT_MODE=dissociate mirrors:/buildkite/git-mirrors\ncommand node "},
		{"credentials", "{checkout: {gitCredentialsSecret: {secretName: g}, extraVolumeMounts: [{name: keys, mountPath: /etc/keys}]}}", "", "", "", "agent agent:1 IfNotPresent keys:/etc/keys onejob-git-credentials-of-queue:/buildkite/git-credentials\ncommand agent:1 IfNotPresent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := withDefaults(t, tt.defaults, tt.queue, tt.image, tt.plugin)
			if err != nil {
				t.Fatal(err)
			}
			if got := seen(k); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if err := checkAdmissible(k); err != nil {
				t.Error(err)
			}
			agent := FindAgent(&k.Spec.Template.Spec)
			if hasPlugin := env(agent, contract.EnvPlugin) != ""; hasPlugin != (tt.plugin != "") {
				t.Errorf("the runner takes a plugin: %t", hasPlugin)
			}
			again, err := withDefaults(t, tt.defaults, tt.queue, EnvOf(k)[envImage], tt.plugin)
			if tt.plugin == "" && (err != nil || seen(again) != seen(k)) {
				t.Errorf("the next attempt, made of this one: %v\n%s", err, seen(again))
			}
		})
	}
}

// Queue's default, then class, then step. A single value replaces, lists are put together.
func TestStepDefaultsAreUnderTheStep(t *testing.T) {
	const (
		checkout = "{checkout: {skip: true, cloneFlags: --depth=1, cleanFlags: -fd, envFrom: [{configMapRef: {name: q}}], gitCredentialsSecret: {secretName: q}, gitMirrors: {path: /buildkite/m, lockTimeout: 9}}}"
		policy   = "  steps: pod\n  policy: {secrets: ['*']}"
	)
	for _, tt := range []struct{ name, defaults, plugin, want string }{
		{"a setting of the checkout", checkout, "{checkout: {cloneFlags: -v, skip: false}}", "GIT_CLONE_FLAGS=-v"},
		{"an empty one replaces nothing", checkout, "{checkout: {}}", "GIT_CLONE_FLAGS=--depth=1"},
		{"and not the others", checkout, "{checkout: {cloneFlags: -v, skip: false}}", "GIT_CLEAN_FLAGS=-fd"},
		{"a checkout after all", checkout, "{checkout: {skip: false}}", "SKIP_CHECKOUT=false"},
		{"a setting of mirrors", checkout, "{checkout: {gitMirrors: {lockTimeout: 5}}}", "GIT_MIRRORS_LOCK_TIMEOUT=5"},
		{"their path stays", checkout, "{checkout: {gitMirrors: {lockTimeout: 5}}}", "GIT_MIRRORS_PATH=/buildkite/m"},
		{"variables of the checkout come after", checkout, "{checkout: {envFrom: [{configMapRef: {name: s}}]}}", "ONEJOB_CHECKOUT_ENV==/buildkite/checkout-env/0 =/buildkite/checkout-env/1"},
		{"the queue's pull policy", flags, "{podSpec: {containers: [{image: x, imagePullPolicy: Never}]}}", "command x Never"},
		{"the interposer", flags, "{commandParams: {interposer: legacy}, podSpec: {containers: [{image: x, command: [echo, 'a b']}]}}", "COMMAND=echo a b"},
		{"variables of a container", mounted, "{podSpec: {containers: [{image: x, envFrom: [{configMapRef: {name: own}}]}]}, commandParams: {envFrom: [{configMapRef: {name: s}}]}}", "from all from own from s"},
		{"a mount at the same path", mounted, "{podSpec: {containers: [{image: x, volumeMounts: [{name: own, mountPath: /etc/ca}]}], volumes: [{name: own, emptyDir: {}}]}}", "command x  from all own:/etc/ca"},
		{"a mount for all at the same path", mounted, "{podSpec: {containers: [{image: x}], volumes: [{name: own, emptyDir: {}}]}, commandParams: {extraVolumeMounts: [{name: own, mountPath: /etc/ca}]}}", "command x  from all own:/etc/ca"},
		{"a mount at another path", mounted, "{podSpec: {containers: [{image: x, volumeMounts: [{name: own, mountPath: /etc/own}]}], volumes: [{name: own, emptyDir: {}}]}}", "own:/etc/own ca:/etc/ca"},
		{"a patch's list of variables takes the place of all", mounted, "{podSpecPatch: {containers: [{name: container-0, envFrom: [{configMapRef: {name: patch}}]}]}}", "command agent:1 IfNotPresent from patch ca:/etc/ca"},
		{"variables of a sidecar", mounted, "{sidecars: [{image: db}], sidecarParams: {envFrom: [{configMapRef: {name: s}}]}}", "sidecar-0 db  from side from s"},
		{"an init container has none", mounted, "{podSpec: {initContainers: [{name: i, image: x}], containers: [{image: x}]}}", "\ni x "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := withDefaults(t, tt.defaults, policy, "", tt.plugin)
			if err != nil {
				t.Fatal(err)
			}
			effective := []string{}
			for line := range strings.SplitSeq(seen(k), "\n") {
				last := map[string]string{} // of two variables of one name the last counts
				words := strings.Split(line, " ")
				for _, w := range words {
					if name, _, ok := strings.Cut(w, "="); ok {
						last[name] = w
					}
				}
				words = slices.DeleteFunc(words, func(w string) bool {
					name, _, ok := strings.Cut(w, "=")
					return ok && last[name] != w
				})
				effective = append(effective, strings.Join(words, " "))
			}
			if got := strings.Join(effective, "\n"); !strings.Contains(got, tt.want) {
				t.Errorf("got\n%s\nwant %q in it", got, tt.want)
			}
		})
	}
	const mirrors = "{checkout: {gitMirrors: {volume: {name: m, emptyDir: {}}}}}"
	for plugin, want := range map[string]string{
		"{checkout: {gitMirrors: {path: /buildkite/own}}}":                                    "kubernetes.checkout.gitMirrors.path: the queue's mirrors are in /buildkite/git-mirrors",
		"{checkout: {gitMirrors: {volume: {name: own, emptyDir: {}}}}}":                       "the runner has /buildkite/git-mirrors: mount it elsewhere",
		"{checkout: {extraVolumeMounts: [{name: own, mountPath: /buildkite/git-mirrors/x}]}}": "the runner has /buildkite/git-mirrors: mount it elsewhere",
		"{checkout: {gitMirrors: {path: /buildkite/own, volume: {name: own, emptyDir: {}}}}}": "",
		"{checkout: {gitMirrors: {path: /buildkite/git-mirrors, lockTimeout: 5}}}":            "",
	} {
		if _, err := withDefaults(t, mirrors, policy, "", plugin); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %s", plugin, err, want)
		}
	}
	k, err := withDefaults(t, checkout, policy, "", "{checkout: {gitCredentialsSecret: {secretName: own}}}")
	if err != nil {
		t.Fatal(err)
	}
	var secrets []string
	for _, v := range k.Spec.Template.Spec.Volumes {
		if v.Secret != nil && v.Name != "keys" {
			secrets = append(secrets, v.Secret.SecretName)
		}
	}
	if agent := FindAgent(&k.Spec.Template.Spec); !slices.Equal(secrets, []string{"own"}) || env(agent, gitCount) != "1" || !strings.Contains(seen(k), "onejob-git-credentials:/buildkite/git-credentials") {
		t.Errorf("the step's credentials: %v\n%s", secrets, seen(k))
	}
	class := policy + "\n  resource-classes: {tools: {image: 'tools:1'}}"
	for plugin, want := range map[string]string{"{checkout: {skip: true}}": "command tools:1 Always", "{podSpec: {containers: [{image: own}]}}": "command own Always"} {
		if k, err := withDefaults(t, flags, class, "", plugin, "resource_class=tools"); err != nil || !strings.Contains(seen(k), want) {
			t.Errorf("%s: %v\n%s", plugin, err, seen(k))
		}
	}
}

// The policy is for steps: what the queue gives them is not held against it. A step that
// wants the same for itself is.
func TestPolicyIsNotForStepDefaults(t *testing.T) {
	const secret = "{commandParams: {envFrom: [{secretRef: {name: s}}], extraVolumeMounts: [{name: keys, mountPath: /etc/keys}]}, checkout: {gitCredentialsSecret: {secretName: g}}}"
	tpl, err := Parse([]byte("spec: {containers: [{name: agent}], volumes: [{name: keys, secret: {secretName: k}}]}"), aQueue(t, "  steps: pod\n  policy: {level: restricted, digests: true, volumes: [emptyDir]}\n  step-defaults: "+secret))
	if err != nil {
		t.Fatal(err)
	}
	for plugin, want := range map[string]string{
		"null":                         "",
		"{checkout: {cloneFlags: -v}}": "",
		"{commandParams: {envFrom: [{secretRef: {name: s}}]}}":                                                      `the Secret "s" is not one that this queue's steps may use`,
		"{podSpec: {containers: [{volumeMounts: [{name: keys, mountPath: /etc/keys}]}]}}":                           "",
		"{podSpec: {containers: [{volumeMounts: [{name: keys, mountPath: /etc/keys, subPath: k}]}]}}":               "the step has no volume keys, and the queue's own are for its runner",
		"{podSpec: {initContainers: [{name: i, volumeMounts: [{name: keys, mountPath: /mnt}]}], containers: [{}]}}": "none given",
	} {
		js, err := yaml.YAMLToJSON([]byte(plugin))
		if err != nil {
			t.Fatal(err)
		}
		_, err = New(aJob(), 1, tpl, map[string]string{"BUILDKITE_PLUGINS": fmt.Sprintf(`[{"kubernetes":%s}]`, js)})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %s", plugin, err, want)
		}
	}
}

// What the queue gives commands, a step can't have mounted for the runner.
func TestGivenMountsAreNotTheRunners(t *testing.T) {
	const given = "{commandParams: {extraVolumeMounts: [{name: ca, mountPath: /mnt/ca}]}}"
	_, err := withDefaults(t, given, "  steps: pod", "", "{checkout: {extraVolumeMounts: [{name: ca, mountPath: /mnt/ca}]}}")
	if want := "kubernetes.checkout.volumeMounts[/mnt/ca]: the step has no volume ca, and the queue's own are for its runner"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := withDefaults(t, given, "  steps: pod", "", "{podSpec: {containers: [{image: x, volumeMounts: [{name: ca, mountPath: /mnt/ca}]}]}}"); err != nil {
		t.Error(err)
	}
}

// A fault of step-defaults would end each job of the queue: it is found when the file is
// read, and has the setting's name.
func TestStepDefaultsFaults(t *testing.T) {
	for defaults, want := range map[string]string{
		"{checkout: {cloneFlag: x}}":                                                        "step-defaults.checkout.cloneFlag: there is no such field, but there is cloneFlags",
		"{commandParams: {extraVolumeMounts: [{name: gone, mountPath: /x}]}}":               `step-defaults.commandParams.extraVolumeMounts: the queue's template has no volume "gone"`,
		"{sidecarParams: {extraVolumeMounts: [{name: gone, mountPath: /x}]}}":               "step-defaults.sidecarParams.extraVolumeMounts: ",
		"{checkout: {extraVolumeMounts: [{name: gone, mountPath: /x}]}}":                    "step-defaults.checkout.extraVolumeMounts: ",
		"{commandParams: {extraVolumeMounts: [{name: ca, mountPath: /builds}]}}":            "step-defaults: containers[container-0].volumeMounts[/builds]: the job's own folder is there",
		"{commandParams: {extraVolumeMounts: [{name: ca, mountPath: /onejob/bin}]}}":        "step-defaults: containers[container-0].volumeMounts[/onejob/bin]: the job's own folder is there",
		"{commandParams: {extraVolumeMounts: [{name: ca}]}}":                                "step-defaults: spec.template.spec.containers[command].volumeMounts[].mountPath: empty",
		"{commandParams: {envFrom: [{prefix: A}]}}":                                         "step-defaults: spec.template.spec.containers[command].envFrom: no source",
		"{commandParams: {envFrom: [{secretRef: {name: UPPER}}]}}":                          "step-defaults: spec.template.spec.containers[command].envFrom.secretRef.name: ",
		"{commandParams: {envFrom: [{secretRef: {name: onejob-agent-token}}]}}":             "step-defaults: spec.template.spec.containers[command].envFrom[0].secretRef.name: the Secret onejob-agent-token has the agent token in it",
		"{sidecarParams: {envFrom: [{secretRef: {name: onejob-agent-token}}]}}":             "step-defaults: ",
		"{sidecarParams: {extraVolumeMounts: [{name: ca, mountPath: /a, subPath: /b}]}}":    "step-defaults: spec.template.spec.initContainers[sidecar-0].volumeMounts[/a].subPath: ",
		"{checkout: {envFrom: [{secretRef: {name: onejob-agent-token}}]}}":                  "step-defaults.checkout: ",
		"{checkout: {envFrom: [{prefix: BUILDKITE_, secretRef: {name: s}}]}}":               `step-defaults.checkout.envFrom: the prefix "BUILDKITE_" would make settings of the agent`,
		"{checkout: {gitCredentialsSecret: {secretName: onejob-agent-token}}}":              "step-defaults.checkout: ",
		"{checkout: {gitCredentialsSecret: {}}}":                                            "step-defaults.checkout: spec.template.spec.volumes[onejob-git-credentials-of-queue].secret.secretName: empty",
		"{checkout: {gitMirrors: {volume: {name: ca, emptyDir: {}}}}}":                      "step-defaults.checkout: spec.template.spec.volumes[ca]: the name is used twice",
		"{checkout: {gitMirrors: {path: /builds, volume: {name: m, emptyDir: {}}}}}":        "step-defaults.checkout: spec.template.spec.containers[agent].volumeMounts[/builds]: two volumes are mounted there",
		"{checkout: {gitMirrors: {volume: {name: m, hostPath: {path: /m}, emptyDir: {}}}}}": "step-defaults.checkout: spec.template.spec.volumes[m]: ",
		"{checkout: {skip: true}}":                                                          "step-defaults.checkout: the queue's template has BUILDKITE_SKIP_CHECKOUT, which says the same: take one of the two out",
	} {
		template := strings.Replace(defaultsTemplate, "IfNotPresent}", "IfNotPresent, env: [{name: BUILDKITE_SKIP_CHECKOUT, value: 'false'}]}", 1)
		_, err := Parse([]byte(template), aQueue(t, "  steps: pod\n  step-defaults: "+defaults))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", defaults, err, want)
		}
	}
	if _, err := Parse([]byte(defaultsTemplate), aQueue(t, "  step-defaults: "+mounted)); err != nil {
		t.Error(err)
	}
}

// What a pipeline could take the agent token with is refused in step-defaults as it is in a
// template, and allowed by the same setting.
func TestStepDefaultsReachNoToken(t *testing.T) {
	const template = `{metadata: {annotations: {a: "{{env.X}}"}}, spec: {containers: [{name: agent, env: [{name: A, value: "{{env.X}}"}, {name: B, value: "x$(A)"}, {name: OWN, value: own}, {name: BRANCH, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['onejob.dev/branch']"}}}]}], volumes: [{name: v, emptyDir: {}}]}}`
	mount := func(expr string) string {
		return "{checkout: {extraVolumeMounts: [{name: v, mountPath: /mnt/v, subPathExpr: " + expr + "}]}}"
	}
	mirrors := func(volume string) string {
		return "{checkout: {gitMirrors: {volume: {name: m, " + volume + "}}}}"
	}
	const files, file, steered = "they can put files of their own in the place of the pod's programs", "a file that a pipeline fills can stand in the place of a hook", "whoever writes a step can set its variables"
	for _, tt := range []struct{ name, defaults, want string }{
		{"a folder of a template variable", mount("$(A)"), files},
		{"by way of another", mount("a/$(B)"), files},
		{"a folder of the branch", mount("$(BRANCH)"), files},
		{"a file of an annotation", mirrors(`downwardAPI: {items: [{path: hook, fieldRef: {fieldPath: "metadata.annotations['a']"}}]}`), file},
		{"a file of all labels", mirrors(`projected: {sources: [{downwardAPI: {items: [{path: hook, fieldRef: {fieldPath: metadata.labels}}]}}]}`), file},
		{"a step's own variable", "{commandParams: {extraVolumeMounts: [{name: v, mountPath: /mnt/v, subPathExpr: $(ANY)}]}}", steered},
		{"a sidecar's", "{sidecarParams: {extraVolumeMounts: [{name: v, mountPath: /mnt/v, subPathExpr: a/$(ANY)}]}}", steered},
		{"a folder of the template's own", mount("$(OWN)"), ""},
		{"a folder without a variable", "{commandParams: {extraVolumeMounts: [{name: v, mountPath: /mnt/v, subPathExpr: a}]}}", ""},
		{"a file of the pod's name", mirrors(`downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}`), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, class := range []string{"", "  resource-classes: {big: {}}\n"} {
				_, err := Parse([]byte(template), aQueue(t, "  steps: pod\n  step-defaults: "+tt.defaults+"\n"+class))
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "step-defaults") || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				if _, err := Parse([]byte(template), aQueue(t, "  trusted-pipelines: true\n  steps: pod\n  step-defaults: "+tt.defaults+"\n"+class)); err != nil {
					t.Errorf("trusted: %v", err)
				}
			}
		})
	}
}

// The template of another queue, or of another reading, has nothing of these.
func TestStepDefaultsAreTheQueues(t *testing.T) {
	q := aQueue(t, "  step-defaults: {checkout: {cloneFlags: -v}, commandParams: {envFrom: [{configMapRef: {name: all}}]}}")
	first, err := Parse(nil, q)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		k, err := New(aJob(), 1, first, nil)
		if err != nil {
			t.Fatal(err)
		}
		flags := 0
		for _, e := range FindAgent(&k.Spec.Template.Spec).Env {
			if e.Name == "BUILDKITE_GIT_CLONE_FLAGS" {
				flags++
			}
		}
		if c := k.Spec.Template.Spec.Containers[1]; flags != 1 || len(c.EnvFrom) != 1 {
			t.Errorf("%d flags, variables %v", flags, c.EnvFrom)
		}
		k.Spec.Template.Spec.Containers[1].EnvFrom[0] = corev1.EnvFromSource{}
	}
}

// lint --ask-cluster misses what step-defaults name, for sidecars, too, which its own pod lacks.
func TestDryRunOfStepDefaults(t *testing.T) {
	tpl, err := Parse([]byte(defaultsTemplate), aQueue(t, "  step-defaults: {commandParams: {envFrom: [{configMapRef: {name: all}}]}, sidecarParams: {envFrom: [{secretRef: {name: side}}]}, checkout: {envFrom: [{secretRef: {name: ssh}}, {secretRef: {name: may, optional: true}}]}}"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = DryRun(t.Context(), fake.NewClientset(), tpl)
	for _, want := range []string{"ConfigMap all ", "Secret side ", "Secret ssh "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "Secret may ") {
		t.Error("what may be absent is missed")
	}
}

// A template that the job's environment fills has them, too.
func TestStepDefaultsInAFilledTemplate(t *testing.T) {
	template := strings.Replace(defaultsTemplate, "agent:1", "{{env.BUILDKITE_IMAGE}}", 1)
	defaults := "{checkout: {cloneFlags: -v}, " + strings.TrimPrefix(mounted, "{")
	tpl, err := Parse([]byte(template), aQueue(t, "  trusted-pipelines: true\n  step-defaults: "+defaults))
	if err != nil {
		t.Fatal(err)
	}
	k, err := New(aJob(), 1, tpl, map[string]string{"BUILDKITE_IMAGE": "own:2", "BUILDKITE_COMMAND": "make"})
	if err != nil {
		t.Fatal(err)
	}
	want := "agent own:2 IfNotPresent GIT_CLONE_FLAGS=-v\ncommand own:2 IfNotPresent from all ca:/etc/ca"
	if got := seen(k); got != want || env(FindAgent(&k.Spec.Template.Spec), contract.EnvImage) != "own:2" {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
