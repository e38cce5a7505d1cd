package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
)

func deregisterCommand() *cli.Command {
	return &cli.Command{
		Name: "deregister", Usage: "remove the queues' stacks from Buildkite, when you uninstall onejob",
		Description: `The scheduler never does this by itself: in a rollout the old replica would
deregister the stack that the new one serves. Stop the scheduler first, or let
--stop-deployment do it: a scheduler that runs registers its stacks again.
Which stacks are this installation's is known from the scheduler's Lease.

   onejob deregister -f onejob.yaml -n onejob
   onejob deregister -f onejob.yaml -n onejob --stop-deployment onejob
   onejob deregister -f onejob.yaml --stack onejob-default   # that one, whoever uses it`,
		Flags: append([]cli.Flag{
			configFlag(), queueFlag(), tokenFileFlag(),
			&cli.BoolFlag{Name: "dry-run", Usage: "stop and deregister nothing, print what would be deregistered"},
			&cli.StringFlag{Name: "stack", Usage: "`KEY` of the one stack to deregister, such as one of a release before"},
			&cli.StringFlag{Name: "stop-deployment", Usage: "`NAME` of the scheduler's Deployment in the namespace: scaled to 0, and waited for, first"},
		}, append(installationFlags(), kubeFlags()...)...),
		Action: deregister,
	}
}

func deregister(c *cli.Context) error {
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	if name := c.String("stop-deployment"); name != "" && !c.Bool("dry-run") {
		if err := stopScheduler(c, name); err != nil {
			return err
		}
	}
	if key := c.String("stack"); key != "" {
		q, err := pickQueue(c, cfg, "")
		if err != nil {
			return err
		}
		q.Stack = key
		return deregisterStack(c, cfg, q)
	}
	unknown := own(c, cfg) // matters for keys that the file doesn't give
	var errs []error
	left := false
	for _, q := range cfg.Queues {
		switch name := c.String("queue"); {
		case name != "" && name != q.Name:
		case unknown != nil && !q.StackGiven:
			left = true // never another installation's
		default:
			errs = append(errs, deregisterStack(c, cfg, q))
		}
	}
	switch namespace, lease := leaseOf(c); {
	case !left:
	case apierrors.IsNotFound(unknown) && c.String("lease") != "":
		sayTo(c.App.ErrWriter, fmt.Sprintf("no scheduler ever had the Lease %s in namespace %s: there is nothing to deregister of it", lease, namespace))
	default:
		errs = append(errs, fmt.Errorf("which stacks are this installation's is not known: %w (%s, or give --stack KEY: a scheduler without a Lease logs its keys)", unknown, ownHint))
	}
	return errors.Join(errs...)
}

// deregisterStack makes a queue's stack unknown, and prints its key.
func deregisterStack(c *cli.Context, cfg *config.Config, q config.Queue) error {
	client, err := buildkite(c, cfg, q)
	switch {
	case err != nil:
	case client == nil:
		err = fmt.Errorf("there is no token in %s: set --token-file or %s", q.TokenFile, contract.EnvToken)
	case !c.Bool("dry-run"):
		err = client.Deregister(c.Context)
	}
	if err != nil {
		return fmt.Errorf("queue %s: %w", q.Name, err)
	}
	_, _ = fmt.Fprintln(c.App.Writer, q.Stack)
	return nil
}
