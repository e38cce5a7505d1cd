package main

import (
	"io"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/test/pages"
)

// Each onejob-agent command of the pages has flags that the program has.
func TestDocumentedCommands(t *testing.T) {
	for _, c := range pages.Commands(t, "onejob-agent") {
		app := newFlags().app()
		app.Writer, app.ErrWriter = io.Discard, io.Discard
		app.Action = func(*cli.Context) error { return nil }
		if err := app.Run(append([]string{"onejob-agent"}, c.Words[1:]...)); err != nil {
			t.Errorf("%s: %v", c, err)
		}
	}
}
