// Command onejob runs Buildkite jobs on Kubernetes, one kjob for one attempt at
// one job: the scheduler, and the operator's tools beside it. Installed as
// kubectl-onejob it is a kubectl plugin.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/build"
)

// Exit codes: 2 is a mistake on the command line or in a file, 3 is onejob probe --compare
// that found a difference.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitDiffers = 3
)

func main() {
	ctx, stop := signalContext()
	app := newApp()
	if strings.HasPrefix(filepath.Base(os.Args[0]), "kubectl-") {
		app.Name = "kubectl onejob"
	}
	err := app.RunContext(ctx, interspersed(app, os.Args))
	stop()
	os.Exit(exitCode(os.Stderr, err))
}

func newApp() *cli.App {
	app := &cli.App{
		Name: "onejob", Usage: "one Buildkite job, one Kubernetes Job, one pod, one run",
		Version: build.String(), HideHelpCommand: true, EnableBashCompletion: true, DisableSliceFlagSeparator: true,
		Commands: []*cli.Command{
			scheduleCommand(), jobsCommand(), explainCommand(), sizesCommand(), reacquireCommand(), cancelCommand(), holdCommand(), releaseCommand(),
			renderCommand(), lintCommand(), policyCommand(), importCommand(), deregisterCommand(), probeCommand(),
			doctorCommand(), completionCommand(),
		},
		ExitErrHandler: func(*cli.Context, error) {}, // main's affair
		OnUsageError:   unknownFlag,
		Action:         noCommand,
	}
	for _, c := range app.Commands {
		c.HideHelpCommand = true
		c.OnUsageError = unknownFlag
	}
	return app
}

// usageError is what is wrong with the command line or a file.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(err error) error { return usageError{err} }

func exitCode(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	sayTo(stderr, "onejob: "+err.Error())
	switch {
	case errors.As(err, &usageError{}):
		return exitUsage
	case errors.Is(err, errDiffers):
		return exitDiffers
	}
	return exitFailed
}

// signalContext ends with the first SIGTERM or SIGINT, which is its cause; a
// second one kills.
func signalContext() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		if sig, ok := <-ch; ok {
			signal.Stop(ch)
			cancel(fmt.Errorf("received %s", sig))
		}
	}()
	return ctx, func() { signal.Stop(ch); close(ch); cancel(nil) }
}
