package jobrun

import (
	"regexp"
	"strings"
	"time"

	"github.com/buildkite/agent/v3/agent"
	"github.com/buildkite/agent/v3/env"
	"github.com/buildkite/shellwords"

	"github.com/onejob-dev/onejob/launcher"
)

// setByBuildkite are the variables that an allow-list never refuses.
var setByBuildkite = []string{"^BUILDKITE$", "^BUILDKITE_.*$", "^CI$"}

// configuration is what `buildkite-agent start` would make of the same options.
func configuration(h launcher.Handover) (agent.AgentConfiguration, error) {
	o := h.Options
	mode, err := env.ParseCheckoutOverrideMode(o.CheckoutOverrideMode)
	if err != nil {
		return agent.AgentConfiguration{}, err
	}
	conf := agent.AgentConfiguration{
		BootstrapScript:              bootstrap(o, h.Warning),
		BuildPath:                    o.BuildPath,
		HooksPath:                    o.HooksPath,
		AdditionalHooksPaths:         o.AdditionalHooksPaths,
		SocketsPath:                  o.SocketsPath,
		PluginsPath:                  o.PluginsPath,
		GitMirrorsPath:               o.GitMirrorsPath,
		GitMirrorCheckoutMode:        o.GitMirrorCheckoutMode,
		GitMirrorsLockTimeout:        o.GitMirrorsLockTimeout,
		GitMirrorsSkipUpdate:         o.GitMirrorsSkipUpdate,
		GitCheckoutFlags:             o.GitCheckoutFlags,
		GitCheckoutTimeout:           o.GitCheckoutTimeout,
		GitCloneFlags:                o.GitCloneFlags,
		GitCloneMirrorFlags:          o.GitCloneMirrorFlags,
		GitCleanFlags:                o.GitCleanFlags,
		GitCommitVerification:        o.GitCommitVerification,
		GitFetchFlags:                o.GitFetchFlags,
		GitSparseCheckoutPaths:       o.GitSparseCheckoutPaths,
		GitSubmodules:                !o.NoGitSubmodules,
		GitSubmoduleCloneConfig:      o.GitSubmoduleCloneConfig,
		SkipCheckout:                 o.SkipCheckout,
		GitSkipFetchExistingCommits:  o.GitSkipFetchExistingCommits,
		CheckoutOverrideMode:         mode.RestrictedForCommandEval(!o.NoCommandEval),
		CheckoutAttempts:             o.CheckoutAttempts,
		SSHKeyscan:                   !o.NoSSHKeyscan,
		CommandEval:                  !o.NoCommandEval,
		PluginsEnabled:               !o.NoPlugins,
		PluginValidation:             !o.NoPluginValidation,
		PluginsAlwaysCloneFresh:      o.PluginsAlwaysCloneFresh,
		LocalHooksEnabled:            !o.NoLocalHooks,
		StrictSingleHooks:            o.StrictSingleHooks,
		RunInPty:                     !o.NoPTY && !withoutTerminal(o),
		JobContextDir:                o.JobContextDir,
		SigningJWKSFile:              o.SigningJWKSFile,
		SigningJWKSKeyID:             o.SigningJWKSKeyID,
		DebugSigning:                 o.DebugSigning,
		VerificationFailureBehaviour: o.VerificationFailureBehavior,
		ANSITimestamps:               !o.NoANSITimestamps,
		TimestampLines:               o.TimestampLines,
		CancelGracePeriod:            int(h.Budget.Cancel / time.Second),
		SignalGracePeriod:            h.Budget.Signal,
		EnableJobLogTmpfile:          o.EnableJobLogTmpfile,
		JobLogPath:                   o.JobLogPath,
		WriteJobLogsToStdout:         o.WriteJobLogsToStdout,
		JobLogsOTLP:                  o.JobLogsOTLP,
		LogFormat:                    o.LogFormat,
		Shell:                        o.Shell,
		HooksShell:                   o.HooksShell,
		Profile:                      o.Profile,
		RedactedVars:                 o.RedactedVars,
		AcquireJob:                   h.JobID.String(), // else a failing job is no error
		TracingBackend:               o.TracingBackend,
		TracingServiceName:           o.TracingServiceName,
		TracingPropagateTraceparent:  o.TracingPropagateTraceparent,
		TraceContextEncoding:         o.TraceContextEncoding,
		DisableWarningsFor:           o.DisableWarningsFor,
		AllowMultipartArtifactUpload: !o.NoMultipartArtifactUpload,
		ArtifactUploadConcurrency:    o.ArtifactUploadConcurrency,
	}
	// Its type is internal to the agent; a string constant converts.
	if o.GitSparseCheckoutMode == "no-cone" {
		conf.GitSparseCheckoutMode = "no-cone"
	} else {
		conf.GitSparseCheckoutMode = "cone"
	}
	for _, list := range []struct {
		patterns []string
		to       *[]*regexp.Regexp
	}{
		{o.AllowedRepositories, &conf.AllowedRepositories},
		{o.AllowedPlugins, &conf.AllowedPlugins},
		{allowedVariables(o), &conf.AllowedEnvironmentVariables},
	} {
		for _, p := range list.patterns {
			re, err := regexp.Compile(p)
			if err != nil {
				return conf, err
			}
			*list.to = append(*list.to, re)
		}
	}
	return conf, nil
}

func allowedVariables(o launcher.Options) []string {
	if !o.EnableEnvironmentVariableAllowList {
		return nil
	}
	return append(setByBuildkite, o.AllowedEnvironmentVariables...)
}

// withoutTerminal tells that the bootstrap gets no terminal of its own; the job's
// commands get theirs from the bootstrap. Without ANSI timestamps JobRunner puts a
// pipe beside the log, which it closes when the process has ended, not when its
// terminal has been read to the end: what is still in there is lost.
func withoutTerminal(o launcher.Options) bool { return !o.NoPTY && o.NoANSITimestamps }

// bootstrap is the command that runs the job, with what JobRunner would not tell
// it: the experiments, whose list it takes from a context that only the agent's
// own main can make, and that the job's commands have a terminal. A warning goes
// into the log first.
func bootstrap(o launcher.Options, warning string) string {
	command := o.BootstrapScript
	if len(o.Experiment) > 0 {
		command = shellwords.Quote("BUILDKITE_AGENT_EXPERIMENT="+strings.Join(o.Experiment, ",")) + " " + command
	}
	if withoutTerminal(o) {
		command = "BUILDKITE_PTY=true " + command
	}
	if command != o.BootstrapScript {
		command = "/usr/bin/env " + command
	}
	if warning != "" {
		command = "/bin/sh -c " + shellwords.Quote(`printf '%s\n' "$0"; exec "$@"`) + " " + shellwords.Quote(warning) + " " + command
	}
	return command
}
