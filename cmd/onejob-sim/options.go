package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/simulator"
)

// pairs are the NAME=VALUEs of a flag that can be repeated. A value may hold commas.
type pairs map[string]string

func (p *pairs) String() string { return "" } // values may be secret

func (p *pairs) Set(text string) error {
	name, value, valued := strings.Cut(text, "=")
	if !valued || name == "" {
		return errors.New("want NAME=VALUE")
	}
	if *p == nil {
		*p = pairs{}
	}
	(*p)[name] = value
	return nil
}

// options are the flags, each with an environment variable ONEJOB_SIM_<NAME>.
type options struct {
	listen, readyFile             string
	token, tokenFile              string
	pipelines, queues             []string
	downstream, env, secrets      pairs
	secretsFile, changedFiles     string
	noInterpolation               bool
	slug, repo, branch, commit    string
	queue, profile                string
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
	named := func(name, usage string, into *pairs) cli.Flag {
		return &cli.GenericFlag{Name: name, Value: into, Usage: usage, EnvVars: env(name)}
	}
	return []cli.Flag{
		text("listen", "127.0.0.1:8080", "`ADDRESS` to serve on; port 0 picks a free one", &o.listen),
		text("ready-file", "", "write the base URL to `FILE` once it is served", &o.readyFile),
		text("token", simulator.DefaultAgentToken, "the agent registration `TOKEN`", &o.token),
		text("token-file", "", "read the token from `FILE` instead", &o.tokenFile),
		&cli.StringSliceFlag{Name: "pipeline", Usage: "create a build from the pipeline.yml `FILE`; repeatable", EnvVars: env("pipeline")},
		flag("no-interpolation", "leave the variables in a pipeline alone, as buildkite-agent pipeline upload --no-interpolation does", &o.noInterpolation),
		named("downstream", "a pipeline that trigger steps can start, as `SLUG=FILE`; repeatable", &o.downstream),
		named("env", "a variable of the builds' environment, as `NAME=VALUE`; BUILDKITE_TAG, BUILDKITE_PULL_REQUEST and BUILDKITE_SOURCE count in conditions; repeatable", &o.env),
		named("secret", "a secret for buildkite-agent secret get, as `NAME=VALUE`; repeatable", &o.secrets),
		text("secrets-file", "", "more secrets, from a `FILE` with a NAME=VALUE a line", &o.secretsFile),
		text("changed-files", "", "what if_changed looks at: a `FILE` with a path a line; without it such steps run", &o.changedFiles),
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
		text("profile", assumptions.NameShipped, "what to play where nobody can know: a `FILE` with answers to docs/assumptions.md, shipped or opposite", &o.profile),
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

// allSecrets are those of the flags and of the file; a flag wins.
func (o *options) allSecrets() (map[string]string, error) {
	all := pairs{}
	lines, err := readLines(o.secretsFile)
	if err != nil {
		return nil, fmt.Errorf("reading the secrets: %w", err)
	}
	for i, line := range lines {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if err := all.Set(line); err != nil {
			return nil, fmt.Errorf("the secrets file %s, entry %d: %w", o.secretsFile, i+1, err) // the line itself may be a secret
		}
	}
	maps.Copy(all, o.secrets)
	return all, simulator.CheckSecrets(all)
}

// play is the profile; none is the shipped one.
func (o *options) play() (assumptions.Profile, error) {
	if o.profile == "" {
		return assumptions.Shipped(), nil
	}
	return assumptions.Load(o.profile)
}

// readLines are the lines of a file that aren't empty; nil if no file is named.
func readLines(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := []string{}
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
