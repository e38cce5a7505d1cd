package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/stacks"
)

func jobsCommand() *cli.Command {
	return &cli.Command{
		Name: "jobs", Usage: "list Kubernetes Jobs: job, attempt, phase, age, node, reason",
		Description: `With --config and a token, and without --watch, it also lists the scheduled jobs
that have none because they ask for a tag that their queue lacks.

   onejob jobs
   onejob jobs -A -o wide
   onejob jobs --watch
   onejob jobs -o json | jq -r '.[] | select(.phase == "pending") | .job_id'`,
		Flags: append([]cli.Flag{
			outputFlag("table"), configFlag(), tokenFileFlag(),
			&cli.BoolFlag{Name: "all-namespaces", Aliases: []string{"A"}, Usage: "list those of all namespaces"},
			&cli.BoolFlag{Name: "unfinished", Usage: "leave out what is finished"},
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "list again every two seconds"},
		}, append(installationFlags(), kubeFlags()...)...),
		Action: jobs,
	}
}

func jobs(c *cli.Context) error {
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
	list := func(ctx context.Context) ([]operate.Row, error) { return operate.List(ctx, kube, namespace, "") }
	if c.Bool("watch") {
		return watchJobs(c, list)
	}
	rows, err := list(c.Context)
	if err != nil {
		return err
	}
	more, foot := unmatched(c, namespace)
	if err := showJobs(c, append(rows, more...)); err != nil {
		return err
	}
	footJobs(c, table(c), foot)
	return nil
}

// watchJobs lists every two seconds, without unmatched jobs: asking for them would take
// the scheduler's share of the rate limit.
func watchJobs(c *cli.Context, list func(context.Context) ([]operate.Row, error)) error {
	lister := &lister{list: list, say: func(line string) { sayTo(c.App.ErrWriter, line) }}
	for {
		rows, err := lister.next(c.Context)
		switch {
		case c.Err() != nil:
			return nil //nolint:nilerr // being stopped is its usual end
		case err != nil:
			return err
		}
		if onScreen(c) {
			_, _ = fmt.Fprint(c.App.Writer, "\x1b[H\x1b[2J")
		}
		if err := showJobs(c, rows); err != nil {
			return err
		}
		footJobs(c, onScreen(c), "leave out --watch")
		if !jitter.Sleep(c.Context, 2*time.Second) {
			return nil
		}
	}
}

// footJobs tells a person which jobs the list leaves out, and how to see them.
func footJobs(c *cli.Context, person bool, foot string) {
	if person && foot != "" {
		_, _ = fmt.Fprintf(c.App.ErrWriter, "\nThis list leaves out jobs that ask for a tag which no queue has. To see them, %s.\n", foot)
	}
}

func showJobs(c *cli.Context, rows []operate.Row) error {
	shown := []operate.Row{} // and not nil: no jobs are [] in JSON
	for _, r := range rows {
		if !c.Bool("unfinished") || !r.Finished {
			shown = append(shown, r)
		}
	}
	return print(c, shown, func(w io.Writer, wide bool) { jobsTable(w, shown, wide) })
}

// unmatched are the jobs without a kjob that ask for tags which their queue lacks, in a
// namespace or in all. Errors are printed and don't end the command, because the list
// of kjobs must work on bad days. If a setting is missing, foot says which one.
func unmatched(c *cli.Context, namespace string) (rows []operate.Row, foot string) {
	if c.String("config") == "" {
		return nil, "give -f FILE, the scheduler's configuration, and a token"
	}
	leftOut := func(what string, err error) {
		_, _ = fmt.Fprintf(c.App.ErrWriter, "%s: can't list jobs that ask for a tag which no queue has: %s\n", what, err)
	}
	cfg, err := loadOwned(c)
	if err != nil {
		leftOut(c.String("config"), err)
		return nil, ""
	}
	asked, silent := false, false
	for _, q := range cfg.Queues {
		if namespace != "" && q.Namespace != namespace {
			continue
		}
		client, err := buildkite(c, cfg, q)
		if client == nil && err == nil {
			silent = true // no token, as on most people's machines
			continue
		}
		asked = true
		var more []operate.Row
		if err == nil {
			more, err = operate.ListUnmatched(c.Context, client, q, sharing(cfg, q))
		}
		if errors.Is(err, stacks.ErrNotFound) {
			err = errors.New("Buildkite doesn't know the queue's stack, which a scheduler registers")
		}
		if err != nil {
			leftOut("queue "+q.Name, err)
		}
		rows = append(rows, more...)
	}
	if silent && !asked {
		foot = "give a token with --token-file or BUILDKITE_AGENT_TOKEN"
	}
	return rows, foot
}

func jobsTable(w io.Writer, rows []operate.Row, wide bool) {
	head := []string{"JOB", "ATTEMPT", "QUEUE", "PHASE", "AGE", "NODE", "REASON"}
	if wide {
		head = append(head, "NAMESPACE", "PIPELINE", "BUILD", "STEP", "POD", "URL")
	}
	row(w, head...)
	for _, r := range rows {
		id, attempt := r.JobID.String(), strconv.Itoa(r.Attempt)
		if id == "" {
			id = r.KJob
		}
		if r.Attempt == 0 {
			attempt = "-"
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
