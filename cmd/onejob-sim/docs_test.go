package main

import (
	"io"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/test/pages"
)

// Each onejob-sim command of the pages has flags that the program has.
func TestDocumentedCommands(t *testing.T) {
	for _, c := range pages.Commands(t, "onejob-sim") {
		var o options
		app := &cli.App{Name: "onejob-sim", Writer: io.Discard, ErrWriter: io.Discard, Flags: o.flags(), HideHelpCommand: true, Action: func(*cli.Context) error { return nil }}
		app.ExitErrHandler = func(*cli.Context, error) {}
		if err := app.Run(append([]string{"onejob-sim"}, c.Words[1:]...)); err != nil {
			t.Errorf("%s: %v", c, err)
		}
	}
}
