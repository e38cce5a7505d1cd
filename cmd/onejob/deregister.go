package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/contract"
)

func deregisterCommand() *cli.Command {
	return &cli.Command{
		Name: "deregister", Usage: "remove the queues' stacks from Buildkite, when you uninstall onejob",
		Description: `The scheduler never does this by itself: in a rollout the old replica would
deregister the stack that the new one serves. Stop the scheduler first, or let
--stop-deployment do it: a scheduler that runs registers its stacks again.

   onejob deregister -f onejob.yaml
   onejob deregister -f onejob.yaml -n onejob --stop-deployment onejob`,
		Flags: append([]cli.Flag{
			configFlag(), queueFlag(), tokenFileFlag(),
			&cli.BoolFlag{Name: "dry-run", Usage: "stop and deregister nothing, print what would be deregistered"},
			&cli.StringFlag{Name: "stop-deployment", Usage: "`NAME` of the scheduler's Deployment in the namespace: scaled to 0, and waited for, first"},
		}, kubeFlags()...),
		Action: func(c *cli.Context) error {
			cfg, err := loadConfig(c)
			if err != nil {
				return err
			}
			if name := c.String("stop-deployment"); name != "" && !c.Bool("dry-run") {
				if err := stopScheduler(c, name); err != nil {
					return err
				}
			}
			var errs []error
			for _, q := range cfg.Queues {
				if name := c.String("queue"); name != "" && name != q.Name {
					continue
				}
				client, err := buildkite(c, cfg, q)
				switch {
				case err != nil:
				case client == nil:
					err = fmt.Errorf("there is no token in %s: set --token-file or %s", q.TokenFile, contract.EnvToken)
				case !c.Bool("dry-run"):
					err = client.Deregister(c.Context)
				}
				if err != nil {
					errs = append(errs, fmt.Errorf("queue %s: %w", q.Name, err))
					continue
				}
				_, _ = fmt.Fprintln(c.App.Writer, q.Stack)
			}
			return errors.Join(errs...)
		},
	}
}
