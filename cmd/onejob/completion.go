package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// completionFlag ends the command line with which a shell asks what could come next.
const completionFlag = "--generate-bash-completion"

// The scripts run the words of the command line as they are. urfave/cli's own scripts
// have the shell evaluate them, which runs what is in $(…) before anybody presses Enter.
var (
	//go:embed completion.bash
	completionBash string
	//go:embed completion.zsh
	completionZsh string
)

func completionCommand() *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print a script that has a shell complete onejob's commands and flags", ArgsUsage: "bash|zsh|fish",
		Description: `Completes what urfave/cli knows: commands and flags.

   onejob completion bash > /etc/bash_completion.d/onejob
   onejob completion zsh > "${fpath[1]}/_onejob"
   onejob completion fish > ~/.config/fish/completions/onejob.fish`,
		Action: func(c *cli.Context) error {
			script := ""
			var err error
			switch shell := c.Args().First(); {
			case c.NArg() != 1:
				err = usage(errors.New("which shell? bash, zsh or fish"))
			case shell == "bash":
				script = completionBash
			case shell == "zsh":
				script = completionZsh
			case shell == "fish":
				script, err = c.App.ToFishCompletion()
			default:
				err = usage(fmt.Errorf("there is no completion for %q: bash, zsh or fish", shell))
			}
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.App.Writer, strings.TrimLeft(script, "\n"))
			return err
		},
		// The names of the shells.
		BashComplete: func(c *cli.Context) { _, _ = fmt.Fprint(c.App.Writer, "bash\nzsh\nfish\n") },
	}
}
