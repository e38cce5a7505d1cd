package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s"
)

func jobsCommand() *cli.Command {
	return &cli.Command{
		Name: "jobs", Usage: "list kjobs: job, attempt, phase, age, node, reason",
		Description: `   onejob jobs
   onejob jobs -A -o wide
   onejob jobs --watch
   onejob jobs -o json | jq -r '.[] | select(.phase == "pending") | .job_id'`,
		Flags: append([]cli.Flag{
			outputFlag("table"),
			&cli.BoolFlag{Name: "all-namespaces", Aliases: []string{"A"}, Usage: "list those of all namespaces"},
			&cli.BoolFlag{Name: "unfinished", Usage: "leave out what is finished"},
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "list again every two seconds"},
		}, kubeFlags()...),
		Action: func(c *cli.Context) error {
			kube, err := kubeClient(c)
			if err != nil {
				return err
			}
			namespace := namespaceOf(c)
			if msgs := validation.IsDNS1123Label(namespace); len(msgs) > 0 {
				return usage(fmt.Errorf("namespace %q: %s", namespace, msgs[0]))
			}
			if c.Bool("all-namespaces") {
				namespace = ""
			}
			list := func(ctx context.Context) ([]k8s.Row, error) { return k8s.Rows(ctx, kube, namespace, "") }
			if c.Bool("watch") {
				say := func(line string) { sayTo(c.App.ErrWriter, line) }
				list = (&lister{list: list, say: say}).next
			}
			for {
				rows, err := list(c.Context)
				switch {
				case c.Bool("watch") && c.Err() != nil:
					return nil //nolint:nilerr // being stopped is its usual end
				case err != nil:
					return err
				}
				shown := []k8s.Row{} // and not nil: no jobs are [] in JSON
				for _, r := range rows {
					if !c.Bool("unfinished") || !r.Finished {
						shown = append(shown, r)
					}
				}
				if c.Bool("watch") && onScreen(c) {
					_, _ = fmt.Fprint(c.App.Writer, "\x1b[H\x1b[2J")
				}
				if err := print(c, shown, func(w io.Writer, wide bool) { jobsTable(w, shown, wide) }); err != nil {
					return err
				}
				if !c.Bool("watch") {
					return nil
				}
				select {
				case <-time.After(2 * time.Second):
				case <-c.Done():
					return nil
				}
			}
		},
	}
}

func jobsTable(w io.Writer, rows []k8s.Row, wide bool) {
	head := []string{"JOB", "ATTEMPT", "QUEUE", "PHASE", "AGE", "NODE", "REASON"}
	if wide {
		head = append(head, "NAMESPACE", "PIPELINE", "BUILD", "STEP", "POD", "URL")
	}
	row(w, head...)
	for _, r := range rows {
		id, attempt := r.JobID.String(), strconv.Itoa(r.Attempt)
		if id == "" {
			id, attempt = r.KJob, "-"
		}
		reason := r.Reason
		if !wide {
			reason = contract.Line(reason, 60)
		}
		cells := []string{id, attempt, r.Queue, r.Phase, age(r.CreatedAt), or(r.Node), or(reason)}
		if wide {
			cells = append(cells, r.Namespace, or(r.Pipeline), or(r.Build), or(r.Step), or(r.Pod), or(r.URL))
		}
		row(w, cells...)
	}
}

func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
