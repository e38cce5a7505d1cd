package main

import (
	"errors"
	"fmt"
	"os/user"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/k8s/operate"
)

func cancelCommand() *cli.Command {
	return &cli.Command{
		Name: "cancel", Usage: "end a job without a new attempt", ArgsUsage: "JOB_ID…",
		Description: `If you only delete a Kubernetes Job, onejob makes a new attempt. This command marks
the job's Kubernetes Jobs with who cancels it and why, and prints their names. The
scheduler then deletes them, and finishes the job on Buildkite with this reason, or
stops its runner if it runs. If no scheduler runs, the next one does this when it
starts.

   onejob cancel --reason "wrong branch" 018f0000-0000-7000-8000-00000000000a`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "reason", Usage: "`TEXT` for the job's page"},
			&cli.BoolFlag{Name: "dry-run", Usage: "mark nothing, print what would be marked"},
		}, kubeFlags()...),
		Action: func(c *cli.Context) error {
			ids, err := jobIDs(c)
			if err != nil {
				return err
			}
			kube, err := kubeClient(c)
			if err != nil {
				return err
			}
			who := "somebody"
			if u, err := user.Current(); err == nil {
				who = u.Username
			}
			if r := c.String("reason"); r != "" {
				who += ": " + r
			}
			var errs []error
			for _, id := range ids {
				names, err := operate.Cancel(c.Context, kube, namespaceOf(c), id, who, c.Bool("dry-run"))
				for _, n := range names {
					sayTo(c.App.Writer, n)
				}
				if err == nil && len(names) == 0 {
					err = fmt.Errorf("job %s has no unfinished Kubernetes Job in namespace %s; if it waits for its next attempt, cancel it on Buildkite", id, namespaceOf(c))
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
}
