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
		CheckoutOverrideMode:         mode.RestrictedForCommandEval(!o.NoCommandEval),
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
	checkout(&conf, o)
	return conf, allowLists(&conf, o)
}

// checkout sets how the job gets its repository.
func checkout(conf *agent.AgentConfiguration, o launcher.Options) {
	conf.GitMirrorsPath = o.GitMirrorsPath
	conf.GitMirrorCheckoutMode = o.GitMirrorCheckoutMode
	conf.GitMirrorsLockTimeout = o.GitMirrorsLockTimeout
	conf.GitMirrorsSkipUpdate = o.GitMirrorsSkipUpdate
	conf.GitCheckoutFlags = o.GitCheckoutFlags
	conf.GitCheckoutTimeout = o.GitCheckoutTimeout
	conf.GitCloneFlags = o.GitCloneFlags
	conf.GitCloneMirrorFlags = o.GitCloneMirrorFlags
	conf.GitCleanFlags = o.GitCleanFlags
	conf.GitCommitVerification = o.GitCommitVerification
	conf.GitFetchFlags = o.GitFetchFlags
	conf.GitSparseCheckoutPaths = o.GitSparseCheckoutPaths
	conf.GitSubmodules = !o.NoGitSubmodules
	conf.GitSubmoduleCloneConfig = o.GitSubmoduleCloneConfig
	conf.SkipCheckout = o.SkipCheckout
	conf.GitSkipFetchExistingCommits = o.GitSkipFetchExistingCommits
	conf.CheckoutAttempts = o.CheckoutAttempts
	conf.SSHKeyscan = !o.NoSSHKeyscan
	// Its type is internal to the agent; a string constant converts.
	if o.GitSparseCheckoutMode == "no-cone" {
		conf.GitSparseCheckoutMode = "no-cone"
	} else {
		conf.GitSparseCheckoutMode = "cone"
	}
}

// allowLists compiles the patterns of what a job may use.
func allowLists(conf *agent.AgentConfiguration, o launcher.Options) error {
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
				return err
			}
			*list.to = append(*list.to, re)
		}
	}
	return nil
}

func allowedVariables(o launcher.Options) []string {
	if !o.EnableEnvironmentVariableAllowList {
		return nil
	}
	return append(setByBuildkite, o.AllowedEnvironmentVariables...)
}

// withoutTerminal reports whether the bootstrap gets no terminal of its own; the job's
// commands get theirs from the bootstrap. Without ANSI timestamps JobRunner puts a pipe
// beside the log and closes it when the process ends. Output that is still in the
// terminal would be lost.
func withoutTerminal(o launcher.Options) bool { return !o.NoPTY && o.NoANSITimestamps }

// bootstrap is the command that runs the job. It adds what JobRunner would not pass on:
// the experiments, which JobRunner takes from a context that only the agent's own main
// can make, and that the job's commands have a terminal. A warning is printed first.
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
