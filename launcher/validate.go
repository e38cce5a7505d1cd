package launcher

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/buildkite/shellwords"
	"golang.org/x/sys/unix"

	"github.com/onejob-dev/onejob/contract"
)

// CancelSignals are the signals that the agent can cancel with, and their
// numbers.
var CancelSignals = map[string]int{
	"SIGHUP": 1, "SIGINT": 2, "SIGQUIT": 3, "SIGKILL": 9, "SIGUSR1": 10, "SIGUSR2": 12, "SIGTERM": 15,
}

// ErrUnready is why this pod can't run a job, though another may
// (contract.OutcomeUnready).
var ErrUnready = errors.New("not ready for a job")

// MakeBuildPath creates the folder for builds. If the folder can't be created or
// written, the error wraps ErrUnready, because a volume of this node may be the cause.
func (o *Options) MakeBuildPath() error {
	err := os.MkdirAll(o.BuildPath, 0o777) //nolint:gosec // the umask narrows it, as in the agent
	if err == nil {
		err = unix.Access(o.BuildPath, unix.W_OK|unix.X_OK)
	}
	if err != nil {
		return fmt.Errorf("%w: the folder for builds, %s, can't be created or written by uid %d: %w", ErrUnready, o.BuildPath, os.Getuid(), err)
	}
	return nil
}

// Validate reports everything that is wrong with o, joined, and completes it: the
// bootstrap's path, the cancel signal in upper case, the agent's folders. Its errors
// would be the same for every job.
func (o *Options) Validate() error {
	errs := slices.Clone(o.faults)
	fail := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	choice := func(option, value string, of ...string) {
		if !slices.Contains(of, value) {
			fail("%s is %q: it must be one of %q", option, value, of)
		}
	}
	if err := contract.CheckEndpoint(o.Endpoint); err != nil {
		fail("endpoint: %w (BUILDKITE_AGENT_ENDPOINT)", err)
	}
	if o.BuildPath == "" {
		fail("no folder for builds: set --build-path or BUILDKITE_BUILD_PATH")
	}
	o.CancelSignal = strings.ToUpper(o.CancelSignal)
	if _, ok := CancelSignals[o.CancelSignal]; !ok {
		fail("cancel-signal is %q: it must be a signal's name, such as SIGTERM or SIGINT", o.CancelSignal)
	}
	choice("log-format", o.LogFormat, "text", "json")
	choice("log-level", o.LogLevel, "debug", "info", "notice", "warn", "error", "fatal")
	choice("checkout-override-mode", o.CheckoutOverrideMode, "none", "from-job", "strict")
	choice("git-mirror-checkout-mode", o.GitMirrorCheckoutMode, "reference", "dissociate")
	choice("git-sparse-checkout-mode", o.GitSparseCheckoutMode, "cone", "no-cone")
	choice("git-commit-verification", o.GitCommitVerification, "", "strict", "warn")
	choice("verification-failure-behavior", o.VerificationFailureBehavior, "block", "warn")
	choice("tracing-backend", o.TracingBackend, "", "datadog", "opentelemetry")
	choice("trace-context-encoding", o.TraceContextEncoding, "gob", "json")
	for _, list := range []struct {
		option   string
		patterns []string
	}{
		{"allowed-repositories", o.AllowedRepositories},
		{"allowed-plugins", o.AllowedPlugins},
		{"allowed-environment-variables", o.AllowedEnvironmentVariables},
	} {
		for _, p := range list.patterns {
			if _, err := regexp.Compile(p); err != nil {
				fail("%s: %q is not a regular expression: %w", list.option, p, err)
			}
		}
	}
	if len(o.AllowedEnvironmentVariables) > 0 && !o.EnableEnvironmentVariableAllowList {
		fail("allowed-environment-variables is set, but enable-environment-variable-allowlist isn't")
	}
	if o.Queue != "" && slices.ContainsFunc(o.Tags, func(t string) bool { return strings.HasPrefix(t, "queue=") }) {
		fail("the queue is set twice: by --queue and in --tags")
	}
	o.completeFolders()
	if err := o.findBootstrap(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// findBootstrap completes the bootstrap's command, and checks that there is
// such a program.
func (o *Options) findBootstrap() error {
	if o.BootstrapScript == "" {
		path, err := Beside("buildkite-agent")
		if err != nil {
			return fmt.Errorf("no program to run jobs with: %w; put the stock buildkite-agent there, or set --bootstrap-script", err)
		}
		o.BootstrapScript = shellwords.Quote(path) + " bootstrap"
		return nil
	}
	words, err := shellwords.Split(o.BootstrapScript)
	if err != nil || len(words) == 0 {
		return fmt.Errorf("bootstrap-script %q is not a command: %w", o.BootstrapScript, errors.Join(err))
	}
	if _, err := exec.LookPath(words[0]); err != nil {
		return fmt.Errorf("bootstrap-script: %w", err)
	}
	return nil
}

// Beside finds a program in the folder of this one, or else on PATH.
func Beside(name string) (string, error) {
	self, err := os.Executable()
	if err == nil {
		path := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 && !info.IsDir() {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither in %s nor on PATH", name, filepath.Dir(self))
	}
	return filepath.Abs(path)
}
