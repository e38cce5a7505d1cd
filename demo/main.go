// Command demo shows onejob at work: a local Buildkite, a build of an example
// pipeline, and the real runner for each of its jobs.
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
	app := &cli.App{
		Name:  "demo",
		Usage: "run an example pipeline with onejob",
		Flags: []cli.Flag{
			&cli.PathFlag{Name: "bin", Usage: "the `FOLDER` of onejob-agent, onejob-run and buildkite-agent", Value: "bin", Destination: &d.bin},
			&cli.IntFlag{Name: "jobs", Usage: "how many jobs run at once", Value: 4, Destination: &d.atOnce},
			&cli.BoolFlag{Name: "keep", Usage: "keep the page up at the end, until Ctrl-C", Destination: &d.keep},
		},
		HideHelpCommand: true,
		Action: func(c *cli.Context) error {
			bin, err := filepath.Abs(d.bin)
			if err != nil {
				return err
			}
			d.bin = bin
			return d.run(c.Context)
		},
	}
	if err := app.RunContext(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}
