package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/buildkite/agent/v3/version"
	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/build"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/launcher"
)

// flags are the parsed command line.
type flags struct {
	options     launcher.Options
	acquire     acquire.Backoff
	tokenFile   string
	messagePath string
	grace       time.Duration
	graceSecs   int
	leastSecs   int
	onTerm      string
	image       string
	attempt     int
	contract    int
	id          contract.JobID
}

func newFlags() *flags { return &flags{acquire: acquire.DefaultAcquire} }

const description = `onejob-agent registers with Buildkite, acquires the job JOB_ID, runs it with the
stock 'buildkite-agent bootstrap', reports the result, and leaves. It is made to
be PID 1 of a pod, and works as any process.

   Run one job:
      export BUILDKITE_AGENT_TOKEN=…                  # the cluster's agent token
      onejob-agent --build-path /builds 018f0000-0000-7000-8000-00000000000a

   Let a running job end before the pod goes, as far as the grace allows:
      onejob-agent --on-term drain --termination-grace-seconds 600 …

   Wait longer for a job that is locked by a dependency:
      onejob-agent --acquire-attempts 12 --acquire-deadline 15m …

Exit status:
    0  the job ran and its result was reported, pass or fail
   27  Buildkite won't give us the job (taken, canceled, over; any 4xx)
   28  the job was still locked when the attempts ran out
   70  acquired, but not run to a reported end, or not run at all (a signature, a hook,
       an image or a plugin of the step that its pod doesn't do)
   75  no usable answer (network, 429, 5xx, a proxy's page), or an endpoint that isn't trusted
       here; or a failed agent-startup hook, no tags, no folder for builds
   77  the token, the registration or the connection was refused
   78  bad flags, environment, keys, job ID or contract version
  143  stopped by SIGTERM before the job was acquired (130: SIGINT, 131: SIGQUIT)

It leaves the same, with the reason, as JSON in the termination message.`

func (f *flags) app() *cli.App {
	app := cli.NewApp()
	app.Name = "onejob-agent"
	app.Usage = "run one Buildkite job"
	app.UsageText = "onejob-agent [options] JOB_ID"
	app.ArgsUsage = "JOB_ID"
	app.Description = description
	app.Version = fmt.Sprintf("%s (agent %s, pod contract %d)", build.String(), version.Version(), contract.Version)
	app.HideHelpCommand = true
	app.UseShortOptionHandling = true
	app.Flags = append(f.own(), f.options.Flags()...)
	// Errors and exit codes are run's own.
	app.ExitErrHandler = func(*cli.Context, error) {}
	app.OnUsageError = func(_ *cli.Context, err error, _ bool) error {
		// The parser has no type for this error.
		name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
		if o, ok := launcher.NotOffered[name]; unknown && ok {
			return fmt.Errorf("--%s isn't offered: %s", name, o.Reason)
		}
		return err
	}
	return app
}

// own are the flags that the stock agent doesn't have.
func (f *flags) own() []cli.Flag {
	const acquiring, stopping, pod = "Acquiring", "Stopping", "Pod"
	return []cli.Flag{
		&cli.StringFlag{
			Name: "token-file", EnvVars: []string{contract.EnvTokenFile}, Destination: &f.tokenFile, Category: pod,
			Usage: "read the agent token from this `FILE` instead of BUILDKITE_AGENT_TOKEN; a job of the same user can read it too",
		},
		&cli.StringFlag{
			Name: "termination-message-path", EnvVars: []string{contract.EnvTerminationMessagePath}, Destination: &f.messagePath, Category: pod,
			Usage: "leave the termination message in this `FILE`", DefaultText: contract.DefaultTerminationMessagePath + ", if it is there",
		},
		&cli.StringFlag{
			Name: "image", EnvVars: []string{contract.EnvImage}, Destination: &f.image, Category: pod,
			Usage: "the `IMAGE` that a step may ask for with image: a step that asks for another is refused, without this flag each that asks for one",
		},
		&cli.IntFlag{
			Name: "attempt", EnvVars: []string{contract.EnvAttempt}, Destination: &f.attempt, Category: pod,
			Usage: "the number of this attempt, for the termination message",
		},
		&cli.IntFlag{
			Name: "contract-version", EnvVars: []string{contract.EnvContractVersion}, Destination: &f.contract, Category: pod,
			Usage: "the scheduler's version of the pod contract", Hidden: true,
		},
		&cli.IntFlag{
			Name: "acquire-attempts", EnvVars: []string{"ONEJOB_ACQUIRE_ATTEMPTS"}, Destination: &f.acquire.Attempts, Category: acquiring,
			Usage: "how often the job is asked for", Value: f.acquire.Attempts,
		},
		&cli.DurationFlag{
			Name: "acquire-backoff-base", EnvVars: []string{"ONEJOB_ACQUIRE_BACKOFF_BASE"}, Destination: &f.acquire.Base, Category: acquiring,
			Usage: "the first wait; each further one is twice as long", Value: f.acquire.Base,
		},
		&cli.DurationFlag{
			Name: "acquire-backoff-cap", EnvVars: []string{"ONEJOB_ACQUIRE_BACKOFF_CAP"}, Destination: &f.acquire.Cap, Category: acquiring,
			Usage: "the longest wait, jitter apart", Value: f.acquire.Cap,
		},
		&cli.DurationFlag{
			Name: "acquire-jitter-min", EnvVars: []string{"ONEJOB_ACQUIRE_JITTER_MIN"}, Destination: &f.acquire.JitterMin, Category: acquiring,
			Usage: "the least that is added to a wait", Value: f.acquire.JitterMin,
		},
		&cli.DurationFlag{
			Name: "acquire-jitter-max", EnvVars: []string{"ONEJOB_ACQUIRE_JITTER_MAX"}, Destination: &f.acquire.JitterMax, Category: acquiring,
			Usage: "the most that is added to a wait", Value: f.acquire.JitterMax,
		},
		&cli.DurationFlag{
			Name: "acquire-deadline", EnvVars: []string{"ONEJOB_ACQUIRE_DEADLINE"}, Destination: &f.acquire.Deadline, Category: acquiring,
			Usage: "the time for all attempts together", Value: f.acquire.Deadline,
		},
		&cli.DurationFlag{
			Name: "acquire-timeout", EnvVars: []string{"ONEJOB_ACQUIRE_TIMEOUT"}, Destination: &f.acquire.Timeout, Category: acquiring,
			Usage: "the time for one request", Value: f.acquire.Timeout,
		},
		&cli.StringFlag{
			Name: "on-term", EnvVars: []string{contract.EnvOnTerm}, Destination: &f.onTerm, Value: "cancel", Category: stopping,
			Usage: "what SIGTERM does to a running job: cancel it, or drain: let it run as long as the grace allows",
		},
		&cli.IntFlag{
			Name: "termination-grace-seconds", EnvVars: []string{contract.EnvGrace}, Destination: &f.graceSecs, Category: stopping,
			Usage:       "the time from SIGTERM to SIGKILL: the pod's terminationGracePeriodSeconds",
			DefaultText: "the cancel grace period and a second",
			Action: func(_ *cli.Context, n int) error {
				if n < 0 || n > 1<<30 {
					return fmt.Errorf("termination-grace-seconds is %d: it must be between 0 and 2^30", n)
				}
				f.grace = time.Duration(n) * time.Second
				return nil
			},
		},
		&cli.IntFlag{
			Name: "least-grace-seconds", EnvVars: []string{contract.EnvLeastGrace}, Destination: &f.leastSecs, Category: stopping,
			Usage:       "what there is of that time at the least: a running job that SIGTERM cancels is killed early enough to be reported in it",
			DefaultText: "all",
		},
	}
}
