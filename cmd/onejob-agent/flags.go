package main

import (
	"fmt"
	"slices"
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
	ownToken    string // the tokenFile that was made for us alone
	messagePath string
	grace       time.Duration
	graceSecs   int
	leastSecs   int
	onTerm      string
	image       string
	attempt     int
	contract    int
	id          contract.JobID
	runner      string
	started     *launcher.Started
}

func newFlags() *flags {
	return &flags{acquire: acquire.DefaultAcquire, ownToken: contract.SecretsToken}
}

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
   28  the job was still locked after the last attempt
   70  acquired, but its end was not reported; or refused, because of its signature, a
       hook, or an image or plugin of the step that this pod doesn't support
   75  no usable answer (network, 429, 5xx, a proxy's page), or an untrusted endpoint; or a
       failed agent-startup hook, no tags, no folder for builds
   77  the token, the registration or the connection was refused
   78  bad flags, environment, keys, job ID or contract version
  143  stopped by SIGTERM before the job was acquired (130: SIGINT, 131: SIGQUIT)

The termination message has the same, with the reason, as JSON.`

func (f *flags) app() *cli.App {
	app := cli.NewApp()
	app.Name = "onejob-agent"
	app.Usage = "run one Buildkite job"
	app.UsageText = "onejob-agent [options] JOB_ID"
	app.ArgsUsage = "JOB_ID"
	app.Description = description
	app.Version = fmt.Sprintf("%s (agent %s, pod contract %d)", build.String(), version.Version(), contract.Newest)
	app.HideHelpCommand = true
	app.UseShortOptionHandling = true
	app.Flags = append(f.own(), f.options.Flags()...)
	// run handles errors and exit codes.
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
	return slices.Concat(f.podFlags(), f.acquireFlags(), f.stopFlags())
}

// podFlags are about the pod around the runner.
func (f *flags) podFlags() []cli.Flag {
	const category = "Pod"
	return []cli.Flag{
		&cli.StringFlag{
			Name: "token-file", EnvVars: []string{contract.EnvTokenFile}, Destination: &f.tokenFile, Category: category,
			Usage: "read the agent token from this `FILE` instead of BUILDKITE_AGENT_TOKEN; a job of the same user can read it too",
		},
		&cli.StringFlag{
			Name: "termination-message-path", EnvVars: []string{contract.EnvTerminationMessagePath}, Destination: &f.messagePath, Category: category,
			Usage: "write the termination message to this `FILE`", DefaultText: contract.DefaultTerminationMessagePath + ", if that file exists",
		},
		&cli.StringFlag{
			Name: "image", EnvVars: []string{contract.EnvImage}, Destination: &f.image, Category: category,
			Usage: "the `IMAGE` that a step may ask for with image:. A step that asks for another image is refused; without this flag, every step that asks for one is refused",
		},
		&cli.IntFlag{
			Name: "attempt", EnvVars: []string{contract.EnvAttempt}, Destination: &f.attempt, Category: category,
			Usage: "the number of this attempt, for the termination message",
		},
		&cli.IntFlag{
			Name: "contract-version", EnvVars: []string{contract.EnvContractVersion}, Destination: &f.contract, Category: category,
			Usage: "the scheduler's version of the pod contract", Hidden: true,
		},
	}
}

// acquireFlags are the policy for getting the job.
func (f *flags) acquireFlags() []cli.Flag {
	const category = "Acquiring"
	return []cli.Flag{
		&cli.IntFlag{
			Name: "acquire-attempts", EnvVars: []string{"ONEJOB_ACQUIRE_ATTEMPTS"}, Destination: &f.acquire.Attempts, Category: category,
			Usage: "how many times to ask for the job", Value: f.acquire.Attempts,
		},
		&cli.DurationFlag{
			Name: "acquire-backoff-base", EnvVars: []string{"ONEJOB_ACQUIRE_BACKOFF_BASE"}, Destination: &f.acquire.Base, Category: category,
			Usage: "the first wait; each further wait is twice as long", Value: f.acquire.Base,
		},
		&cli.DurationFlag{
			Name: "acquire-backoff-cap", EnvVars: []string{"ONEJOB_ACQUIRE_BACKOFF_CAP"}, Destination: &f.acquire.Cap, Category: category,
			Usage: "the longest wait, without jitter", Value: f.acquire.Cap,
		},
		&cli.DurationFlag{
			Name: "acquire-jitter-min", EnvVars: []string{"ONEJOB_ACQUIRE_JITTER_MIN"}, Destination: &f.acquire.JitterMin, Category: category,
			Usage: "the least that is added to a wait", Value: f.acquire.JitterMin,
		},
		&cli.DurationFlag{
			Name: "acquire-jitter-max", EnvVars: []string{"ONEJOB_ACQUIRE_JITTER_MAX"}, Destination: &f.acquire.JitterMax, Category: category,
			Usage: "the most that is added to a wait", Value: f.acquire.JitterMax,
		},
		&cli.DurationFlag{
			Name: "acquire-deadline", EnvVars: []string{"ONEJOB_ACQUIRE_DEADLINE"}, Destination: &f.acquire.Deadline, Category: category,
			Usage: "the time for all attempts together", Value: f.acquire.Deadline,
		},
		&cli.DurationFlag{
			Name: "acquire-timeout", EnvVars: []string{"ONEJOB_ACQUIRE_TIMEOUT"}, Destination: &f.acquire.Timeout, Category: category,
			Usage: "the timeout of one request", Value: f.acquire.Timeout,
		},
	}
}

// stopFlags are about a SIGTERM while the job runs.
func (f *flags) stopFlags() []cli.Flag {
	const category = "Stopping"
	return []cli.Flag{
		&cli.StringFlag{
			Name: "on-term", EnvVars: []string{contract.EnvOnTerm}, Destination: &f.onTerm, Value: "cancel", Category: category,
			Usage: "what SIGTERM does to a running job: cancel it, or drain: let it run as long as the grace allows",
		},
		&cli.IntFlag{
			Name: "termination-grace-seconds", EnvVars: []string{contract.EnvGrace}, Destination: &f.graceSecs, Category: category,
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
			Name: "least-grace-seconds", EnvVars: []string{contract.EnvLeastGrace}, Destination: &f.leastSecs, Category: category,
			Usage:       "the part of that time that a pod has in any case; a job that SIGTERM cancels is killed early enough to be reported within it",
			DefaultText: "all",
		},
	}
}
