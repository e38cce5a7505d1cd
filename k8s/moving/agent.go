package moving

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/onejob-dev/onejob/k8s/steps"
)

// agentRows are the agent's settings: variables of the runner, by the names of the stock
// agent's flags.
var agentRows = map[string]row{
	"config.agent-config.endpoint":                        toTop("endpoint"),
	"config.agent-config.no-http2":                        toEnv("BUILDKITE_NO_HTTP2"),
	"config.agent-config.experiment":                      toEnv("BUILDKITE_AGENT_EXPERIMENT"),
	"config.agent-config.shell":                           toEnv("BUILDKITE_SHELL"),
	"config.agent-config.no-color":                        toEnv("BUILDKITE_AGENT_NO_COLOR"),
	"config.agent-config.strict-single-hooks":             toEnv("BUILDKITE_STRICT_SINGLE_HOOKS"),
	"config.agent-config.no-multipart-artifact-upload":    toEnv("BUILDKITE_NO_MULTIPART_ARTIFACT_UPLOAD"),
	"config.agent-config.trace-context-encoding":          toEnv("BUILDKITE_TRACE_CONTEXT_ENCODING"),
	"config.agent-config.tracing-backend":                 toEnv("BUILDKITE_TRACING_BACKEND"),
	"config.agent-config.tracing-service-name":            toEnv("BUILDKITE_TRACING_SERVICE_NAME"),
	"config.agent-config.telemetry-service-name":          toEnv("BUILDKITE_TRACING_SERVICE_NAME"),
	"config.agent-config.tracing-propagate-traceparent":   toEnv("BUILDKITE_TRACING_PROPAGATE_TRACEPARENT"),
	"config.agent-config.disable-warnings-for":            toEnv("BUILDKITE_AGENT_DISABLE_WARNINGS_FOR"),
	"config.agent-config.debug-signing":                   toEnv("BUILDKITE_AGENT_DEBUG_SIGNING"),
	"config.agent-config.git-skip-fetch-existing-commits": toEnv("BUILDKITE_GIT_SKIP_FETCH_EXISTING_COMMITS"),
	"config.agent-config.container-start-timeout":         no("the runner takes the job when all containers are there: pending-timeout is for a pod that doesn't start"),
	"config.agent-config.no-pty":                          toEnv("BUILDKITE_NO_PTY"),
	"config.agent-config.no-command-eval":                 toEnv("BUILDKITE_NO_COMMAND_EVAL"),
	"config.agent-config.no-local-hooks":                  toEnv("BUILDKITE_NO_LOCAL_HOOKS"),
	"config.agent-config.no-plugins":                      toEnv("BUILDKITE_NO_PLUGINS"),
	"config.agent-config.plugin-validation": func(m *mover, _ string, v any) {
		m.env("BUILDKITE_NO_PLUGIN_VALIDATION", v != true)
	},
	"config.agent-config.signing-jwks-file":             toEnv("BUILDKITE_AGENT_SIGNING_JWKS_FILE"),
	"config.agent-config.signing-jwks-key-id":           toEnv("BUILDKITE_AGENT_SIGNING_JWKS_KEY_ID"),
	"config.agent-config.signingJWKSVolume":             signing,
	"config.agent-config.verification-jwks-file":        toEnv("BUILDKITE_AGENT_VERIFICATION_JWKS_FILE"),
	"config.agent-config.verification-failure-behavior": toEnv("BUILDKITE_AGENT_JOB_VERIFICATION_NO_SIGNATURE_BEHAVIOR"),
	"config.agent-config.verificationJWKSVolume":        jwks("/buildkite/verification-jwks", "BUILDKITE_AGENT_VERIFICATION_JWKS_FILE"),
	"config.agent-config.hooks-path":                    toEnv("BUILDKITE_HOOKS_PATH"),
	"config.agent-config.hooksVolume":                   volumeAt("/workspace/hooks", "BUILDKITE_HOOKS_PATH"),
	"config.agent-config.additional-hooks-paths":        words(hooksPaths),
	"config.agent-config.additional-hooks":              mappings(additionalHooks),
	"config.agent-config.plugins-path":                  no("plugins are in the job's home; a shared folder of plugins would fill up (docs/limits.md)"),
	"config.agent-config.pluginsVolume":                 no("plugins are in the job's home; a shared folder of plugins would fill up (docs/limits.md)"),
}

// signing: a command that uploads a pipeline signs it.
func signing(m *mover, key string, v any) {
	jwks("/buildkite/signing-jwks", "BUILDKITE_AGENT_SIGNING_JWKS_FILE")(m, key, v)
	if !isVolume(v) {
		return
	}
	dir := path.Dir(m.given("BUILDKITE_AGENT_SIGNING_JWKS_FILE"))
	volume, _ := v.(map[string]any)
	m.add(m.defaultsAt("commandParams"), "extraVolumeMounts", []any{map[string]any{"name": volume["name"], "mountPath": dir, "readOnly": true}})
}

// volumeAt mounts a volume at the folder that a variable has, or else at one of its own.
func volumeAt(byDefault, variable string) row {
	return volume(func(m *mover, _ string, v any) {
		at := m.given(variable)
		if at == "" {
			at = byDefault
		}
		m.mounted(v, at)
		m.env(variable, at)
	})
}

func additionalHooks(m *mover, key string, v any) {
	for _, hook := range containersOf(v) {
		if !isWord(hook["path"]) || !isVolume(hook["volume"]) {
			m.unread(key, v)
			return
		}
		at := text(hook["path"])
		m.mounted(hook["volume"], at)
		hooksPaths(m, key, at)
	}
}

func hooksPaths(m *mover, _ string, v any) {
	paths := text(v)
	if has := m.given("BUILDKITE_ADDITIONAL_HOOKS_PATHS"); has != "" {
		paths = has + "," + paths
	}
	m.env("BUILDKITE_ADDITIONAL_HOOKS_PATHS", paths)
}

// paramRows are the defaults of checkout, commands and sidecars, which a queue has by the
// same names.
var paramRows = map[string]row{
	"config.default-checkout-params.skip":                   toDefault("checkout", "skip"),
	"config.default-checkout-params.checkoutFlags":          toDefault("checkout", "checkoutFlags"),
	"config.default-checkout-params.cleanFlags":             toDefault("checkout", "cleanFlags"),
	"config.default-checkout-params.cloneFlags":             toDefault("checkout", "cloneFlags"),
	"config.default-checkout-params.fetchFlags":             toDefault("checkout", "fetchFlags"),
	"config.default-checkout-params.noSubmodules":           toDefault("checkout", "noSubmodules"),
	"config.default-checkout-params.submoduleCloneConfig":   toDefault("checkout", "submoduleCloneConfig"),
	"config.default-checkout-params.gitMirrors.path":        toDefault("checkout", "gitMirrors", "path"),
	"config.default-checkout-params.gitMirrors.volume":      toDefault("checkout", "gitMirrors", "volume"),
	"config.default-checkout-params.gitMirrors.cloneFlags":  toDefault("checkout", "gitMirrors", "cloneFlags"),
	"config.default-checkout-params.gitMirrors.lockTimeout": toDefault("checkout", "gitMirrors", "lockTimeout"),
	"config.default-checkout-params.gitMirrors.skipUpdate":  toDefault("checkout", "gitMirrors", "skipUpdate"),
	"config.default-checkout-params.gitCredentialsSecret":   toDefault("checkout", "gitCredentialsSecret"),
	"config.default-checkout-params.envFrom":                toDefault("checkout", "envFrom"),
	"config.default-checkout-params.extraVolumeMounts":      toDefault("checkout", "extraVolumeMounts"),
	"config.default-command-params.interposer":              toDefault("commandParams", "interposer"),
	"config.default-command-params.envFrom":                 toDefault("commandParams", "envFrom"),
	"config.default-command-params.extraVolumeMounts":       toDefault("commandParams", "extraVolumeMounts"),
	"config.default-sidecar-params.envFrom":                 toDefault("sidecarParams", "envFrom"),
	"config.default-sidecar-params.extraVolumeMounts":       toDefault("sidecarParams", "extraVolumeMounts"),
}

// toDefault is a key that step-defaults has, too, at a place in it. What is no such value
// there is named.
func toDefault(place ...string) row {
	return func(m *mover, key string, v any) {
		alone := v
		for _, name := range slices.Backward(place) {
			alone = map[string]any{name: alone}
		}
		doc, err := json.Marshal(alone)
		if err == nil {
			_, err = steps.ParseSetting(doc)
		}
		_, isList := v.([]any)
		hasNull := isList && !isMappings(v) && !isWords(v)
		if err != nil || hasNull {
			m.unread(key, v)
			return
		}
		to, last := m.defaultsAt(place[:len(place)-1]...), place[len(place)-1]
		if isList {
			m.add(to, last, v)
			return
		}
		to[last] = v
	}
}

// defaultsAt is a place in step-defaults.
func (m *mover) defaultsAt(place ...string) map[string]any {
	at := m.defaults
	for _, name := range place {
		below, _ := at[name].(map[string]any)
		if below == nil {
			below = map[string]any{}
			at[name] = below
		}
		at = below
	}
	return at
}

// seconds is a duration there, and a number here.
func seconds(m *mover, key string, v any, field string) {
	d, err := time.ParseDuration(text(v))
	if err != nil {
		m.note(key, fmt.Sprintf("%q is no duration", text(v)))
		return
	}
	m.job[field] = int64(d.Seconds())
}
