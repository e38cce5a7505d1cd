package steps

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// aStep is a step with the plugin, written in YAML.
func aStep(t testing.TB, image, plugin string) Step {
	t.Helper()
	e := env(t, plugin)
	e[EnvImage] = image
	step, err := Parse(e)
	if err != nil {
		t.Fatal(err)
	}
	return step
}

func aPodSpec(t testing.TB, doc string) *corev1.PodSpec {
	t.Helper()
	if doc == "" {
		return nil
	}
	s := &corev1.PodSpec{}
	if err := yaml.UnmarshalStrict([]byte(doc), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// lines describes the parts of a pod that tests compare, a line each.
func lines(p *Pod) (out []string) {
	for _, c := range p.Commands {
		out = append(out, fmt.Sprintf("%s %s %q", c.Container.Name, c.Container.Image, c.Line))
	}
	return out
}

func names(cs []corev1.Container) (out []string) {
	for _, c := range cs {
		out = append(out, c.Name)
	}
	return out
}

func mounts(ms []corev1.VolumeMount) (out []string) {
	for _, m := range ms {
		out = append(out, m.Name+":"+m.MountPath)
	}
	return out
}

func sources(es []corev1.EnvFromSource) (out []string) {
	for _, e := range es {
		switch {
		case e.SecretRef != nil:
			out = append(out, e.SecretRef.Name)
		case e.ConfigMapRef != nil:
			out = append(out, e.ConfigMapRef.Name)
		}
	}
	return out
}

func variables(es []corev1.EnvVar) (out []string) {
	for _, e := range es {
		out = append(out, e.Name+"="+e.Value)
	}
	return out
}

func first(p *Pod) corev1.Container { return p.Commands[0].Container }

func resolved(t testing.TB, step Step, d Defaults) *Pod {
	t.Helper()
	p, err := Resolve(step, d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestContainersAndCommands(t *testing.T) {
	const own = `podSpec: {containers: [{image: node, command: ["npm ci", "npm test --"], args: ["a b", "c"]}]}`
	for _, tt := range []struct {
		name, image, plugin string
		queue               Interposer
		want                []string
	}{
		{name: "image alone", image: "node:22", plugin: "null", want: []string{`container-0 node:22 "make"`}},
		{name: "no container: the default one", plugin: "{checkout: {skip: true}}", want: []string{`container-0 agent:1 "make"`}},
		{name: "a container without a command runs the step's", plugin: "{podSpec: {containers: [{image: node}]}}", want: []string{`container-0 node "make"`}},
		{name: "a container without an image has the queue's", plugin: "{podSpec: {containers: [{command: [ls]}]}}", want: []string{`container-0 agent:1 "ls"`}},
		{name: "each item of command is a line, args come quoted after the last", plugin: own, want: []string{`container-0 node "npm ci\nnpm test -- 'a b' c"`}},
		{name: "vector: one command of quoted words", plugin: "{" + own + ", commandParams: {interposer: vector}}", want: []string{`container-0 node "'npm ci' 'npm test --' 'a b' c"`}},
		{name: "legacy: nothing is quoted", plugin: "{" + own + ", commandParams: {interposer: legacy}}", want: []string{`container-0 node "npm ci npm test -- a b c"`}},
		{name: "the queue's interposer", plugin: own, queue: InterposeLegacy, want: []string{`container-0 node "npm ci npm test -- a b c"`}},
		{name: "the step's interposer before the queue's", plugin: "{" + own + ", commandParams: {interposer: vector}}", queue: InterposeLegacy, want: []string{`container-0 node "'npm ci' 'npm test --' 'a b' c"`}},
		{name: "a quote in a word", plugin: `{podSpec: {containers: [{image: node, command: [echo], args: ["it's", ""]}]}}`, want: []string{`container-0 node "echo 'it'\\''s' ''"`}},
		{name: "several containers, named and not", plugin: `{podSpec: {containers: [{name: unit, image: node, command: [a]}, {image: go, command: [b]}, {image: c}]}}`, want: []string{`unit node "a"`, `container-1 go "b"`, `container-2 c "make"`}},
		{name: "image: is every command container's", image: "node:22", plugin: `{podSpec: {containers: [{image: a}, {name: b, image: b}]}, sidecars: [{image: db}]}`, want: []string{`container-0 node:22 "make"`, `b node:22 "make"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := Defaults{Command: "make", Image: "agent:1", CommandParams: &CommandParams{Interposer: tt.queue}}
			p := resolved(t, aStep(t, tt.image, tt.plugin), d)
			if diff := cmp.Diff(tt.want, lines(p)); diff != "" {
				t.Error(diff)
			}
			for _, c := range p.Commands {
				if len(c.Container.Command)+len(c.Container.Args) > 0 {
					t.Errorf("%s still has its command", c.Container.Name)
				}
			}
		})
	}
}

// The order of precedence of images: each row lacks the image of the row before it.
func TestWhoseImage(t *testing.T) {
	for _, tt := range []struct{ name, image, plugin, want string }{
		{"the step's patch", "attribute", `{podSpec: {containers: [{image: own}]}, podSpecPatch: {containers: [{name: container-0, image: step-patch}]}}`, "step-patch"},
		{"image:", "attribute", `{podSpec: {containers: [{image: own}]}}`, "attribute"},
		{"the container's own", "", `{podSpec: {containers: [{image: own}]}}`, "own"},
		{"the queue's", "", "null", "agent:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := first(resolved(t, aStep(t, tt.image, tt.plugin), Defaults{Image: "agent:1"})).Image; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestPatches(t *testing.T) {
	for _, tt := range []struct {
		name, plugin string
		look         func(*Pod) any
		want         any
	}{
		{"a command becomes the job's command", `{podSpecPatch: {containers: [{name: container-0, command: [a, b], args: [c]}]}}`, func(p *Pod) any { return p.Commands[0].Line }, "a\nb c"},
		{"args alone become it, too", `{podSpecPatch: {containers: [{name: container-0, args: [c]}]}}`, func(p *Pod) any { return p.Commands[0].Line }, "c"},
		{"one without containers takes none away", `{podSpec: {nodeSelector: {a: b}, containers: [{image: a}, {image: b}]}, podSpecPatch: {nodeSelector: {c: d}}}`, func(p *Pod) any { return []any{len(p.Commands), p.Spec.NodeSelector} }, []any{2, map[string]string{"a": "b", "c": "d"}}},
		{"an empty list takes none away", `{podSpec: {containers: [{image: a}, {image: b}]}, podSpecPatch: {containers: []}}`, func(p *Pod) any { return len(p.Commands) }, 2},
		{"a new init container begins where kubectl puts it: before the others", `{podSpec: {initContainers: [{name: a, image: a}], containers: [{image: b}]}, podSpecPatch: {initContainers: [{name: z, image: z}]}}`, func(p *Pod) any { return names(p.Init) }, []string{"z", "a"}},
		{"init containers run in the podSpec's order, too", `{podSpec: {initContainers: [{name: a, image: a}, {name: b, image: b}], containers: [{image: c}]}, podSpecPatch: {initContainers: [{name: b, image: z}, {name: more, image: m}]}}`, func(p *Pod) any { return names(p.Init) }, []string{"more", "a", "b"}},
		{"commands run in the podSpec's order", `{podSpec: {containers: [{name: a, image: a}, {name: b, image: b}, {name: c, image: c}]}, podSpecPatch: {containers: [{name: c, command: [x]}, {name: more, image: m}, {name: a, image: z}]}}`, func(p *Pod) any { return lines(p) }, []string{`a z "make"`, `b b "make"`, `c c "x"`}},
		{"a new sidecar is one by its restart policy", `{podSpecPatch: {initContainers: [{name: db, image: a, restartPolicy: Always}]}, sidecars: [{name: s, image: b}]}`, func(p *Pod) any { return []any{names(p.Init), *p.Init[0].RestartPolicy, names(p.Sidecars)} }, []any{[]string{"db"}, corev1.ContainerRestartPolicyAlways, []string{"s"}}},
		{"image: isn't a new container's", `{podSpecPatch: {containers: [{name: proxy, image: envoy}]}}`, func(p *Pod) any { return p.Others[0].Image }, "envoy"},
		{"its list of envFrom takes the place of all others", `{podSpec: {containers: [{image: x, envFrom: [{secretRef: {name: own}}]}]}, gitEnvFrom: [{secretRef: {name: git}}], podSpecPatch: {containers: [{name: container-0, envFrom: [{secretRef: {name: s}}]}]}}`, func(p *Pod) any { return sources(first(p).EnvFrom) }, []string{"s"}},
		{"an init container is reached", `{podSpec: {initContainers: [{name: setup, image: a}], containers: [{image: b}]}, podSpecPatch: {initContainers: [{name: setup, image: c, command: [x]}]}}`, func(p *Pod) any { return []any{p.Init[0].Image, p.Init[0].Command} }, []any{"c", []string{"x"}}},
		{"a sidecar is reached", `{sidecars: [{name: db, image: a}], podSpecPatch: {initContainers: [{name: db, image: b}]}}`, func(p *Pod) any { return []any{names(p.Init), p.Sidecars[0].Image} }, []any{[]string(nil), "b"}},
		{"a named command container is reached, and known as one", `{podSpec: {containers: [{name: unit, image: a}]}, podSpecPatch: {containers: [{name: unit, image: b}]}}`, func(p *Pod) any { return append(lines(p), names(p.Others)...) }, []string{`unit b "make"`}},
		{"a new container runs beside the job", `{podSpecPatch: {containers: [{name: proxy, image: envoy, command: [envoy]}]}}`, func(p *Pod) any { return append(lines(p), p.Others[0].Name+p.Others[0].Command[0]) }, []string{`container-0 agent:1 "make"`, "proxyenvoy"}},
		{"a volume's new source replaces the old one", `{podSpec: {containers: [{image: a}], volumes: [{name: v, emptyDir: {}}]}, podSpecPatch: {volumes: [{name: v, configMap: {name: c}}]}}`, func(p *Pod) any {
			return []any{len(p.Volumes), p.Volumes[0].EmptyDir == nil, p.Volumes[0].ConfigMap.Name}
		}, []any{1, true, "c"}},
		{"so does a variable's", `{podSpec: {containers: [{image: a, env: [{name: E, value: x}, {name: F, value: z}]}]}, podSpecPatch: {containers: [{name: container-0, env: [{name: E, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]}]}}`, func(p *Pod) any { return fmt.Sprint(variables(first(p).Env)) }, "[E= F=z]"},
		{"the runner's resources are those of agent and checkout, the larger", `{podSpecPatch: {containers: [{name: agent, resources: {requests: {cpu: 100m, memory: 1Gi}}}, {name: checkout, resources: {requests: {cpu: "1", memory: 50Mi}}}]}}`, func(p *Pod) any {
			r := p.Runner.Resources.Requests
			return []string{r.Cpu().String(), r.Memory().String()}
		}, []string{"1", "1Gi"}},
		{"with no checkout, a patch of it brings no container", `{checkout: {skip: true}, podSpecPatch: {containers: [{name: checkout, resources: {requests: {cpu: "1"}}}]}}`, func(p *Pod) any { return []any{variables(p.Checkout.Env)[0], len(p.Commands), len(p.Others)} }, []any{"BUILDKITE_SKIP_CHECKOUT=true", 1, 0}},
		{"containers of the peer are none here", `{podSpecPatch: {initContainers: [{name: copy-agent, resources: {}}, {name: imagecheck-0}]}}`, func(p *Pod) any { return []any{len(p.Init), len(p.Notes)} }, []any{0, 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := Defaults{Command: "make", Image: "agent:1"}
			if diff := cmp.Diff(tt.want, tt.look(resolved(t, aStep(t, "", tt.plugin), d))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Resolve refuses settings that no step may have, and names the field.
func TestResolveRefuses(t *testing.T) {
	for _, tt := range []struct{ name, plugin, want string }{
		{"the agent's command", `{podSpecPatch: {containers: [{name: agent, command: [x]}]}}`, "kubernetes.podSpecPatch.containers[agent].command: what this container runs can't be changed"},
		{"the checkout's command", `{podSpecPatch: {containers: [{name: checkout, args: [x]}]}}`, "kubernetes.podSpecPatch.containers[checkout].command: "},
		{"the agent's image", `{podSpecPatch: {containers: [{name: agent, image: evil}]}}`, "kubernetes.podSpecPatch.containers[agent].image: a step may set the resources of this container and nothing else"},
		{"the agent's variables", `{podSpecPatch: {containers: [{name: agent, env: [{name: LD_PRELOAD, value: /x}]}]}}`, "kubernetes.podSpecPatch.containers[agent].env: a step may set"},
		{"the checkout's mounts", `{podSpecPatch: {containers: [{name: checkout, volumeMounts: [{name: v, mountPath: /usr/local/bin}]}]}}`, "kubernetes.podSpecPatch.containers[checkout].volumeMounts: a step may set"},
		{"a mount over the checkout's programs", `{checkout: {extraVolumeMounts: [{name: v, mountPath: /usr/local/bin}]}}`, "kubernetes.checkout.extraVolumeMounts[v]: /usr/local/bin is not free"},
		{"the same by a detour", `{checkout: {extraVolumeMounts: [{name: v, mountPath: /mnt/../usr}]}}`, "is not free"},
		{"the token as a folder's name", `{checkout: {extraVolumeMounts: [{name: v, mountPath: /mnt/a, subPathExpr: $(BUILDKITE_AGENT_TOKEN)}]}}`, "kubernetes.checkout.extraVolumeMounts[v].subPathExpr: it would be made of the runner's variables"},
		{"mirrors over them", `{checkout: {gitMirrors: {path: /usr/bin, volume: {name: v}}}}`, "kubernetes.checkout.gitMirrors.path: /usr/bin is not free"},
		{"a container by our name", `{podSpec: {containers: [{name: agent, image: x}]}}`, "kubernetes.podSpec.containers[agent]: the name agent is kept"},
		{"a sidecar by our name", `{sidecars: [{name: onejob-x, image: x}]}`, "kubernetes.sidecars[onejob-x]: the name onejob-x is kept"},
		{"a volume by our name", `{podSpec: {volumes: [{name: onejob-x}]}}`, "volumes[onejob-x]: names that begin with onejob- are kept"},
		{"a name twice", `{podSpec: {containers: [{name: a, image: x}]}, sidecars: [{name: a, image: z}]}`, "kubernetes.sidecars[a]: two containers are called a"},
		{"a volume in the place of the mirrors'", `{podSpec: {volumes: [{name: m, emptyDir: {}}]}, checkout: {gitMirrors: {volume: {name: m, configMap: {name: c}}}}}`, "volumes[m]: the name is that of another volume, kubernetes.checkout.gitMirrors.volume"},
		{"another restart policy in a patch", `{podSpecPatch: {restartPolicy: OnFailure}}`, "kubernetes.podSpecPatch.restartPolicy: OnFailure: a job runs once"},
		{"a command container that restarts", `{podSpec: {containers: [{image: x, restartPolicy: Always}]}}`, "containers[container-0].restartPolicy: a restarted container would run the command again"},
		{"a patch of nobody", `{podSpecPatch: {containers: [{image: x}]}}`, "kubernetes.podSpecPatch.containers[0]: it has no name"},
		{"a new container without an image", `{podSpecPatch: {containers: [{name: cont-0, env: []}]}}`, "containers[cont-0].image: none given"},
		{"a template that isn't there", `{podTemplate: gone}`, "kubernetes.podTemplate: gone: it wasn't read from the cluster"},
		{"another container that restarts", `{podSpecPatch: {containers: [{name: db, image: x, restartPolicy: Always}]}}`, "containers[db].restartPolicy: "},
		{"restart rules of a command container", `{podSpec: {containers: [{image: x, restartPolicyRules: [{action: RestartAllContainers}]}]}}`, "containers[container-0].restartPolicyRules: "},
		{"of another container", `{podSpecPatch: {containers: [{name: db, image: x, restartPolicyRules: [{action: RestartAllContainers}]}]}}`, "containers[db].restartPolicyRules: they can restart the runner, which runs once"},
		{"of an init container", `{podSpec: {containers: [{image: x}], initContainers: [{name: i, image: x, restartPolicyRules: [{action: RestartAllContainers}]}]}}`, "initContainers[i].restartPolicyRules: "},
		{"of an init container by a patch", `{podSpecPatch: {initContainers: [{name: i, image: x, restartPolicyRules: [{action: RestartAllContainers}]}]}}`, "initContainers[i].restartPolicyRules: "},
		{"of a sidecar", `{sidecars: [{name: s, image: x, restartPolicyRules: [{action: RestartAllContainers}]}]}`, "sidecars[s].restartPolicyRules: "},
		{"a volume of ours by a patch", `{podSpecPatch: {volumes: [{name: onejob-hold, emptyDir: {}}]}}`, "volumes[onejob-hold]: names that begin with onejob- are kept"},
		{"a volume of ours for mirrors", `{checkout: {gitMirrors: {volume: {name: onejob-hold, emptyDir: {}}}}}`, "volumes[onejob-hold]: names that begin with onejob- are kept"},
		{"an init container of ours by a patch", `{podSpecPatch: {initContainers: [{name: onejob-step, image: x}]}}`, "initContainers[onejob-step]: the name is kept"},
		{"all at once", `{podSpec: {containers: [{name: a, image: x}, {name: a, image: z}]}, podSpecPatch: {restartPolicy: Always}}`, "two containers are called a: give each a name of its own\nkubernetes.podSpecPatch.restartPolicy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Resolve(aStep(t, "", tt.plugin), Defaults{Command: "make", Image: "agent:1"})
			if p != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestVariablesMountsAndMetadata(t *testing.T) {
	ref := func(name string) []corev1.EnvFromSource {
		return []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}}
	}
	at := func(name string) []corev1.VolumeMount {
		return []corev1.VolumeMount{{Name: name, MountPath: "/mnt/" + name}}
	}
	d := Defaults{
		Command: "make", Image: "agent:1", PullPolicy: corev1.PullIfNotPresent,
		CommandParams: &CommandParams{EnvFrom: ref("q-command"), ExtraVolumeMounts: at("q-command")},
		SidecarParams: &SidecarParams{EnvFrom: ref("q-sidecar"), ExtraVolumeMounts: at("q-sidecar")},
	}
	const plugin = `
podSpec: {containers: [{image: node, imagePullPolicy: Always, envFrom: [{secretRef: {name: own}}], volumeMounts: [{name: own, mountPath: /mnt/own}]}]}
gitEnvFrom: [{secretRef: {name: git}}]
extraVolumeMounts: [{name: shared, mountPath: /mnt/shared}, {name: other, mountPath: /mnt/own/}, {name: deep, mountPath: /usr/share/deep}, {name: token, mountPath: /mnt/token, subPathExpr: $(BUILDKITE_AGENT_TOKEN)}]
sidecars: [{image: db}]
metadata: {labels: {team: step}}
checkout: {skip: false, cloneFlags: "-v", gitCredentialsSecret: {secretName: git}, noSubmodules: true, submoduleCloneConfig: ["a=b", "c=d"], envFrom: [{secretRef: {name: checkout}}], extraVolumeMounts: [{name: checkout, mountPath: /mnt/checkout}], gitMirrors: {volume: {name: mirrors}, lockTimeout: 60}}
commandParams: {envFrom: [{secretRef: {name: command}}], extraVolumeMounts: [{name: command, mountPath: /mnt/command}]}
sidecarParams: {envFrom: [{secretRef: {name: sidecar}}]}
jobActiveDeadlineSeconds: 60`
	p := resolved(t, aStep(t, "", plugin), d)
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"variables of a command", sources(first(p).EnvFrom), []string{"q-command", "own", "command", "git"}},
		{"variables of a sidecar", sources(p.Sidecars[0].EnvFrom), []string{"q-sidecar", "sidecar", "git"}},
		{"variables of the checkout", sources(p.Checkout.EnvFrom), []string{"checkout", "git"}},
		{"mounts of a command: one at each path, the step's before the queue's", mounts(first(p).VolumeMounts), []string{"own:/mnt/own", "command:/mnt/command", "shared:/mnt/shared", "deep:/usr/share/deep", "token:/mnt/token", "q-command:/mnt/q-command"}},
		{"mounts of a sidecar", mounts(p.Sidecars[0].VolumeMounts), []string{"shared:/mnt/shared", "other:/mnt/own/", "deep:/usr/share/deep", "token:/mnt/token", "q-sidecar:/mnt/q-sidecar"}},
		{"mounts of the checkout: what is free for a pipeline", mounts(p.Checkout.Mounts), []string{"checkout:/mnt/checkout", "shared:/mnt/shared", "other:/mnt/own/", "mirrors:/buildkite/git-mirrors"}},
		{"settings of the checkout", variables(p.Checkout.Env), []string{
			"BUILDKITE_SKIP_CHECKOUT=false", "BUILDKITE_GIT_CLONE_FLAGS=-v", "BUILDKITE_NO_GIT_SUBMODULES=true", "BUILDKITE_GIT_SUBMODULE_CLONE_CONFIG=a=b,c=d",
			"BUILDKITE_GIT_MIRRORS_PATH=/buildkite/git-mirrors", "BUILDKITE_GIT_MIRRORS_LOCK_TIMEOUT=60",
		}},
		{"credentials", p.Checkout.Credentials.SecretName, "git"},
		{"labels", p.Metadata.Labels, map[string]string{"team": "step"}},
		{"deadline", p.Deadline, int64(60)},
		{"pull policies: what is said stays", []corev1.PullPolicy{first(p).ImagePullPolicy, p.Sidecars[0].ImagePullPolicy}, []corev1.PullPolicy{"Always", "IfNotPresent"}},
		{"images, each once", p.Images(), []string{"db", "node"}},
		{"sidecars are native", *p.Sidecars[0].RestartPolicy, corev1.ContainerRestartPolicyAlways},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	if notes := strings.Join(p.Notes, "\n"); !strings.Contains(notes, "other is not mounted, because own is there") || !strings.Contains(notes, "/usr/share/deep is mounted for the commands, and not for the checkout") {
		t.Errorf("notes: %s", notes)
	}
}

// Notes name the settings that agent-stack-k8s ignores silently, or that have no effect here.
func TestNotes(t *testing.T) {
	for _, tt := range []struct{ name, plugin, want string }{
		{"args without a command", `{podSpec: {containers: [{image: x, args: [a]}]}}`, "kubernetes.podSpec.containers[container-0]: args without a command are not used"},
		{"a restart policy", `{podSpec: {restartPolicy: OnFailure, containers: [{image: x}]}}`, "restartPolicy: OnFailure is not used"},
		{"a template beside a podSpec", `{podTemplate: a, podSpec: {containers: [{image: x}]}}`, "kubernetes.podTemplate: a is not used"},
		{"a container of the peer's", `{podSpecPatch: {initContainers: [{name: copy-agent}]}}`, "kubernetes.podSpecPatch.initContainers[copy-agent] is not used"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := resolved(t, aStep(t, "", tt.plugin), Defaults{Image: "agent:1"})
			if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], tt.want) {
				t.Errorf("got %q, want %s", p.Notes, tt.want)
			}
		})
	}
}

// Pod.Images are the images after all patches.
func TestImagesAfterPatches(t *testing.T) {
	p := resolved(t, aStep(t, "attribute", `{podSpec: {initContainers: [{name: i, image: init}], containers: [{image: own}]}, podSpecPatch: {containers: [{name: proxy, image: patched}]}}`), Defaults{Image: "agent:1"})
	if diff := cmp.Diff([]string{"init", "attribute", "patched"}, p.Images()); diff != "" {
		t.Error(diff)
	}
	if got := first(p).ImagePullPolicy; got != "" {
		t.Errorf("the pull policy is %s, though nobody said one: a moved tag would not be pulled", got)
	}
}

// Many concurrent calls of Resolve change neither the queue's defaults nor the step.
func TestResolveChangesNothingOfOthers(t *testing.T) {
	d := Defaults{
		Command: "make", Image: "agent:1", Template: aPodSpec(t, "{containers: [{name: t, image: x, command: [a]}], securityContext: {runAsUser: 1}, volumes: [{name: v}]}"),
		CommandParams: &CommandParams{EnvFrom: []corev1.EnvFromSource{{Prefix: "A", SecretRef: &corev1.SecretEnvSource{}}}, ExtraVolumeMounts: []corev1.VolumeMount{{Name: "q", MountPath: "/q"}}},
		SidecarParams: &SidecarParams{ExtraVolumeMounts: []corev1.VolumeMount{{Name: "q", MountPath: "/q"}}},
		Resources:     corev1.ResourceRequirements{Requests: corev1.ResourceList{}},
	}
	step := aStep(t, "", `{podTemplate: x, metadata: {labels: {a: b}}, podSpecPatch: {containers: [{name: t, command: [c]}], volumes: [{name: v, configMap: {name: c}}]}, extraVolumeMounts: [{name: v, mountPath: /v}], sidecars: [{image: s}]}`)
	before := []string{asYAML(t, d), asYAML(t, step)}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			p, err := Resolve(step, d)
			if err != nil {
				t.Error(err)
				return
			}
			p.Metadata.Labels["a"] = "changed"
			c := p.Commands[0].Container
			c.VolumeMounts[0].Name, c.VolumeMounts[1].Name, c.EnvFrom[0].SecretRef.Name, p.Volumes[0].Name = "changed", "changed", "changed", "changed"
		})
	}
	group.Wait()
	// Without a patch, which is merged as JSON, nothing is copied on the way.
	alone := resolved(t, Step{Image: "x"}, d).Commands[0].Container
	alone.EnvFrom[0].SecretRef.Name, alone.VolumeMounts[0].Name = "changed", "changed"
	if diff := cmp.Diff(before, []string{asYAML(t, d), asYAML(t, step)}); diff != "" {
		t.Error(diff)
	}
}

func asYAML(t *testing.T, v any) string {
	t.Helper()
	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The user in a step's podSpec is that of its containers; the runner keeps its own.
func TestWhoseSecurityContext(t *testing.T) {
	p := resolved(t, aStep(t, "", `{podSpec: {containers: [{image: a, securityContext: {runAsUser: 5}}, {image: b}], initContainers: [{name: i, image: c}]}, sidecars: [{image: d}], podSpecPatch: {securityContext: {runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000}}}`), Defaults{})
	var got []string
	for _, c := range p.Containers() {
		s := c.Container.SecurityContext
		got = append(got, fmt.Sprintf("%s %d:%d", c.At, *s.RunAsUser, *s.RunAsGroup))
	}
	want := []string{"initContainers[i] 1000:2000", "sidecars[sidecar-0] 1000:2000", "containers[container-0] 5:2000", "containers[container-1] 1000:2000"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if s := p.Spec.SecurityContext; s.RunAsUser != nil || s.RunAsGroup != nil || *s.FSGroup != 3000 || p.Runner.SecurityContext != nil {
		t.Errorf("the pod has %+v, the runner %+v", s, p.Runner.SecurityContext)
	}
}

// The checkout's credentials don't depend on the step's podSpec.
func TestCheckoutIsTheSameWithAnyPodSpec(t *testing.T) {
	const git = "gitEnvFrom: [{secretRef: {name: ssh}}], checkout: {gitCredentialsSecret: {secretName: g}}"
	var want string
	for _, more := range []string{"", ", podSpec: {containers: [{image: x}]}", ", podSpec: {securityContext: {runAsUser: 7}, containers: [{image: x}, {image: z}]}", ", podSpecPatch: {containers: [{name: container-0, image: z}]}"} {
		got := asYAML(t, resolved(t, aStep(t, "", "{"+git+more+"}"), Defaults{Image: "agent:1"}).Checkout)
		if want == "" {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", more, diff)
		}
	}
}
