package moving

import (
	"fmt"
	"time"

	"github.com/onejob-dev/onejob/contract"
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
	"config.agent-config.signingJWKSVolume":             jwks("/buildkite/signing-jwks", "BUILDKITE_AGENT_SIGNING_JWKS_FILE"),
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

// everyJob is said where a Secret was the checkout's alone.
const everyJob = "it is in the configuration, for the container that checks out; mind that a step without an image of its own runs its command there, too, and can read it"

// paramRows are the defaults of checkout, commands and sidecars.
var paramRows = map[string]row{
	"config.default-checkout-params.skip":                   toEnv("BUILDKITE_SKIP_CHECKOUT"),
	"config.default-checkout-params.checkoutFlags":          toEnv("BUILDKITE_GIT_CHECKOUT_FLAGS"),
	"config.default-checkout-params.cleanFlags":             toEnv("BUILDKITE_GIT_CLEAN_FLAGS"),
	"config.default-checkout-params.cloneFlags":             toEnv("BUILDKITE_GIT_CLONE_FLAGS"),
	"config.default-checkout-params.fetchFlags":             toEnv("BUILDKITE_GIT_FETCH_FLAGS"),
	"config.default-checkout-params.noSubmodules":           toEnv("BUILDKITE_NO_GIT_SUBMODULES"),
	"config.default-checkout-params.submoduleCloneConfig":   toEnv("BUILDKITE_GIT_SUBMODULE_CLONE_CONFIG"),
	"config.default-checkout-params.gitMirrors.path":        toEnv("BUILDKITE_GIT_MIRRORS_PATH"),
	"config.default-checkout-params.gitMirrors.volume":      volumeAt("/buildkite/git-mirrors", "BUILDKITE_GIT_MIRRORS_PATH"),
	"config.default-checkout-params.gitMirrors.cloneFlags":  toEnv("BUILDKITE_GIT_CLONE_MIRROR_FLAGS"),
	"config.default-checkout-params.gitMirrors.lockTimeout": toEnv("BUILDKITE_GIT_MIRRORS_LOCK_TIMEOUT"),
	"config.default-checkout-params.gitMirrors.skipUpdate":  toEnv("BUILDKITE_GIT_MIRRORS_SKIP_UPDATE"),
	"config.default-checkout-params.gitCredentialsSecret":   mapping(credentials),
	"config.default-checkout-params.envFrom": mappings(func(m *mover, key string, v any) {
		m.add(m.agent, "envFrom", v)
		m.note(key, everyJob)
	}),
	"config.default-checkout-params.extraVolumeMounts": mappings(func(m *mover, _ string, v any) { m.add(m.agent, "volumeMounts", v) }),
	"config.default-command-params.interposer":         no("it is buildkite for every queue: a step that wants another says so in commandParams"),
	"config.default-command-params.envFrom":            mappings(func(m *mover, _ string, v any) { m.add(m.agent, "envFrom", v) }),
	"config.default-command-params.extraVolumeMounts":  mappings(func(m *mover, _ string, v any) { m.add(m.agent, "volumeMounts", v) }),
	"config.default-sidecar-params.envFrom":            no("sidecars are the template's, each with its own variables"),
	"config.default-sidecar-params.extraVolumeMounts":  no("sidecars are the template's, each with its own mounts"),
}

// credentials: git reads the file where it is mounted, by its configuration in variables.
func credentials(m *mover, key string, v any) {
	m.mounted(map[string]any{"name": "git-credentials", "secret": v}, "/buildkite/git-credentials")
	m.env("GIT_CONFIG_COUNT", 1)
	m.env("GIT_CONFIG_KEY_0", "credential.helper")
	m.env("GIT_CONFIG_VALUE_0", contract.GitCredentials("/buildkite/git-credentials/.git-credentials"))
	m.note(key, everyJob)
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
