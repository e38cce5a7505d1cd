package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/k8s/moving"
)

func importCommand() *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "make a configuration of agent-stack-k8s's Helm values", ArgsUsage: "VALUES.yaml",
		Description: `Prints onejob.yaml, and names on stderr each key that is not in it, with the
reason. Needs no cluster, and writes no token. docs/moving.md has the way.

   onejob import values.yaml > onejob.yaml
   onejob lint -f onejob.yaml`,
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usage(errors.New("name one values file: onejob import values.yaml"))
			}
			values, err := os.ReadFile(c.Args().First())
			if err != nil {
				return usage(err)
			}
			onejob, notes, err := moving.Import(values)
			if err != nil {
				return usage(err)
			}
			for _, n := range notes {
				sayTo(c.App.ErrWriter, n.String())
			}
			_, err = fmt.Fprintf(c.App.Writer, "# Made from %s: `onejob lint -f FILE` checks it, docs/configuration.md has the keys.\n%s", c.Args().First(), onejob)
			return err
		},
	}
}
