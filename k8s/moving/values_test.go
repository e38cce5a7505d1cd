package moving

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// Every key of agent-stack-k8s's values (its flags and its schema, v0.47, and those that
// its older versions had): either something is in the configuration (want), or a note
// says why nothing is.
var keys = []struct{ key, value, want string }{
	{"agentToken", "secret-token", ""},
	{"graphqlToken", "x", ""},
	{"agentStackSecret", "my-secret", "token-secret: {key: BUILDKITE_AGENT_TOKEN, name: my-secret}"},
	{"image", "x", ""},
	{"nameOverride", "x", ""},
	{"fullnameOverride", "x", ""},
	{"controllerEnv", "[]", ""},
	{"nodeSelector", "{a: b}", ""},
	{"tolerations", "[]", ""},
	{"labels", "{a: b}", ""},
	{"annotations", "{a: b}", ""},
	{"secretsMetadata", "{a: {}}", ""},
	{"serviceAccountMetadata", "{a: {}}", ""},
	{"resources", "{requests: {cpu: 1}}", ""},
	{"monitoring.namespace", "x", ""},
	{"monitoring.deployGrafanaDashboard", "true", ""},
	{"monitoring.podMonitor.deploy", "true", ""},
	{"monitoring.podMonitor.scrapeInterval", "1s", ""},

	{"config.queue", "kubernetes", "name: kubernetes"},
	{"config.tags", "[queue=kubernetes, os=linux]", "tags: [os=linux]"},
	{"config.namespace", "builds", "namespace: builds"},
	{"config.id", "x", ""},
	{"config.agent-token-secret", "bk", "token-secret: {key: BUILDKITE_AGENT_TOKEN, name: bk}"},
	{"config.image", "x", ""},
	{"config.max-in-flight", "0", "max-in-flight: 0"},
	{"config.job-creation-concurrency", "5", "create-workers: 5"},
	{"config.work-queue-limit", "5", ""},
	{"config.poll-interval", "5s", "idle-interval: 5s"},
	{"config.http-timeout", "5s", ""},
	{"config.pagination-page-size", "5", ""},
	{"config.pagination-depth-limit", "5", ""},
	{"config.query-reset-interval", "5s", ""},
	{"config.enable-queue-pause", "true", ""},
	{"config.enable-completion-watcher", "true", ""},
	{"config.enable-job-acquisition-tokens", "true", ""},
	{"config.reservation-expiry-seconds", "900", ""},
	{"config.k8s-client-rate-limiter-qps", "5", ""},
	{"config.k8s-client-rate-limiter-burst", "5", ""},
	{"config.image-pull-backoff-grace-period", "60s", "image-grace: 60s"},
	{"config.job-cancel-checker-poll-interval", "5s", ""},
	{"config.empty-job-grace-period", "30s", ""},
	{"config.pod-pending-timeout", "20m", "pending-timeout: 20m"},
	{"config.job-ttl", "5m", "ttlSecondsAfterFinished: 300"},
	{"config.job-active-deadline-seconds", "3600", "activeDeadlineSeconds: 3600"},
	{"config.job-prefix", "x-", ""},
	{"config.default-termination-grace-period-seconds", "90", "terminationGracePeriodSeconds: 90"},
	{"config.default-image-pull-policy", "Always", "step-defaults: {imagePullPolicy: Always}"},
	{"config.default-image-check-pull-policy", "Always", ""},
	{"config.skip-image-check-containers", "true", ""},
	{"config.image-check-container-cpu-limit", "1", ""},
	{"config.image-check-container-memory-limit", "1Gi", ""},
	{"config.prohibit-kubernetes-plugin", "true", "steps: image"},
	{"config.prohibit-kubernetes-plugin", "false", "steps: pod"},
	{"config.allow-pod-spec-patch-unsafe-command-modification", "true", ""},
	{"config.prometheus-port", "9216", ""},
	{"config.profiler-address", "localhost:6060", ""},
	{"config.log-format", "json", ""},
	{"config.log-level", "debug", ""},
	{"config.debug", "true", ""},
	{"config.no-color", "true", ""},
	{"config.log-http-payloads", "true", ""},
	{"config.additional-redacted-vars", "[RECIPE]", "{name: BUILDKITE_REDACTED_VARS, value: '*_PASSWORD,*_SECRET,*_TOKEN,*_PRIVATE_KEY,*_SSH_KEY,*_ACCESS_KEY,*_SECRET_KEY,*_CONNECTION_STRING,*_API_KEY,RECIPE'}"},
	{"config.resource-classes", "{small: {resource: {requests: {cpu: '1'}}, podResource: {limits: {memory: 1Gi}}, nodeSelector: {pool: small}}}", "resource-classes: {small: {nodeSelector: {pool: small}, podResource: {limits: {memory: 1Gi}}, resource: {requests: {cpu: '1'}}}}"},
	{"config.default-resource-class-name", "small", ""},
	{"config.workspace-volume", "{name: ws, persistentVolumeClaim: {claimName: builds}}", "{name: builds, persistentVolumeClaim: {claimName: builds}}"},
	{"config.workspaceVolume", "{name: ws, persistentVolumeClaim: {claimName: builds}}", "{name: builds, persistentVolumeClaim: {claimName: builds}}"},
	{"config.workspace-mount-sub-path-expr", "$(POD_NAME)", "{mountPath: /builds, name: builds, subPathExpr: $(POD_NAME)}"},
	{"config.pod-spec-patch", "{nodeSelector: {pool: ci}}", "nodeSelector: {pool: ci}"},
	{"config.default-metadata.labels", "{team: a}", "labels: {team: a}"},
	{"config.default-metadata.annotations", "{note: a}", "annotations: {note: a}"},
	{"config.org", "x", ""},
	{"config.cluster-uuid", "x", ""},
	{"config.graphql-endpoint", "x", ""},
	{"config.graphql-results-limit", "5", ""},

	{"config.agent-config.endpoint", "https://agent.example/v3", "endpoint: https://agent.example/v3"},
	{"config.agent-config.no-http2", "true", "{name: BUILDKITE_NO_HTTP2, value: 'true'}"},
	{"config.agent-config.experiment", "[a, b]", "{name: BUILDKITE_AGENT_EXPERIMENT, value: 'a,b'}"},
	{"config.agent-config.shell", "/bin/bash -ec", "{name: BUILDKITE_SHELL, value: /bin/bash -ec}"},
	{"config.agent-config.no-color", "true", "BUILDKITE_AGENT_NO_COLOR"},
	{"config.agent-config.strict-single-hooks", "true", "BUILDKITE_STRICT_SINGLE_HOOKS"},
	{"config.agent-config.no-multipart-artifact-upload", "true", "BUILDKITE_NO_MULTIPART_ARTIFACT_UPLOAD"},
	{"config.agent-config.trace-context-encoding", "json", "BUILDKITE_TRACE_CONTEXT_ENCODING"},
	{"config.agent-config.tracing-backend", "opentelemetry", "BUILDKITE_TRACING_BACKEND"},
	{"config.agent-config.tracing-service-name", "x", "BUILDKITE_TRACING_SERVICE_NAME"},
	{"config.agent-config.telemetry-service-name", "x", "BUILDKITE_TRACING_SERVICE_NAME"},
	{"config.agent-config.tracing-propagate-traceparent", "true", "BUILDKITE_TRACING_PROPAGATE_TRACEPARENT"},
	{"config.agent-config.disable-warnings-for", "[a]", "BUILDKITE_AGENT_DISABLE_WARNINGS_FOR"},
	{"config.agent-config.debug-signing", "true", "BUILDKITE_AGENT_DEBUG_SIGNING"},
	{"config.agent-config.git-skip-fetch-existing-commits", "true", "BUILDKITE_GIT_SKIP_FETCH_EXISTING_COMMITS"},
	{"config.agent-config.container-start-timeout", "10m", ""},
	{"config.agent-config.no-pty", "true", "BUILDKITE_NO_PTY"},
	{"config.agent-config.no-command-eval", "true", "BUILDKITE_NO_COMMAND_EVAL"},
	{"config.agent-config.no-local-hooks", "true", "BUILDKITE_NO_LOCAL_HOOKS"},
	{"config.agent-config.no-plugins", "true", "BUILDKITE_NO_PLUGINS"},
	{"config.agent-config.plugin-validation", "true", "{name: BUILDKITE_NO_PLUGIN_VALIDATION, value: 'false'}"},
	{"config.agent-config.signing-jwks-file", "/k/s", "BUILDKITE_AGENT_SIGNING_JWKS_FILE"},
	{"config.agent-config.signing-jwks-key-id", "x", "BUILDKITE_AGENT_SIGNING_JWKS_KEY_ID"},
	{"config.agent-config.signingJWKSVolume", "{name: sign, secret: {secretName: s}}", "{name: BUILDKITE_AGENT_SIGNING_JWKS_FILE, value: /buildkite/signing-jwks/key}"},
	{"config.agent-config.verification-jwks-file", "/k/v", "BUILDKITE_AGENT_VERIFICATION_JWKS_FILE"},
	{"config.agent-config.verification-failure-behavior", "warn", "BUILDKITE_AGENT_JOB_VERIFICATION_NO_SIGNATURE_BEHAVIOR"},
	{"config.agent-config.verificationJWKSVolume", "{name: verify, secret: {secretName: s}}", "{mountPath: /buildkite/verification-jwks, name: verify}"},
	{"config.agent-config.hooks-path", "/hooks", "{name: BUILDKITE_HOOKS_PATH, value: /hooks}"},
	{"config.agent-config.hooksVolume", "{name: hooks, configMap: {name: hooks}}", "{name: BUILDKITE_HOOKS_PATH, value: /workspace/hooks}"},
	{"config.agent-config.additional-hooks-paths", "[/a, /b]", "{name: BUILDKITE_ADDITIONAL_HOOKS_PATHS, value: '/a,/b'}"},
	{"config.agent-config.additional-hooks", "[{path: /more, volume: {name: more, configMap: {name: more}}}]", "{mountPath: /more, name: more}"},
	{"config.agent-config.plugins-path", "/plugins", ""},
	{"config.agent-config.pluginsVolume", "{name: p, emptyDir: {}}", ""},

	{"config.default-checkout-params.skip", "true", "step-defaults: {checkout: {skip: true}}"},
	{"config.default-checkout-params.checkoutFlags", "-f", "step-defaults: {checkout: {checkoutFlags: -f}}"},
	{"config.default-checkout-params.cleanFlags", "-ffdx", "step-defaults: {checkout: {cleanFlags: -ffdx}}"},
	{"config.default-checkout-params.cloneFlags", "--depth=1", "step-defaults: {checkout: {cloneFlags: --depth=1}}"},
	{"config.default-checkout-params.fetchFlags", "-v", "step-defaults: {checkout: {fetchFlags: -v}}"},
	{"config.default-checkout-params.noSubmodules", "true", "step-defaults: {checkout: {noSubmodules: true}}"},
	{"config.default-checkout-params.submoduleCloneConfig", "[a=b]", "step-defaults: {checkout: {submoduleCloneConfig: [a=b]}}"},
	{"config.default-checkout-params.gitMirrors.path", "/m", "step-defaults: {checkout: {gitMirrors: {path: /m}}}"},
	{"config.default-checkout-params.gitMirrors.volume", "{name: mirrors, persistentVolumeClaim: {claimName: m}}", "step-defaults: {checkout: {gitMirrors: {volume: {name: mirrors, persistentVolumeClaim: {claimName: m}}}}}"},
	{"config.default-checkout-params.gitMirrors.cloneFlags", "-v", "step-defaults: {checkout: {gitMirrors: {cloneFlags: -v}}}"},
	{"config.default-checkout-params.gitMirrors.lockTimeout", "60", "step-defaults: {checkout: {gitMirrors: {lockTimeout: 60}}}"},
	{"config.default-checkout-params.gitMirrors.skipUpdate", "true", "step-defaults: {checkout: {gitMirrors: {skipUpdate: true}}}"},
	{"config.default-checkout-params.gitCredentialsSecret", "{secretName: git}", "step-defaults: {checkout: {gitCredentialsSecret: {secretName: git}}}"},
	{"config.default-checkout-params.envFrom", "[{secretRef: {name: ssh}}]", "step-defaults: {checkout: {envFrom: [{secretRef: {name: ssh}}]}}"},
	{"config.default-checkout-params.extraVolumeMounts", "[{name: builds, mountPath: /x}]", "step-defaults: {checkout: {extraVolumeMounts: [{name: builds, mountPath: /x}]}}"},
	{"config.default-command-params.interposer", "vector", "step-defaults: {commandParams: {interposer: vector}}"},
	{"config.default-command-params.envFrom", "[{secretRef: {name: all}}]", "step-defaults: {commandParams: {envFrom: [{secretRef: {name: all}}]}}"},
	{"config.default-command-params.extraVolumeMounts", "[{name: builds, mountPath: /x}]", "step-defaults: {commandParams: {extraVolumeMounts: [{name: builds, mountPath: /x}]}}"},
	{"config.default-sidecar-params.envFrom", "[{secretRef: {name: x}}]", "step-defaults: {sidecarParams: {envFrom: [{secretRef: {name: x}}]}}"},
	{"config.default-sidecar-params.extraVolumeMounts", "[{name: builds, mountPath: /x}]", "step-defaults: {sidecarParams: {extraVolumeMounts: [{name: builds, mountPath: /x}]}}"},
}

// nested is a value under a key such as a.b.c.
func nested(t testing.TB, key, value string) map[string]any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(value), &v); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(key, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		v = map[string]any{parts[i]: v}
	}
	root := v.(map[string]any)
	if root["config"] == nil {
		root["config"] = map[string]any{}
	}
	return root
}

func imported(t *testing.T, values any) (string, []Note) {
	t.Helper()
	doc, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	out, notes, err := Import(doc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(out, "default")
	if err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if _, err := kjob.Parse(c.Queues[0].Template.Inline, c.Queues[0]); err != nil {
		t.Errorf("the template: %v in\n%s", err, out)
	}
	return string(out), notes
}

// holds reports whether a document has a part, however that is written.
func holds(t *testing.T, doc, part string) bool {
	t.Helper()
	var whole, want any
	if err := yaml.Unmarshal([]byte(doc), &whole); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(part), &want); err != nil {
		t.Fatal(err)
	}
	return within(whole, want)
}

func within(v, want any) bool {
	if fmt.Sprint(v) == fmt.Sprint(want) {
		return true
	}
	switch v := v.(type) {
	case map[string]any:
		m, isMap := want.(map[string]any)
		if isMap && len(m) == 1 {
			for k := range m {
				if v[k] != nil && fmt.Sprint(v[k]) == fmt.Sprint(m[k]) {
					return true
				}
			}
		}
		for _, below := range v {
			if within(below, want) {
				return true
			}
		}
	case []any:
		for _, below := range v {
			if within(below, want) {
				return true
			}
		}
	}
	return false
}

func TestEveryKey(t *testing.T) {
	seen := map[string]bool{}
	for _, tt := range keys {
		seen[tt.key] = true
		t.Run(tt.key, func(t *testing.T) {
			out, notes := imported(t, nested(t, tt.key, tt.value))
			var said string
			for _, n := range notes {
				if n.Key == tt.key {
					said = n.Why
				}
			}
			switch {
			case tt.want == "" && (said == "" || strings.Contains(said, "no such key")):
				t.Errorf("it has no counterpart, and the notes say %q", said)
			case tt.want != "" && !holds(t, out, tt.want):
				t.Errorf("%s isn't in\n%s", tt.want, out)
			case strings.Contains(out, "secret-token"):
				t.Error("the token is in the configuration")
			}
		})
	}
	for key := range rows() {
		if !seen[key] {
			t.Errorf("%s has no row here", key)
		}
	}
	if n := len(keys); n < 43+49 {
		t.Errorf("there are %d keys", n)
	}
}

func TestImport(t *testing.T) {
	const values = `
agentStackSecret: bk
config:
  tags: [queue=kubernetes, os=linux]
  queue: other
  unheard-of: 1
  default-command-params: {extraVolumeMounts: [{name: cache, mountPath: /cache}]}
  default-metadata: {labels: {kueue.x-k8s.io/queue-name: ci}}
  agent-config:
    hooks-path: /h
    hooksVolume: {name: hooks, configMap: {name: hooks}}
    signing-jwks-file: keys.json
    signingJWKSVolume: {name: sign, secret: {secretName: s}}
    additional-hooks-paths: [/b]
    additional-hooks: [{path: /a, volume: {name: a, configMap: {name: a}}}]
  pod-spec-patch:
    automountServiceAccountToken: true
    serviceAccountName: builder
    tolerations: [{key: ci, operator: Exists}]
    initContainers: [{name: copy-agent, resources: {}}, {name: cache, image: "cache:1", restartPolicy: Always}]
    containers:
    - {name: container-0, image: "tools:1", env: [{name: A, value: b}], resources: {requests: {cpu: "2"}}}
    - {name: agent, resources: {requests: {cpu: 100m}}}
    - {name: proxy, image: "proxy:1"}
    volumes: [{name: cache, emptyDir: {}}]`
	var doc any
	if err := yaml.Unmarshal([]byte(values), &doc); err != nil {
		t.Fatal(err)
	}
	out, notes := imported(t, doc)
	for _, want := range []string{
		"step-defaults: {commandParams: {extraVolumeMounts: [{name: sign, mountPath: /buildkite/signing-jwks, readOnly: true}, {name: cache, mountPath: /cache}]}}",
		"{mountPath: /buildkite/signing-jwks, name: sign}",
		"name: other", "tags: [os=linux]", "max-in-flight: 25", "{name: BUILDKITE_SHELL, value: /bin/sh -ec}", "{name: BUILDKITE_HOOKS_PATH, value: /h}", "{name: hooks, mountPath: /h}",
		"{name: BUILDKITE_AGENT_SIGNING_JWKS_FILE, value: /buildkite/signing-jwks/keys.json}", "{name: BUILDKITE_ADDITIONAL_HOOKS_PATHS, value: '/a,/b'}",
		"serviceAccountName: builder", "tolerations: [{key: ci, operator: Exists}]", "{name: A, value: b}", "requests: {cpu: '2'}", "{name: cache, emptyDir: {}}",
	} {
		if !holds(t, out, want) {
			t.Errorf("%s isn't in\n%s", want, out)
		}
	}
	if n := strings.Count(out, "kueue.x-k8s.io/queue-name: ci"); n != 2 {
		t.Errorf("the label is in %d places: want the Job's metadata and the pod's", n)
	}
	var said []string
	for _, n := range notes {
		said = append(said, n.Key)
	}
	const p = "config.pod-spec-patch."
	want := []string{p + "automountServiceAccountToken", p + "containers[agent]", p + "containers[container-0].image", p + "containers[proxy]", p + "initContainers[copy-agent]", "config.unheard-of"}
	if fmt.Sprint(said) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", said, want)
	}
}

func TestNoValues(t *testing.T) {
	for _, doc := range []string{"", "a: b", "[1]", "config: {tags: [queue=a]}\nconfig: {}", "config: {poll-interval: soon}", strings.Repeat("#", 2<<20)} {
		if out, _, err := Import([]byte(doc)); err == nil {
			t.Errorf("%.40q became %s", doc, out)
		}
	}
}
