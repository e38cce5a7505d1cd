package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/build"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/doctor"
	"github.com/onejob-dev/onejob/stacks"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "check an installation: token, queues, rights, Pod Security, images, clocks, proxy, versions",
		Description: `Prints a line for each check, with what to do about it, and exits 1 if one failed.
It changes nothing that stays. A queue that no scheduler has registered yet gets a
stack at Buildkite for a moment. A Job without a job has a node pull each queue's
images (--no-pull leaves that out).
With --bundle it also writes what support needs: the configuration, Jobs, the
statuses of pods, Events, the scheduler's logs and metrics. Values of environment
variables, arguments, tokens and what looks like a secret are left out; look
through it before you send it.

   onejob doctor -f onejob.yaml -n onejob
   onejob doctor -f onejob.yaml -n onejob --bundle onejob.tar.gz
   kubectl -n onejob exec deploy/onejob -- /usr/local/bin/onejob doctor   # with the scheduler's token and rights`,
		Flags: append([]cli.Flag{
			outputFlag("table"), configFlag(), tokenFileFlag(),
			&cli.StringFlag{Name: "queue", Aliases: []string{"q"}, EnvVars: []string{"ONEJOB_QUEUE"}, Usage: "`NAME` of the one queue to look at", Category: categoryBuildkite},
			&cli.BoolFlag{Name: "no-pull", Usage: "have no node pull images"},
			&cli.DurationFlag{Name: "pull-timeout", Value: 2 * time.Minute, Usage: "how `LONG` a node may take to pull a queue's images"},
			&cli.StringFlag{Name: "bundle", Usage: "`PATH` of a tar.gz to write for support"},
		}, append(installationFlags(), kubeFlags()...)...),
		Action: runDoctor,
	}
}

func runDoctor(c *cli.Context) error {
	p, err := patient(c)
	if err != nil {
		return err
	}
	report := p.Examine(c.Context)
	if err := print(c, report, func(io.Writer, bool) {}); err != nil {
		return err
	}
	if table(c) {
		tellReport(c.App.Writer, report, onScreen(c) && os.Getenv("NO_COLOR") == "")
	}
	errs := []error{bundle(c, p, report)}
	if n := report.Failed(); n > 0 {
		errs = append(errs, fmt.Errorf("checks that failed: %d", n))
	}
	return errors.Join(errs...)
}

// patient is the installation that the flags name.
func patient(c *cli.Context) (*doctor.Patient, error) {
	cfg, err := loadConfig(c)
	if cfg == nil {
		return nil, err
	}
	p := &doctor.Patient{
		Config: cfg, ConfigError: err, Version: build.String(),
		Token: func(q config.Queue) (stacks.TokenSource, error) { return token(c, q) },
	}
	if p.Namespace, p.Lease = leaseOf(c); !c.Bool("no-pull") {
		p.PullTimeout = c.Duration("pull-timeout")
	}
	if p.REST, p.ClusterError = restConfig(c); p.ClusterError == nil {
		_ = own(c, cfg) //nolint:errcheck // then the stacks' keys are a guess, and the check of stacks says what it looked at
	}
	if c.String("queue") != "" {
		q, err := pickQueue(c, cfg, "")
		if err != nil {
			return nil, err
		}
		cfg.Queues = []config.Queue{q}
	}
	return p, nil
}

// colours of results, of the same length each.
var colours = map[doctor.Result]string{doctor.OK: "\x1b[32m", doctor.Warn: "\x1b[33m", doctor.Fail: "\x1b[31m", doctor.Skip: "\x1b[36m"}

// tellReport prints a line for each finding.
func tellReport(w io.Writer, r doctor.Report, coloured bool) {
	checks, ofs := 0, 0
	for _, f := range r {
		checks, ofs = max(checks, len(f.Check)), max(ofs, len(f.Of))
	}
	for _, f := range r {
		result := fmt.Sprintf("%-4s", f.Result)
		if coloured {
			result = colours[f.Result] + result + "\x1b[0m"
		}
		line := contract.Line(f.Found, maxCell)
		if f.Fix != "" {
			line += ". Fix: " + contract.Line(f.Fix, maxCell)
		}
		_, _ = fmt.Fprintf(w, "%s  %-*s  %-*s  %s\n", result, checks, f.Check, ofs, contract.Line(f.Of, maxCell), strings.TrimSpace(line))
	}
}

// bundle writes the file that --bundle names, if it does, in one step.
func bundle(c *cli.Context, p *doctor.Patient, r doctor.Report) error {
	path := c.String("bundle")
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return usage(err)
	}
	defer os.Remove(path + ".new") //nolint:errcheck // it is there only after an error
	if err := errors.Join(p.Bundle(c.Context, f, r), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	sayTo(c.App.ErrWriter, path+" is written: look through it before you send it")
	return nil
}
