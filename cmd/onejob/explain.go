package main

import (
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/k8s/scheduler"
	"github.com/onejob-dev/onejob/stacks"
)

func explainCommand() *cli.Command {
	return &cli.Command{
		Name: "explain", Usage: "show a job's history and what it waits for", ArgsUsage: "JOB_ID",
		Description: `Shows Buildkite's state, the Events of the Kubernetes Jobs and pods, and what the
runners reported, in the order of time. With --config and a token it asks
Buildkite, too.

   onejob explain 018f0000-0000-7000-8000-00000000000a
   kubectl onejob explain -f onejob.yaml 'https://buildkite.com/acme/demo/builds/7#018f0000-0000-7000-8000-00000000000a'`,
		Flags: append([]cli.Flag{outputFlag("table"), configFlag(), queueFlag(), tokenFileFlag()}, append(installationFlags(), kubeFlags()...)...),
		Action: func(c *cli.Context) error {
			ids, err := jobIDs(c)
			if err != nil {
				return err
			}
			kube, err := kubeClient(c)
			if err != nil {
				return err
			}
			namespace := namespaceOf(c)
			policy := decide.Policy{MaxAttempts: config.DefaultMaxAttempts, PendingTimeout: config.DefaultPendingTimeout, ImageGrace: config.DefaultImageGrace, Grace: time.Minute}
			for _, id := range ids {
				var client *stacks.Client
				var own config.Queue
				var all []config.Queue
				if c.String("config") != "" {
					cfg, err := loadOwned(c)
					if err != nil {
						return err
					}
					q, err := queueOf(c, cfg, kube, id)
					if err != nil {
						return err
					}
					namespace, policy = q.Namespace, scheduler.PolicyOf(q, time.Minute)
					if client, err = buildkite(c, cfg, q); err != nil {
						return err
					}
					own, all = q, sharing(cfg, q)
				}
				story, err := operate.Explain(c.Context, kube, client, namespace, id, policy)
				if err != nil {
					return err
				}
				story.AskLine(c.Context, kube, client, own)
				story.AskTags(c.Context, client, own, all)
				if err := print(c, story, func(w io.Writer, _ bool) { tellStory(w, story) }); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func tellStory(w io.Writer, s operate.Story) {
	state := string(s.State)
	if s.StateError != "" {
		state = "unknown (" + s.StateError + ")"
	}
	row(w, "job", s.JobID.String())
	row(w, "page", or(s.URL))
	row(w, "state", state)
	for _, a := range s.Attempts {
		row(w, "attempt", a.KJob+": "+a.Phase+" "+a.Reason)
		if a.Start != "" {
			row(w, "start", a.Start)
		}
	}
	row(w, "")
	for _, l := range s.Lines {
		row(w, l.Time.UTC().Format("15:04:05.000"), l.Who+": "+l.What)
	}
	row(w, "")
	row(w, "now", s.Now)
	row(w, "do", s.Advice)
}
