package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s"
	"github.com/onejob-dev/onejob/stacks"
)

// sample is the job that render uses when none is given.
const sample = "00000000-0000-4000-8000-000000000000"

func renderCommand() *cli.Command {
	return &cli.Command{
		Name: "render", Usage: "print the kjob that a job would get", ArgsUsage: "[JOB_ID]",
		Description: `Needs no cluster, unless the queue's template lives in one. The job is made up,
is read from --job (YAML: id, priority, pipeline, build, branch, step, env), or,
with an ID and a token, is the one that Buildkite has scheduled.

   onejob render -f onejob.yaml
   onejob render -f onejob.yaml --queue gpu --job job.yaml | kubectl apply --dry-run=server -f -`,
		Flags: append([]cli.Flag{
			configFlag(), queueFlag(), tokenFileFlag(), outputFlag("yaml"),
			&cli.StringFlag{Name: "job", Usage: "`PATH` of a job in YAML"},
			&cli.IntFlag{Name: "attempt", Value: 1, Usage: "`NUMBER` of the attempt"},
		}, kubeFlags()...),
		Action: func(c *cli.Context) error {
			cfg, err := loadConfig(c)
			if err != nil {
				return err
			}
			q, err := pickQueue(c, cfg, "")
			if err != nil {
				return err
			}
			t, err := localTemplate(c, q)
			if err != nil {
				return err
			}
			job, env, err := jobToRender(c, cfg, q)
			if err != nil {
				return err
			}
			kjob, err := k8s.NewJob(job, c.Int("attempt"), t, env)
			if err != nil {
				return err
			}
			return print(c, kjob, func(w io.Writer, _ bool) { row(w, kjob.Namespace+"/"+kjob.Name) })
		},
	}
}

// localTemplate loads a template without a cluster if that is possible.
func localTemplate(c *cli.Context, q k8s.Queue) (*k8s.Template, error) {
	if q.Template.Job == "" && q.Template.PodTemplate == "" {
		return k8s.LoadTemplate(c.Context, nil, q)
	}
	kube, err := kubeClient(c)
	if err != nil {
		return nil, err
	}
	return k8s.LoadTemplate(c.Context, kube, q)
}

func jobToRender(c *cli.Context, cfg *k8s.Config, q k8s.Queue) (stacks.Job, map[string]string, error) {
	job := stacks.Job{ID: sample, Pipeline: "example", Build: 1, Branch: "main", ScheduledAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	if path := c.String("job"); path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return job, nil, usage(err)
		}
		var in struct {
			ID       string            `json:"id"`
			Priority int               `json:"priority"`
			Pipeline string            `json:"pipeline"`
			Build    int               `json:"build"`
			Branch   string            `json:"branch"`
			Step     string            `json:"step"`
			Env      map[string]string `json:"env"`
		}
		if err := yaml.UnmarshalStrict(b, &in); err != nil {
			return job, nil, usage(fmt.Errorf("%s: %w", path, err))
		}
		id, err := contract.ParseJobID(in.ID)
		return stacks.Job{ID: id, Priority: in.Priority, Pipeline: in.Pipeline, Build: in.Build, Branch: in.Branch, Step: in.Step}, in.Env, err
	}
	if c.NArg() == 0 {
		return job, nil, nil
	}
	ids, err := jobIDs(c)
	if err != nil {
		return job, nil, err
	}
	client, err := buildkite(c, cfg, q)
	if err != nil {
		return job, nil, err
	}
	if client == nil {
		return job, nil, usage(fmt.Errorf("no token to ask Buildkite about job %s with", ids[0]))
	}
	env, err := client.Env(c.Context, ids[0])
	if errors.Is(err, stacks.ErrNotFound) {
		err = fmt.Errorf("%w: %s", err, k8s.NoStack)
	}
	if err != nil {
		return job, nil, err
	}
	page, err := client.ScheduledJobs(c.Context, "", stacks.MaxBatch)
	for _, j := range page.Jobs {
		if j.ID == ids[0] {
			return j, env, nil
		}
	}
	return stacks.Job{ID: ids[0]}, env, err
}
