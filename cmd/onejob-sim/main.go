// Command onejob-sim serves a simulated Buildkite, for demos and end-to-end tests.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
)

const description = `Serves the Agent API and the Stacks API under /v3, a page at / and a control
API at /_sim. Real clients use it unmodified.

Exit status: 0 when the ledger is clean, 1 when it has violations, 2 when the
simulator couldn't serve.

EXAMPLES

   Serve on a port of the system's choice, with one build:

      onejob-sim --listen 127.0.0.1:0 --pipeline pipeline.yml

   Run the stock agent on a job of it:

      curl -s localhost:8080/_sim/jobs | jq -r '.[].id'
      buildkite-agent start --endpoint http://localhost:8080/v3 \
        --token bkct_simulator --acquire-job JOB_ID

   Lose the reply of the next acquire, after the job was given away:

      curl localhost:8080/_sim/faults -d '{"endpoint":"acquire","reset":"after","times":1}'

   Play the other side of each thing that nobody can know of Buildkite:

      onejob-sim --profile opposite

   See what should not have happened:

      curl localhost:8080/_sim/violations`

var errViolations = errors.New("the ledger has violations")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var o options
	app := &cli.App{
		Name:            "onejob-sim",
		Usage:           "a local Buildkite for runners and schedulers",
		Description:     description,
		HideHelpCommand: true,
		Flags:           o.flags(),
		ExitErrHandler:  func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("unexpected argument %q", c.Args().First())
			}
			o.pipelines, o.queues = c.StringSlice("pipeline"), c.StringSlice("queues")
			return run(c.Context, o, os.Stderr)
		},
	}
	err := app.RunContext(ctx, os.Args)
	switch {
	case errors.Is(err, errViolations):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "onejob-sim:", err)
		os.Exit(2)
	}
}
