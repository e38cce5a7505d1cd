package kjob

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/k8s/config"
)

// Parse refuses a template variable in a place that reaches the agent token, and says why.
// Elsewhere it accepts the variable.
func TestPipelineCannotTakeTheToken(t *testing.T) {
	agent := func(text string) string { return "{spec: {containers: [{name: agent, " + text + "}]}}" }
	const program, names, files, settings = "the program that is started with it", "whose Secrets and settings", "in the place of the pod's programs", "changes what the runner reads"
	const unknown, plain = "known to be harmless", "has the agent token in it"
	const file = "a file that a pipeline fills"
	podinfo := func(field string) string {
		return `{metadata: {annotations: {a: "{{env.X}}", b: fixed}}, spec: {volumes: [{name: v, downwardAPI: {items: [{path: environment, fieldRef: {fieldPath: "` + field + `"}}]}}],
			containers: [{name: agent, volumeMounts: [{name: v, mountPath: /etc/buildkite-agent/hooks}]}]}}`
	}
	for _, tt := range []struct {
		name, doc string
		want      string // empty if it is taken
		always    bool   // refused with trusted-pipelines, too
	}{
		{name: "image", doc: agent(`image: "{{env.IMAGE}}"`), want: program},
		{name: "an image's tag", doc: agent(`image: "team/ci:{{env.IMAGE}}"`), want: program},
		{name: "a helper's image", doc: `{spec: {initContainers: [{name: db, restartPolicy: Always, image: "{{env.IMAGE}}"}]}}`, want: program},
		{name: "command", doc: agent(`command: [sh, -c, "{{env.X}}"]`), want: program},
		{name: "args", doc: agent(`args: ["{{env.X}}"]`), want: program},
		{name: "args, by a variable", doc: agent(`args: ["$(A)"], env: [{name: A, value: "{{env.X}}"}]`), want: program},
		{name: "args, by two variables", doc: agent(`args: ["$(B)"], env: [{name: A, value: "{{env.X}}"}, {name: B, value: "x$(A)"}]`), want: program},
		{name: "args, by an annotation", doc: `{metadata: {annotations: {a: "{{env.X}}"}}, spec: {containers: [{name: agent, args: ["$(A)"], env: [{name: A, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['a']"}}}]}]}}`, want: program},
		{name: "command, by the branch", doc: agent(`command: ["$(A)"], env: [{name: A, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['onejob.dev/branch']"}}}]`), want: program},
		{name: "lifecycle", doc: agent(`lifecycle: {preStop: {exec: {command: ["{{env.X}}"]}}}`), want: program, always: true},
		{name: "probe", doc: agent(`livenessProbe: {exec: {command: [cat, "{{env.X}}"]}}`), want: program, always: true},
		{name: "envFrom", doc: agent(`envFrom: [{secretRef: {name: "{{env.SECRETS}}"}}]`), want: names},
		{name: "envFrom, a ConfigMap", doc: agent(`envFrom: [{configMapRef: {name: "{{env.X}}"}}]`), want: names},
		{name: "envFrom's prefix", doc: agent(`envFrom: [{prefix: "{{env.X}}", configMapRef: {name: x}}]`), want: unknown, always: true},
		{name: "valueFrom", doc: agent(`env: [{name: A, valueFrom: {secretKeyRef: {name: "{{env.X}}", key: token}}}]`), want: names},
		{name: "a volume's Secret", doc: `{spec: {volumes: [{name: s, secret: {secretName: "{{env.SECRETS}}"}}]}}`, want: names},
		{name: "a volume's ConfigMap", doc: `{spec: {volumes: [{name: s, configMap: {name: "team-{{env.X}}"}}]}}`, want: names},
		{name: "a projected Secret", doc: `{spec: {volumes: [{name: s, projected: {sources: [{secret: {name: "{{env.X}}"}}]}}]}}`, want: unknown, always: true},
		{name: "a claim", doc: `{spec: {volumes: [{name: s, persistentVolumeClaim: {claimName: "{{env.X}}"}}]}}`, want: names},
		{name: "service account", doc: `{spec: {serviceAccountName: "{{env.X}}"}}`, want: names},
		{name: "pull secret", doc: `{spec: {imagePullSecrets: [{name: "{{env.X}}"}]}}`, want: unknown, always: true},
		{name: "mountPath", doc: agent(`volumeMounts: [{name: builds, mountPath: "/cache/{{env.CACHE}}"}]`), want: files},
		{name: "subPath", doc: agent(`volumeMounts: [{name: builds, mountPath: /c, subPath: "{{env.X}}"}]`), want: files},
		{name: "subPathExpr", doc: agent(`volumeMounts: [{name: builds, mountPath: /c, subPathExpr: "$(A)"}], env: [{name: A, value: "{{env.X}}"}]`), want: files},
		{name: "hostPath", doc: `{spec: {volumes: [{name: s, hostPath: {path: "/srv/{{env.X}}"}}]}}`, want: unknown, always: true},
		{name: "nfs", doc: `{spec: {volumes: [{name: s, nfs: {server: a, path: "/srv/{{env.X}}"}}]}}`, want: unknown, always: true},
		{name: "csi", doc: `{spec: {volumes: [{name: s, csi: {driver: a, volumeAttributes: {share: "{{env.X}}"}}}]}}`, want: unknown, always: true},
		{name: "a key of csi", doc: `{spec: {volumes: [{name: s, csi: {driver: a, volumeAttributes: {"{{env.X}}": a}}}]}}`, want: unknown, always: true},
		{name: "runtime class", doc: `{spec: {runtimeClassName: "{{env.X}}"}}`, want: unknown, always: true},
		{name: "a variable's name", doc: agent(`env: [{name: "{{env.X}}", value: a}]`), want: unknown, always: true},
		{name: "PATH", doc: agent(`env: [{name: PATH, value: "/cache/{{env.X}}:/bin"}]`), want: settings},
		{name: "LD_PRELOAD", doc: agent(`env: [{name: LD_PRELOAD, value: "/builds/{{env.X}}"}]`), want: settings},
		{name: "BASH_ENV", doc: agent(`env: [{name: BASH_ENV, value: "{{env.X}}"}]`), want: settings},
		{name: "a proxy", doc: agent(`env: [{name: https_proxy, value: "http://{{env.X}}"}]`), want: settings},
		{name: "certificates", doc: agent(`env: [{name: SSL_CERT_FILE, value: "/builds/{{env.X}}"}]`), want: settings},
		{name: "hooks", doc: agent(`env: [{name: BUILDKITE_HOOKS_PATH, value: "/builds/{{env.X}}"}]`), want: settings},
		{name: "plugins, by a variable", doc: agent(`env: [{name: A, value: "{{env.X}}"}, {name: BUILDKITE_PLUGINS_PATH, value: "$(A)"}]`), want: settings},
		{name: "ours", doc: agent(`env: [{name: ONEJOB_ACQUIRE_ATTEMPTS, value: "{{env.X}}"}]`), want: settings},
		{name: "what holds a container", doc: `{metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/agent: "{{env.X}}"}}, spec: {}}`, want: unknown, always: true},
		{name: "an annotation's key", doc: `{metadata: {annotations: {"{{env.X}}": a}}, spec: {}}`, want: unknown, always: true},
		{name: "no variable", doc: `{metadata: {annotations: {a: "{{env.A-B}}"}}, spec: {}}`, want: "must be a variable's name", always: true},

		{name: "a file of an annotation", doc: podinfo("metadata.annotations['a']"), want: file},
		{name: "a file of the step's label", doc: podinfo("metadata.annotations['onejob.dev/step']"), want: file},
		{name: "a file of the branch, as a label", doc: podinfo("metadata.labels['onejob.dev/branch']"), want: file},
		{name: "a file of all annotations", doc: podinfo("metadata.annotations"), want: file},
		{name: "a file of all labels", doc: podinfo("metadata.labels"), want: file},
		{name: "a projected file of an annotation", doc: `{metadata: {annotations: {a: "{{env.X}}"}}, spec: {volumes: [{name: v, projected: {sources: [{downwardAPI: {items: [{path: environment, fieldRef: {fieldPath: "metadata.annotations['a']"}}]}}]}}]}}`, want: file},

		{name: "a file of the pod's name", doc: podinfo("metadata.name")},
		{name: "a file of another annotation", doc: podinfo("metadata.annotations['b']")},
		{name: "annotation", doc: `{metadata: {annotations: {a.b/c: "{{env.X}}"}}, spec: {}}`},
		{name: "where it runs", doc: `{spec: {nodeSelector: {a.b/pool: "{{env.POOL}}"}, schedulerName: "{{env.X}}", priorityClassName: "ci-{{env.X}}", tolerations: [{key: "{{env.X}}", value: "{{env.X}}"}],
			affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: pool, operator: In, values: ["{{env.X}}"]}]}]}}}}}`},
		{name: "a variable of the job's", doc: agent(`env: [{name: DATABASE, value: "db-{{env.X}}"}]`)},
		{name: "the branch in a variable", doc: agent(`env: [{name: BRANCH, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['onejob.dev/branch']"}}}]`)},
		{name: "no template variable", doc: agent(`image: a, args: ["$(HOME)"]`)},

		{name: "the token's Secret by envFrom", doc: agent(`envFrom: [{secretRef: {name: onejob-agent-token}}]`), want: plain, always: true},
		{name: "by a variable", doc: `{spec: {initContainers: [{name: a, image: b, env: [{name: A, valueFrom: {secretKeyRef: {name: onejob-agent-token, key: token}}}]}]}}`, want: plain, always: true},
		{name: "by a volume", doc: `{spec: {volumes: [{name: s, secret: {secretName: onejob-agent-token}}]}}`, want: plain, always: true},
		{name: "by a projected volume", doc: `{spec: {volumes: [{name: s, projected: {sources: [{secret: {name: onejob-agent-token}}]}}]}}`, want: plain, always: true},
		{name: "by csi", doc: `{spec: {volumes: [{name: s, csi: {driver: a, nodePublishSecretRef: {name: onejob-agent-token}}}]}}`, want: plain, always: true},
		{name: "by flexVolume", doc: `{spec: {volumes: [{name: s, flexVolume: {driver: a/b, secretRef: {name: onejob-agent-token}}}]}}`, want: plain, always: true},
		{name: "by azureFile", doc: `{spec: {volumes: [{name: s, azureFile: {secretName: onejob-agent-token, shareName: a}}]}}`, want: plain, always: true},
		{name: "as a pull secret", doc: `{spec: {imagePullSecrets: [{name: onejob-agent-token}]}}`, want: plain, always: true},
		{name: "the token on the command line", doc: agent(`args: ["--token=$(BUILDKITE_AGENT_TOKEN)"]`), want: "would put the agent token into a command line", always: true},
		{name: "a volume of its name", doc: `{spec: {volumes: [{name: onejob-agent-token, secret: {secretName: other}}]}}`},
	} {
		for _, trusted := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.name, ", trusted ", trusted), func(t *testing.T) {
				_, err := Parse([]byte(tt.doc), aQueue(t, fmt.Sprintf("  trusted-pipelines: %t\n", trusted)))
				switch refused := tt.want != "" && (!trusted || tt.always); {
				case !refused && err != nil:
					t.Error(err)
				case refused && (err == nil || !strings.Contains(err.Error(), tt.want)):
					t.Errorf("got %v, want one that says %q", err, tt.want)
				case refused && strings.Contains(err.Error(), "in a pipeline") && strings.Contains(err.Error(), "set trusted-pipelines") == tt.always:
					t.Errorf("what can be done about it: %v", err)
				}
			})
		}
	}
}

// A pipeline can't fill an annotation that a program reads, or a variable that the runner or
// one of its libraries reads.
func TestNamesThatProgramsRead(t *testing.T) {
	annotation := `{metadata: {annotations: {%s: "{{env.X}}"}}, spec: {}}`
	variable := `{spec: {containers: [{name: agent, env: [{name: %s, value: "/builds/{{env.X}}"}]}]}}`
	for _, tt := range []struct {
		doc   string
		names []string
		taken bool
	}{
		{doc: annotation, names: []string{
			"onejob.dev/step", "iam.amazonaws.com/role", "eks.amazonaws.com/skip-containers", "sidecar.istio.io/proxyImage", "config.linkerd.io/proxy-image", "io.kubernetes.cri-o.Devices",
			"io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw", "seccomp-profile.kubernetes.cri-o.io/POD", "container.apparmor.security.beta.kubernetes.io/agent",
			"seccomp.security.alpha.kubernetes.io/pod", "kueue.x-k8s.io/queue-name", "cdi.k8s.io/gpu", "k8s.v1.cni.cncf.io/networks", "run.oci.handler", "org.systemd.property.DeviceAllow",
			"dev.gvisor.flag.debug", "io.katacontainers.config.hypervisor.path", "vault.hashicorp.com/agent-inject-template-x", "instrumentation.opentelemetry.io/inject-java",
			"admission.datadoghq.com/java-lib.version", "azure.workload.identity/inject-proxy-sidecar", "dapr.io/sidecar-image",
		}},
		{doc: annotation, names: []string{"team", "a.b/c", "ci.example.com/branch", "example.dev/pipeline", "com.example/x", "notk8s.example/x"}, taken: true},
		{doc: variable, names: []string{
			"AWS_CONFIG_FILE", "aws_profile", "XDG_CONFIG_HOME", "GCE_METADATA_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_CLIENT_ID", "CLOUDSDK_CONFIG", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
			"NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "LD_AUDIT", "GODEBUG", "ZDOTDIR", "TERMINFO", "DATADOG_API_KEY", "PERL5LIB", "_JAVA_OPTIONS", "GNUPGHOME", "USER", "EDITOR", "PAGER", "LESSOPEN",
		}},
		{doc: variable, names: []string{"DATABASE", "GOAL", "PAGES", "USERS_TABLE", "AWSOME", "IMAGE_TAG"}, taken: true},
	} {
		for _, name := range tt.names {
			_, err := Parse(fmt.Appendf(nil, tt.doc, name), aQueue(t, ""))
			if tt.taken != (err == nil) || err != nil && !strings.Contains(err.Error(), "could take the agent token") {
				t.Errorf("%s: got %v, taken: want %t", name, err, tt.taken)
			}
		}
	}
}

// With trusted-pipelines, too, a pipeline can't name the token's Secret or lead out
// of a folder.
func TestFilledInTemplates(t *testing.T) {
	for _, tt := range []struct{ doc, value, want string }{
		{`{spec: {containers: [{name: agent, envFrom: [{secretRef: {name: "{{env.X}}"}}]}]}}`, "onejob-agent-token", "has the agent token in it"},
		{`{spec: {containers: [{name: agent, envFrom: [{secretRef: {name: "onejob-{{env.X}}"}}]}]}}`, "agent-token", "envFrom[0].secretRef.name: the Secret onejob-agent-token has the agent token in it"},
		{`{spec: {volumes: [{name: s, secret: {secretName: "{{env.X}}"}}]}}`, "onejob-agent-token", "volumes[s].secret.secretName: the Secret onejob-agent-token"},
		{`{spec: {initContainers: [{name: a, image: b, env: [{name: A, valueFrom: {secretKeyRef: {name: "{{env.X}}", key: token}}}]}]}}`, "onejob-agent-token", "has the agent token in it"},
		{`{spec: {volumes: [{name: s, secret: {secretName: "{{env.X}}"}}]}}`, "other", ""},
		{`{spec: {containers: [{name: agent, args: ["$({{env.X}})"]}]}}`, "BUILDKITE_AGENT_TOKEN", "would put the agent token into a command line"},
		{`{spec: {containers: [{name: agent, volumeMounts: [{name: builds, mountPath: "/cache/{{env.X}}"}]}]}}`, "x/../../usr/local/bin", ".. as a part of a path"},
		{`{spec: {containers: [{name: agent, volumeMounts: [{name: builds, mountPath: "/cache/{{env.X}}./y"}]}]}}`, "x/.", ".. as a part of a path"},
		{`{spec: {containers: [{name: agent, volumeMounts: [{name: builds, mountPath: "/cache/{{env.X}}"}]}]}}`, "a..b/c", ""},
		{`{metadata: {annotations: {a: "{{env.X}}"}}, spec: {}}`, "a/..", ".. as a part of a path"},
		{`{spec: {priorityClassName: "{{env.X}}"}}`, "system-node-critical", "the cluster's own"},
	} {
		tpl, err := Parse([]byte(tt.doc), aQueue(t, "  trusted-pipelines: true\n"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = New(aJob(), 1, tpl, map[string]string{"X": tt.value})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s with %q: got %v, want %q", tt.doc, tt.value, err, tt.want)
		}
	}
}

// No pipeline and no template gets another queue's token.
func TestTokenOfAnotherQueue(t *testing.T) {
	c, err := config.Parse([]byte(`queues:
- {name: a, token-secret: {name: team-a}, trusted-pipelines: true}
- {name: b, token-secret: {name: team-b}, trusted-pipelines: true}
- {name: c, token-secret: {name: team-c}, trusted-pipelines: true, namespace: other}
`), "builds")
	if err != nil {
		t.Fatal(err)
	}
	doc := func(secret string) []byte {
		return []byte(`{spec: {containers: [{name: agent, envFrom: [{secretRef: {name: "` + secret + `"}}]}]}}`)
	}
	for _, tt := range []struct {
		queue   int
		secret  string
		refused bool
	}{{0, "team-a", true}, {0, "team-b", true}, {1, "team-a", true}, {0, "team-c", false}, {2, "team-c", true}, {2, "team-a", false}} {
		q := c.Queues[tt.queue]
		_, err := Parse(doc(tt.secret), q)
		tpl, errVariable := Parse(doc("{{env.X}}"), q)
		if errVariable != nil {
			t.Fatal(errVariable)
		}
		_, errFilled := New(aJob(), 1, tpl, map[string]string{"X": tt.secret})
		for _, err := range []error{err, errFilled} {
			if refused := err != nil && strings.Contains(err.Error(), "the Secret "+tt.secret+" has"); refused != tt.refused || !refused && err != nil {
				t.Errorf("queue %s, Secret %s: got %v, refused: want %t", q.Name, tt.secret, err, tt.refused)
			}
		}
	}
}

// With every template that Parse accepts and every value that a pipeline sets, the pod has
// the token's Secret once. Without trusted-pipelines a pipeline chooses no program and no name.
func FuzzPipelineCannotTakeTheToken(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed, "onejob-agent-token", false)
		f.Add(seed, "x/../../usr/local/bin", true)
	}
	token := regexp.MustCompile(`"(name|secretName)":"onejob-agent-token"`)
	queues := map[bool]config.Queue{}
	for _, trusted := range []bool{false, true} {
		c, err := config.Parse(fmt.Appendf(nil, "queues: [{name: default, trusted-pipelines: %t}]", trusted), "builds")
		if err != nil {
			f.Fatal(err)
		}
		queues[trusted] = c.Queues[0]
	}
	f.Fuzz(func(t *testing.T, seed uint64, value string, trusted bool) {
		tpl, err := Parse(randomTemplate(rand.New(rand.NewPCG(seed, 1))), queues[trusted]) //nolint:gosec // no secret
		if err != nil {
			return
		}
		k, err := New(aJob(), 1, tpl, map[string]string{"X": value})
		if err != nil {
			return
		}
		pod := k.Spec.Template.Spec
		doc, _ := json.Marshal(pod)
		if n := len(token.FindAll(doc, -1)); n != 1 {
			t.Errorf("the pod names the token's Secret %d times: %s", n, doc)
		}
		if trusted {
			return
		}
		// Another value changes only the pod's place and the texts that only the job reads.
		other, err := New(aJob(), 1, tpl, map[string]string{"X": "other"})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*corev1.PodSpec{&pod, &other.Spec.Template.Spec} {
			p.NodeSelector = nil
			for _, c := range append(p.InitContainers, p.Containers...) {
				for i := range c.Env {
					if e := &c.Env[i]; e.Name == "A" || e.Name == "B" {
						e.Value = ""
					}
				}
			}
		}
		if diff := cmp.Diff(other.Spec.Template.Spec, pod); diff != "" {
			t.Errorf("the pipeline changes its pod: %s", diff)
		}
	})
}

// randomTemplate puts template variables, the token's Secret and harmless values into places of
// a pod.
func randomTemplate(r *rand.Rand) []byte {
	some := func() string {
		return []string{"{{env.X}}", "a-{{env.X}}", "/c/{{env.X}}", "$(A)", "onejob-agent-token", "onejob-{{env.X}}", "plain", "plain", "plain"}[r.IntN(9)]
	}
	pick := func(docs ...string) string {
		var out []string
		for _, d := range docs {
			if r.IntN(6) == 0 {
				out = append(out, strings.ReplaceAll(d, "?", some()))
			}
		}
		return strings.Join(out, ", ")
	}
	container := func() string {
		env := pick(`{name: A, value: "?"}`, `{name: B, value: "?"}`, `{name: PATH, value: "?"}`, `{name: BUILDKITE_PLUGINS_PATH, value: "?"}`,
			`{name: C, valueFrom: {secretKeyRef: {name: "?", key: token}}}`, `{name: D, valueFrom: {configMapKeyRef: {name: x, key: "?"}}}`)
		return strings.Trim(pick(`image: "?"`, `command: ["?"]`, `args: [a, "?"]`, `workingDir: "?"`, `envFrom: [{secretRef: {name: "?"}}]`,
			`volumeMounts: [{name: builds, mountPath: "?", subPath: "?"}]`, `livenessProbe: {exec: {command: ["?"]}}`)+", env: ["+env+"]", ", ")
	}
	doc := `{metadata: {annotations: {` + pick(`a: "?"`) + `}}, spec: {` + strings.Join([]string{
		pick(`serviceAccountName: "?"`, `imagePullSecrets: [{name: "?"}]`, `nodeSelector: {a: "?"}`, `runtimeClassName: "?"`),
		`initContainers: [{name: first, image: a, ` + container() + `}]`, `containers: [{name: agent, ` + container() + `}]`,
		`volumes: [` + pick(`{name: a, secret: {secretName: "?"}}`, `{name: b, projected: {sources: [{secret: {name: "?"}}]}}`, `{name: c, csi: {driver: "?", nodePublishSecretRef: {name: "?"}}}`,
			`{name: d, hostPath: {path: "?"}}`) + `]`,
	}, ", ") + `}}`
	js, err := yaml.YAMLToJSON([]byte(strings.ReplaceAll(strings.ReplaceAll(doc, "{, ", "{"), "{ , ", "{")))
	if err != nil {
		return []byte(doc)
	}
	return js
}
