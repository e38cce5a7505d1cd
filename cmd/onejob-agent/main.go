// Command onejob-agent takes one Buildkite job from acquisition to its reported
// end. It is the entrypoint of a job's pod, and its PID 1.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/signals"
)

func main() {
	// First of all: from here on, no other process of our user can read the
	// token that is in our environment.
	if err := signals.Hide(); err != nil {
		fmt.Fprintln(os.Stderr, "onejob-agent: hiding the process from the job:", err)
		os.Exit(contract.ExitConfig)
	}
	if signals.IsInit() {
		os.Exit(asInit())
	}
	// Before the flags are read: a signal that comes earlier ends the process
	// without a termination message.
	os.Exit(run(os.Args, signals.Watch(context.Background())))
}

// asInit runs this same program as a child, with the same arguments.
func asInit() int {
	self, err := os.Executable()
	if err == nil {
		var status int
		if status, err = signals.Init(append([]string{self}, os.Args[1:]...)); err == nil {
			return status
		}
	}
	fmt.Fprintln(os.Stderr, "onejob-agent:", err)
	return contract.ExitConfig
}
