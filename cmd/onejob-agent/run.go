package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/buildkite/agent/v3/version"
	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/build"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/launcher"
	"github.com/onejob-dev/onejob/launcher/cgroup"
	"github.com/onejob-dev/onejob/launcher/container"
	"github.com/onejob-dev/onejob/logging"
	"github.com/onejob-dev/onejob/signals"
)

// run parses args, runs the job and returns the exit code. Signals come in
// through watch.
func run(args []string, watch *signals.Watcher) int {
	f := newFlags()
	code := contract.ExitOK
	app := f.app()
	app.Action = func(c *cli.Context) error {
		code = f.main(c, watch)
		return nil
	}
	// Errors of the command line's parser never reach the action.
	if err := app.Run(args); err != nil {
		code = f.refuse(slog.Default(), err)
	}
	return code
}

// main runs the job that the flags describe.
func (f *flags) main(c *cli.Context, watch *signals.Watcher) int {
	f.options.Read(c)
	look := logging.Options{Format: f.options.LogFormat, Level: f.options.LogLevel, NoColor: f.options.NoColor}
	if !c.IsSet("log-format") {
		look.Format = ""
	}
	if f.options.Debug {
		look.Level = "debug"
	}
	log := logging.New(os.Stderr, look)
	fillHome(watch.Stop, log)
	runner, err := launcher.Beside("onejob-run")
	if err == nil { // else config says it
		f.runner, f.started = runner, launcher.Start(runner, os.Environ())
	}
	conf, err := f.config(c, log, err)
	if err != nil {
		return f.refuse(log, err)
	}
	if look.Format == "" && !logging.Terminal(os.Stderr) {
		conf.Options.LogFormat = "json" // for the child, whose log goes to the same place
	}

	conf.Known = func(msg contract.Message) { f.write(log, msg) }
	msg := launcher.Run(watch, conf)
	f.leave(log, msg)
	return msg.ExitCode
}

// fillHome copies the image's home into the job's home, and changes into the job's home
// if it was in the image's. An error is only logged, because the job may not need the
// files.
func fillHome(ctx context.Context, log *slog.Logger) {
	image, home := os.Getenv(contract.EnvImageHome), os.Getenv("HOME")
	begin := time.Now()
	h, err := launcher.CopyHome(ctx, image, home)
	if err != nil && ctx.Err() == nil {
		log.Warn("couldn't copy the image's home", "err", err)
	}
	if h.Files > 0 {
		log.Info("copied the image's home", "from", image, "to", home, "files", h.Files, "bytes", h.Bytes, "took", time.Since(begin).Round(time.Millisecond))
	}
	if warning := h.Warning(os.Getuid()); warning != "" {
		log.Warn("a part of the image's home is hidden", "hint", warning)
	}
	if dir, err := os.Getwd(); err == nil && image != "" && dir == filepath.Clean(image) {
		if err := os.Chdir(home); err != nil {
			log.Warn("couldn't change to the job's home", "err", err)
		}
	}
}

// config validates everything that can be checked before Buildkite is asked, and
// reports all errors, with what is known to be wrong already.
func (f *flags) config(c *cli.Context, log *slog.Logger, known error) (launcher.Config, error) {
	errs := []error{known}
	id, err := f.jobID(c)
	errs = append(errs, err)
	f.id = id
	token, err := f.token()
	errs = append(errs, err, f.options.Validate(), f.contractVersion(), notOffered(log))
	warning, err := f.options.CheckAgent()
	errs = append(errs, err)
	if warning != "" {
		log.Warn("the agent that runs jobs is of another version", "hint", warning)
	}
	budget, err := launcher.NewBudget(f.grace, f.options.CancelGracePeriod, f.options.SignalGracePeriodSeconds, f.onTerm == "drain")
	errs = append(errs, err, contract.CheckLeastGrace(f.leastSecs))
	budget.Least = time.Duration(f.leastSecs) * time.Second
	if f.onTerm != "cancel" && f.onTerm != "drain" {
		errs = append(errs, fmt.Errorf("on-term is %q: it must be cancel or drain", f.onTerm))
	}
	if err := f.acquire.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("acquiring: %w", err))
	}
	stepDir := os.Getenv(contract.EnvStepDir)
	step, agent, err := launcher.HoldStep(stepDir, os.Getenv(contract.EnvStepPrograms) != "")
	errs = append(errs, err)
	hold, err := launcher.NewHold(os.Getenv, shown(stepDir, os.Getenv(contract.EnvCommands)))
	errs = append(errs, err)
	if stepDir != "" && hold.Most > 0 {
		errs = append(errs, container.AskToStay(stepDir))
	}
	err = errors.Join(errs...)
	if err == nil {
		err = f.options.MakeBuildPath()
	}
	if err != nil {
		return launcher.Config{}, err
	}
	return launcher.Config{
		JobID: id, Attempt: f.attempt, Image: f.image, ImageUnknown: f.image == "" && f.contract != 0, Token: token, Options: f.options, Budget: budget,
		Acquire: f.acquire, Register: acquire.DefaultRegister, Runner: f.runner, Started: f.started, StepDir: stepDir, Step: step, StepAgent: agent, Commands: os.Getenv(contract.EnvCommands), CheckoutEnv: os.Getenv(contract.EnvCheckoutEnv), Described: stepDir != "" && os.Getenv(contract.EnvPlugin) != "", Environ: os.Environ(),
		UserAgent:        version.UserAgent() + " onejob-agent/" + build.String(),
		LocalTraceparent: launcher.TraceparentSet(c),
		Transport:        acquire.NewTransport(!f.options.NoHTTP2),
		Rand:             acquire.NewRand(rand.Uint64()), //nolint:gosec // jitter
		Log:              log,
		Use:              cgroup.UseOfPod,
		Hold:             hold,
		Forget: func() error {
			return container.Forget(id.String(), os.TempDir(), stepDir, f.options.BuildPath)
		},
	}, nil
}

// shown is the container to look into: the command's, or the first of several.
func shown(stepDir, commands string) string {
	several := contract.ParseCommands(commands)
	switch {
	case stepDir == "":
		return contract.AgentContainer
	case len(several) > 0:
		return contract.CommandName(several[0].Name, len(several) > 1)
	}
	return contract.CommandContainer
}

// jobID reads the job's ID from the argument or the environment.
func (f *flags) jobID(c *cli.Context) (contract.JobID, error) {
	given := os.Getenv(contract.EnvJobID)
	switch c.NArg() {
	case 0:
		if given == "" {
			return "", fmt.Errorf("no job ID: give it as the argument or in %s", contract.EnvJobID)
		}
	case 1:
		given = c.Args().First()
	default:
		return "", fmt.Errorf("%d arguments, where one job ID is expected: %q", c.NArg(), c.Args().Slice())
	}
	return contract.ParseJobID(given)
}

// token reads the agent token from its file or the environment, and removes it from the
// environment, so that no library and no program that is started finds it there.
func (f *flags) token() (string, error) {
	token, from := os.Getenv(contract.EnvToken), contract.EnvToken
	os.Unsetenv(contract.EnvToken) //nolint:errcheck // the name is good
	if f.tokenFile != "" {
		b, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return "", fmt.Errorf("token-file: %w", err)
		}
		if f.tokenFile == f.ownToken { // made for us alone, and before any job
			if err := os.Remove(f.tokenFile); err != nil {
				return "", fmt.Errorf("the agent token can't be deleted where the job could read it: %w", err)
			}
		}
		token, from = string(b), "the file "+f.tokenFile
	} else if token == "" {
		return "", fmt.Errorf("no agent token: set %s, or --token-file to a file that has it", contract.EnvToken)
	}
	return contract.ParseToken(token, from)
}

// notOffered refuses variables of the agent that onejob-agent doesn't support, if
// without them a job would run that the stock agent refuses. It warns about the others.
func notOffered(log *slog.Logger) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(launcher.NotOffered)) {
		o := launcher.NotOffered[name]
		switch {
		case os.Getenv(o.Env) == "" || o.Env == contract.EnvJobID || o.Env == contract.EnvToken:
		case name == "config" || name == "signing-aws-kms-key" || name == "signing-gcp-kms-key":
			errs = append(errs, fmt.Errorf("%s is set, which isn't offered: %s", o.Env, o.Reason))
		default:
			log.Warn("a variable of the agent has no effect here", "variable", o.Env, "reason", o.Reason)
		}
	}
	return errors.Join(errs...)
}

// errContract is the refusal of a pod of a scheduler's of another release.
var errContract = errors.New("use an image of the scheduler's release")

// contractVersion refuses a scheduler that speaks another version of the pod
// contract.
func (f *flags) contractVersion() error {
	if f.contract < 0 || f.contract > contract.Newest {
		return fmt.Errorf("the scheduler speaks version %d of the pod contract, this onejob-agent %s speaks versions %d to %d: %w",
			f.contract, build.String(), contract.Version, contract.Newest, errContract)
	}
	return nil
}

// refuse reports what is wrong with the settings or with this pod, in the log and the
// termination message.
func (f *flags) refuse(log *slog.Logger, err error) int {
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintln(os.Stderr, "onejob-agent:", line)
	}
	fmt.Fprintln(os.Stderr, "onejob-agent: nothing was registered; `onejob-agent --help` shows every setting")
	outcome := contract.OutcomeConfig
	switch {
	case errors.Is(err, errContract): // what else is wrong may be only a variable of the other release's
		outcome = contract.OutcomeContract
	case errors.Is(err, launcher.ErrUnready):
		outcome = contract.OutcomeUnready
	}
	msg := contract.Message{
		JobID: f.id, Attempt: f.attempt, Outcome: outcome, ExitCode: outcome.ExitCode(),
		Reason: strings.ReplaceAll(err.Error(), "\n", "; "),
	}
	f.write(log, msg)
	return msg.ExitCode
}

// leave reports the outcome of the job, in the log and the termination message.
func (f *flags) leave(log *slog.Logger, msg contract.Message) {
	level := slog.LevelInfo
	if msg.Outcome != contract.OutcomeFinished {
		level = slog.LevelError
	}
	log.Log(context.Background(), level, "done", "job_id", msg.JobID, "outcome", msg.Outcome, "exit_code", msg.ExitCode, "reason", msg.Reason)
	f.write(log, msg)
}

// write writes the termination message.
func (f *flags) write(log *slog.Logger, msg contract.Message) {
	if err := launcher.WriteMessage(msg, f.messagePath); err != nil {
		log.Error("no termination message", "err", err)
	}
}
