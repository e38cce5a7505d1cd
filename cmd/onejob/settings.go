package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/build"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/stacks"
)

const categoryBuildkite = "BUILDKITE"

func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", Aliases: []string{"f"}, EnvVars: []string{"ONEJOB_CONFIG"},
		Usage: "`PATH` of the scheduler's configuration (YAML)", Category: categoryBuildkite}
}

func queueFlag() cli.Flag {
	return &cli.StringFlag{Name: "queue", Aliases: []string{"q"}, EnvVars: []string{"ONEJOB_QUEUE"}, Usage: "`NAME` of the queue, where the configuration has several", Category: categoryBuildkite}
}

func tokenFileFlag() cli.Flag {
	return &cli.StringFlag{Name: "token-file", EnvVars: []string{contract.EnvTokenFile},
		Usage: "`PATH` of the agent token, instead of the configuration's; the token itself can be in BUILDKITE_AGENT_TOKEN", Category: categoryBuildkite}
}

// loadConfig reads the file that --config names. Together with an error it returns what
// could be read of the file, for lint; nil if nothing could.
func loadConfig(c *cli.Context) (*config.Config, error) {
	if c.String("config") == "" {
		return nil, usage(errors.New("no configuration given: set --config or ONEJOB_CONFIG to the scheduler's file"))
	}
	cfg, err := config.Load(c.String("config"), namespaceOf(c))
	if err != nil {
		return cfg, usage(err)
	}
	cfg.Own(installationName(c), "")
	return cfg, nil
}

// pickQueue is the queue that --queue or a label names, or the only queue.
func pickQueue(c *cli.Context, cfg *config.Config, label string) (config.Queue, error) {
	var names []string
	for _, q := range cfg.Queues {
		names = append(names, q.Name)
		if q.Name == c.String("queue") || c.String("queue") == "" && (len(cfg.Queues) == 1 || kjob.QueueLabel(q.Name) == label) {
			return q, nil
		}
	}
	if c.String("queue") != "" {
		return config.Queue{}, usage(fmt.Errorf("no queue %q in the configuration, it has %s", c.String("queue"), strings.Join(names, ", ")))
	}
	return config.Queue{}, usage(fmt.Errorf("which queue? The configuration has %s: give --queue", strings.Join(names, ", ")))
}

// queueOf is pickQueue for a job; its kjobs may be in any queue's namespace.
func queueOf(c *cli.Context, cfg *config.Config, kube kube.Client, id contract.JobID) (config.Queue, error) {
	label := ""
	for _, q := range cfg.Queues {
		if rows, err := operate.List(c.Context, kube, q.Namespace, id); err == nil && len(rows) > 0 {
			label = rows[0].Queue
		}
	}
	return pickQueue(c, cfg, label)
}

// givenToken is the token of the command line or the environment; nil if there is none.
func givenToken(c *cli.Context) (stacks.TokenSource, error) {
	if path := c.String("token-file"); path != "" {
		return stacks.NewTokenFile(path), nil
	}
	text := os.Getenv(contract.EnvToken)
	if text == "" {
		return nil, nil //nolint:nilnil // no token is no error
	}
	token, err := contract.ParseToken(text, contract.EnvToken)
	if err != nil {
		return nil, usage(err)
	}
	return stacks.Token(token), nil
}

// token is givenToken, or the token of the queue's file; nil if there is no such file,
// as on most people's machines.
func token(c *cli.Context, q config.Queue) (stacks.TokenSource, error) {
	if t, err := givenToken(c); t != nil || err != nil {
		return t, err
	}
	f := stacks.NewTokenFile(q.TokenFile)
	switch _, err := f.Token(); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil //nolint:nilnil // no token is no error
	case err != nil:
		return nil, fmt.Errorf("queue %s: %w", q.Name, err)
	}
	return f, nil
}

// buildkite returns a client for a queue; nil if there is no token.
func buildkite(c *cli.Context, cfg *config.Config, q config.Queue) (*stacks.Client, error) {
	t, err := token(c, q)
	if t == nil || err != nil {
		return nil, err
	}
	return stacks.New(stacks.Config{Endpoint: cfg.Endpoint, Token: t, Stack: q.Stack, Queue: q.Name, UserAgent: "onejob/" + build.String(), Attempts: 4})
}

// template loads a queue's template, and the organization's name for URLs.
func template(ctx context.Context, kube kube.Client, client *stacks.Client, q config.Queue) (*kjob.Template, error) {
	t, err := kjob.Load(ctx, kube, q)
	if err != nil {
		return nil, err
	}
	if client != nil {
		if id, err := client.Identity(ctx); err == nil {
			t.Org = id.OrganizationSlug
		}
		// A registration returns the key of the default queue. The scheduler has
		// registered the stack before, and repeating it changes nothing.
		if q.Name == "__default__" {
			if stack, err := client.Register(ctx, nil); err == nil {
				t.QueueKey = stack.QueueKey
			}
		}
	}
	return t, nil
}

// sharing are the queues with the same token, and so in the same cluster at Buildkite:
// a step in this queue's cluster could ask for them.
func sharing(cfg *config.Config, q config.Queue) []config.Queue {
	return slices.DeleteFunc(slices.Clone(cfg.Queues), func(other config.Queue) bool { return other.TokenFile != q.TokenFile })
}

func jobIDs(c *cli.Context) ([]contract.JobID, error) {
	if c.NArg() == 0 {
		return nil, usage(errors.New("no job ID given: it is the UUID after # in a job's URL"))
	}
	var ids []contract.JobID
	for _, a := range c.Args().Slice() {
		// A job's URL works too.
		if _, after, ok := strings.Cut(a, "#"); ok {
			a = after
		}
		id, err := contract.ParseJobID(a)
		if err != nil {
			return nil, usage(err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}
