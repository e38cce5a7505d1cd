package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"
	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/stacks"
)

func renderCommand() *cli.Command {
	return &cli.Command{
		Name: "render", Usage: "print the Kubernetes Job that a job would get", ArgsUsage: "[JOB_ID]",
		Description: `Needs no cluster, unless the queue's template lives in one. The job is a
sample. With --job it is read from a file (YAML: id, priority, pipeline, build,
branch, step, env); with an ID and a token it is the one that Buildkite has scheduled.

   onejob render -f onejob.yaml
   onejob render -f onejob.yaml --queue gpu --job job.yaml | kubectl apply --dry-run=server -f -`,
		Flags: append([]cli.Flag{
			configFlag(), queueFlag(), tokenFileFlag(), outputFlag("yaml"),
			&cli.StringFlag{Name: "job", Usage: "`PATH` of a job in YAML"},
			&cli.IntFlag{Name: "attempt", Value: 1, Usage: "`NUMBER` of the attempt"},
		}, append(installationFlags(), kubeFlags()...)...),
		Action: func(c *cli.Context) error {
			load := loadConfig
			if c.NArg() > 0 {
				load = loadOwned // Buildkite is asked
			}
			cfg, err := load(c)
			if err != nil {
				return err
			}
			q, err := pickQueue(c, cfg, "")
			if err != nil {
				return err
			}
			client, id, err := scheduled(c, cfg, q)
			if err != nil {
				return err
			}
			t, err := localTemplate(c, client, q)
			if err != nil {
				return err
			}
			job, env, err := jobToRender(c, client, id)
			if err != nil {
				return err
			}
			k, err := renderKjob(c, job, t, env)
			if err != nil {
				return err
			}
			return print(c, k, func(w io.Writer, _ bool) { row(w, k.Namespace+"/"+k.Name) })
		},
	}
}

// renderKjob is the kjob, without a cluster if possible: the step may name a PodTemplate.
func renderKjob(c *cli.Context, job stacks.Job, t *kjob.Template, env map[string]string) (*batchv1.Job, error) {
	t = t.WithSnapshot(kjob.SampleSnapshot)
	k, err := kjob.New(job, c.Int("attempt"), t, env)
	var needs *kjob.NeedsPodTemplate
	if !errors.As(err, &needs) {
		return k, err
	}
	kube, err := kubeClient(c)
	if err != nil {
		return nil, fmt.Errorf("the PodTemplate %s, which the step names: %w", needs.Name, err)
	}
	return kjob.NewIn(c.Context, kube, job, c.Int("attempt"), t, env)
}

// localTemplate is template, without a cluster if possible.
func localTemplate(c *cli.Context, client *stacks.Client, q config.Queue) (*kjob.Template, error) {
	if q.Template.Job == "" && q.Template.PodTemplate == "" {
		t, err := template(c.Context, nil, client, q)
		if err != nil {
			return nil, usage(err)
		}
		return t, nil
	}
	kube, err := kubeClient(c)
	if err != nil {
		return nil, fmt.Errorf("template of queue %s: %w", q.Name, err)
	}
	return template(c.Context, kube, client, q)
}

// scheduled is the job with the ID that was given, if one was, and the client to ask
// about it.
func scheduled(c *cli.Context, cfg *config.Config, q config.Queue) (*stacks.Client, contract.JobID, error) {
	if c.NArg() == 0 {
		return nil, "", nil
	}
	ids, err := jobIDs(c)
	switch {
	case err != nil:
		return nil, "", err
	case c.String("job") != "":
		return nil, "", usage(errors.New("a job ID and --job are given: it is one or the other"))
	case len(ids) > 1:
		return nil, "", usage(fmt.Errorf("%d job IDs are given: one at a time", len(ids)))
	}
	client, err := buildkite(c, cfg, q)
	if err == nil && client == nil {
		err = usage(fmt.Errorf("there is no token to ask Buildkite about job %s", ids[0]))
	}
	return client, ids[0], err
}

func jobToRender(c *cli.Context, client *stacks.Client, id contract.JobID) (stacks.Job, map[string]string, error) {
	job := stacks.Job{ID: contract.SampleJobID, Pipeline: "example", Build: 1, Branch: "main", ScheduledAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
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
		if err != nil {
			return job, nil, usage(fmt.Errorf("%s: %w", path, err))
		}
		return stacks.Job{ID: id, Priority: in.Priority, Pipeline: in.Pipeline, Build: in.Build, Branch: in.Branch, Step: in.Step}, in.Env, nil
	}
	if client == nil {
		return job, nil, nil
	}
	env, err := client.Env(c.Context, id)
	if errors.Is(err, stacks.ErrNotFound) {
		err = fmt.Errorf("%w: %s", err, operate.NoStack)
	}
	if err != nil {
		return job, nil, err
	}
	job, listed, err := client.ScheduledJob(c.Context, id)
	if err == nil && !listed {
		job.ID = id
		_, _ = fmt.Fprintf(c.App.ErrWriter, "job %s is not among the queue's scheduled jobs, so its pipeline, build and step are unknown\n", job.ID)
	}
	return job, env, err
}
