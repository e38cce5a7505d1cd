// Command onejob-run runs one job that onejob-agent has acquired. It is started
// by onejob-agent, not by people: it speaks JSON over its pipes.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/onejob-dev/onejob/build"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/launcher"
	"github.com/onejob-dev/onejob/launcher/jobrun"
	"github.com/onejob-dev/onejob/logging"
	"github.com/onejob-dev/onejob/signals"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "onejob-run:", err)
		os.Exit(contract.ExitConfig)
	}
}

func run(args []string) error {
	if err := signals.Hide(); err != nil {
		return fmt.Errorf("hiding the process from the job: %w", err)
	}
	mode := ""
	if len(args) == 1 {
		mode = args[0]
	}
	switch mode {
	case "job":
		// The launcher decides on signals. A handler, not SIG_IGN, which the
		// job would inherit. SIGPIPE is from a log that nobody reads any more.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGPIPE)
		var controls io.Reader = os.Stdin
		syscall.CloseOnExec(launcher.ReportsFD)
		return jobrun.Job(controls, os.NewFile(launcher.ReportsFD, "reports"), newLog)
	case "preflight":
		return jobrun.Preflight(context.Background(), os.Stdin, os.Stdout, newLog)
	case "--version":
		fmt.Println("onejob-run", build.String())
		return nil
	default:
		return fmt.Errorf("it is started by onejob-agent; run `onejob-agent --help`")
	}
}

func newLog(o launcher.Options) *slog.Logger {
	return logging.New(os.Stderr, logging.Options{Format: o.LogFormat, Level: o.LogLevel, NoColor: o.NoColor})
}
