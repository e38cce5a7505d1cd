package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/k8s/operate"
)

func reacquireCommand() *cli.Command {
	return &cli.Command{
		Name: "reacquire", Usage: "force a new attempt at a job", ArgsUsage: "JOB_ID…",
		Description: `Refuses, with the reason, when the job runs or is over. Needs no scheduler.

   onejob reacquire -f onejob.yaml 018f0000-0000-7000-8000-00000000000a
   onejob reacquire -f onejob.yaml --force --wait ID     # replace a pod that is stuck
   onejob reacquire -f onejob.yaml --dry-run -o yaml ID  # the Kubernetes Job that would be made`,
		Flags: append([]cli.Flag{
			configFlag(), queueFlag(), tokenFileFlag(), outputFlag("table"),
			&cli.BoolFlag{Name: "force", Usage: "delete a live attempt first, if Buildkite still offers the job"},
			&cli.BoolFlag{Name: "dry-run", Usage: "create nothing, print what would be created"},
			&cli.BoolFlag{Name: "wait", Usage: "wait until the attempts end, and show their phases"},
		}, append(installationFlags(), kubeFlags()...)...),
		Action: func(c *cli.Context) error {
			ids, err := jobIDs(c)
			if err != nil {
				return err
			}
			cfg, err := loadOwned(c)
			if err != nil {
				return err
			}
			kube, err := kubeClient(c)
			if err != nil {
				return err
			}
			errs := make([]error, 2*len(ids))
			var following sync.WaitGroup
			var one sync.Mutex
			say := func(line string) {
				one.Lock()
				defer one.Unlock()
				sayTo(c.App.ErrWriter, line)
			}
			for n, id := range ids {
				kjob, err := reacquire(c, cfg, kube, id, say)
				if errs[2*n] = err; kjob != nil && c.Bool("wait") && !c.Bool("dry-run") {
					following.Go(func() { errs[2*n+1] = follow(c, kube, id, kjob, say) })
				}
			}
			following.Wait()
			return errors.Join(errs...)
		},
	}
}

func reacquire(c *cli.Context, cfg *config.Config, kube kube.Client, id contract.JobID, say func(string)) (*batchv1.Job, error) {
	q, err := queueOf(c, cfg, kube, id)
	if err != nil {
		return nil, err
	}
	client, err := buildkite(c, cfg, q)
	if err != nil {
		return nil, err
	}
	t, err := template(c.Context, kube, client, q)
	if err != nil {
		return nil, err
	}
	r := operate.Reacquirer{Kube: kube, Client: client, Template: t, Force: c.Bool("force"), DryRun: c.Bool("dry-run"), Progress: say}
	kjob, err := r.Reacquire(c.Context, id)
	if err != nil {
		return nil, err
	}
	kjob.SetGroupVersionKind(batchv1.SchemeGroupVersion.WithKind("Job")) // the API server's replies go without
	return kjob, print(c, kjob, func(w io.Writer, _ bool) {
		row(w, "JOB", "KUBERNETES JOB", "NAMESPACE")
		row(w, id.String(), kjob.Name, kjob.Namespace)
	})
}

// follow prints the phases of an attempt until it ends.
func follow(c *cli.Context, kube kube.Client, id contract.JobID, kjob *batchv1.Job, say func(string)) error {
	last := ""
	rows := lister{say: say, good: time.Now(), list: func(ctx context.Context) ([]operate.Row, error) {
		return operate.List(ctx, kube, kjob.Namespace, id)
	}}
	for {
		now, err := rows.next(c.Context)
		if err != nil {
			return err
		}
		gone := true
		for _, r := range now {
			if r.KJob != kjob.Name {
				continue
			}
			gone = false
			if line := r.Phase + " " + r.Reason; line != last {
				last = line
				say(time.Now().Format(time.TimeOnly) + "  " + kjob.Name + "  " + line)
			}
			switch {
			case r.Phase == "done":
				return nil
			case r.Finished:
				return fmt.Errorf("%s is %s: %s", kjob.Name, r.Phase, r.Reason)
			}
		}
		if gone {
			return fmt.Errorf("%s is gone", kjob.Name)
		}
		if !jitter.Sleep(c.Context, 500*time.Millisecond) {
			return c.Err()
		}
	}
}
