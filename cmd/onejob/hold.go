package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/k8s/operate"
)

func holdCommand() *cli.Command {
	return &cli.Command{
		Name: "hold", Usage: "keep the container of a job that runs when the job is over", ArgsUsage: "JOB_ID…",
		Description: `The result is reported as usual, and the container stays, so that you can look into
it: the job's log has the command. It stays for at most the queue's setting hold,
and holds a slot. A step can ask for the same in case it fails, by ONEJOB_HOLD=30m in
its environment.

   onejob hold --for 1h 018f0000-0000-7000-8000-00000000000a
   onejob release 018f0000-0000-7000-8000-00000000000a`,
		Flags: append([]cli.Flag{
			&cli.DurationFlag{Name: "for", Value: 30 * time.Minute, Usage: "`TIME` to keep it, such as 45m; the queue's setting hold is the most"},
		}, kubeFlags()...),
		Action: func(c *cli.Context) error {
			if c.Duration("for") <= 0 {
				return usage(errors.New("--for must be a time such as 30m"))
			}
			return hold(c, c.Duration("for"))
		},
	}
}

func releaseCommand() *cli.Command {
	return &cli.Command{
		Name: "release", Usage: "end a container that stays (onejob hold, ONEJOB_HOLD)", ArgsUsage: "JOB_ID…",
		Description: `The container ends within about a minute, when the kubelet has told it.

   onejob release 018f0000-0000-7000-8000-00000000000a`,
		Flags:  kubeFlags(),
		Action: func(c *cli.Context) error { return hold(c, 0) },
	}
}

func hold(c *cli.Context, d time.Duration) error {
	ids, err := jobIDs(c)
	if err != nil {
		return err
	}
	kube, err := kubeClient(c)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		names, err := operate.Hold(c.Context, kube, namespaceOf(c), id, d)
		for _, n := range names {
			sayTo(c.App.Writer, n)
		}
		if err == nil && len(names) == 0 {
			err = fmt.Errorf("job %s has no running pod in namespace %s", id, namespaceOf(c))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
