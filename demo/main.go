// Command demo shows onejob at work: a local Buildkite, a build of an example
// pipeline, and for each of its jobs a pod on a real Kubernetes or, with
// --local, a process.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	d := &demo{out: os.Stdout}
	local := false
	app := &cli.App{
		Name:  "demo",
		Usage: "run an example pipeline with onejob",
		Flags: []cli.Flag{
			&cli.PathFlag{Name: "bin", Usage: "the `FOLDER` of onejob-agent, onejob-run and buildkite-agent", Value: "bin", Destination: &d.bin},
			&cli.BoolFlag{Name: "local", Usage: "no Kubernetes: a process for each job (needs neither root nor Linux packages)", EnvVars: []string{"LOCAL"}, Destination: &local},
			&cli.PathFlag{Name: "kubeconfig", Usage: "do nothing, say what the demo would need on the cluster of this `FILE`"},
			&cli.IntFlag{Name: "jobs", Usage: "with --local: how many jobs run at once", Value: 4, Destination: &d.atOnce},
			&cli.BoolFlag{Name: "keep", Usage: "keep the pages up at the end, until Ctrl-C", Destination: &d.keep},
			&cli.PathFlag{Name: "screenshot", Usage: "on Kubernetes: make a `FILE` of the status page, with more jobs in more queues; needs Chromium"},
		},
		HideHelpCommand: true,
		Action: func(c *cli.Context) error {
			if path := c.Path("kubeconfig"); path != "" {
				return tellExisting(os.Stdout, path)
			}
			bin, err := filepath.Abs(d.bin)
			if err != nil {
				return err
			}
			d.bin = bin
			if local {
				return d.run(c.Context)
			}
			return (&kubeDemo{out: os.Stdout, bin: bin, keep: d.keep, screenshot: c.Path("screenshot")}).run(c.Context)
		},
	}
	if err := app.RunContext(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}
