package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/simulator"
)

// options are the flags, each with an environment variable ONEJOB_SIM_<NAME>.
type options struct {
	listen, readyFile             string
	token, tokenFile              string
	pipelines, queues             []string
	slug, repo, branch, commit    string
	queue                         string
	heartbeatTimeout, reservation time.Duration
	interval                      int
	seed                          uint64
	noLimits, verbose             bool
}

func (o *options) flags() []cli.Flag {
	env := func(name string) []string {
		return []string{"ONEJOB_SIM_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))}
	}
	text := func(name, value, usage string, into *string) cli.Flag {
		return &cli.StringFlag{Name: name, Value: value, Usage: usage, EnvVars: env(name), Destination: into}
	}
	span := func(name string, value time.Duration, usage string, into *time.Duration) cli.Flag {
		return &cli.DurationFlag{Name: name, Value: value, Usage: usage, EnvVars: env(name), Destination: into}
	}
	flag := func(name, usage string, into *bool) cli.Flag {
		return &cli.BoolFlag{Name: name, Usage: usage, EnvVars: env(name), Destination: into}
	}
	return []cli.Flag{
		text("listen", "127.0.0.1:8080", "`ADDRESS` to serve on; port 0 picks a free one", &o.listen),
		text("ready-file", "", "write the base URL to `FILE` once it is served", &o.readyFile),
		text("token", simulator.DefaultAgentToken, "the agent registration `TOKEN`", &o.token),
		text("token-file", "", "read the token from `FILE` instead", &o.tokenFile),
		&cli.StringSliceFlag{Name: "pipeline", Usage: "create a build from the pipeline.yml `FILE`; repeatable", EnvVars: env("pipeline")},
		text("slug", "demo", "`SLUG` of the builds' pipeline", &o.slug),
		text("repo", "", "`URL` of the repository that jobs check out", &o.repo),
		text("branch", "main", "the builds' `BRANCH`", &o.branch),
		text("commit", "HEAD", "the builds' `COMMIT`", &o.commit),
		text("queue", "default", "`QUEUE` of steps that name none", &o.queue),
		&cli.StringSliceFlag{Name: "queues", Usage: "the only `QUEUES` that exist; any by default", EnvVars: env("queues")},
		span("heartbeat-timeout", 3*time.Minute, "an agent silent for so long is lost", &o.heartbeatTimeout),
		span("reservation", 900*time.Second, "life of a reservation that names none", &o.reservation),
		&cli.IntFlag{Name: "interval", Value: 1, Usage: "ping, heartbeat and job status interval, in `SECONDS`", EnvVars: env("interval"), Destination: &o.interval},
		&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` that makes IDs and faults reproducible; by default one at random", EnvVars: env("seed"), Destination: &o.seed},
		flag("no-rate-limits", "switch the Stacks API's rate limits off", &o.noLimits),
		flag("verbose", "log each request", &o.verbose),
	}
}

// validate refuses times that would make agents or reservations end before they
// begin. Zero is the simulator's own default.
func (o *options) validate() error {
	if o.heartbeatTimeout < 0 || o.reservation < 0 || o.interval < 0 {
		return fmt.Errorf("--heartbeat-timeout %v, --reservation %v, --interval %d: none may be negative", o.heartbeatTimeout, o.reservation, o.interval)
	}
	return nil
}

// agentToken is the token of the flag, or of the file if one is named.
func (o *options) agentToken() (string, error) {
	if o.tokenFile == "" {
		return o.token, nil
	}
	raw, err := os.ReadFile(o.tokenFile)
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	token := strings.TrimSpace(string(raw))
	if token == "" {
		return "", fmt.Errorf("the token file %s is empty", o.tokenFile)
	}
	return token, nil
}
