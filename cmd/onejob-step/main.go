// Command onejob-step runs a step's command in a container of its own (package
// launcher/container). The pods that onejob makes start it; people don't.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"

	"github.com/onejob-dev/onejob/build"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/launcher/container"
	"github.com/onejob-dev/onejob/signals"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "onejob-step:", err)
		code = contract.ExitConfig
	}
	os.Exit(code)
}

var errByHand = errors.New("only the pods that onejob makes run this program: give copy, secrets, run, serve, mirror or exec")

func run(args []string) (int, error) {
	if len(args) == 0 {
		return 0, errByHand
	}
	switch args[0] {
	case "copy": // the postStart of the agent's container, or an init container
		return 0, copyAll()
	case "secrets": // an init container, where a container may stay
		return 0, container.BringSecrets(contract.SecretsFrom, contract.SecretsDir, os.Getenv(contract.EnvToken))
	case "run": // the command's container
		if err := signals.Hide(); err != nil { // it has the job's variables in its memory
			return 0, fmt.Errorf("hiding the process: %w", err)
		}
		if signals.IsInit() {
			return asInit()
		}
		id, err := number(args[1:])
		if err != nil {
			return 0, err
		}
		w := signals.Watch(context.Background())
		return container.Run(w.Stop, dir(), id, os.Stderr), nil
	case "serve": // what the agent's job runner starts as the bootstrap
		return 0, serve(args[1:])
	case "mirror": // what the bootstrap begins as, where there are git mirrors
		return 0, mirrored(args[1:])
	case "exec": // the shell of an image that has none
		if len(args) == 2 {
			return container.Exec(args[1], os.Stderr), nil
		}
	case "--version":
		fmt.Println("onejob-step", build.String())
		return 0, nil
	}
	return 0, errByHand
}

// number is a container's among several, 0 if none is given.
func number(args []string) (int, error) {
	if len(args) == 0 {
		return 0, nil
	}
	id, err := strconv.Atoi(args[0])
	if err != nil || id < 0 {
		return 0, errByHand
	}
	return id, nil
}

// dir is the folder that the pod's containers share; EnvStepDir may name another one.
func dir() string {
	if d := os.Getenv(contract.EnvStepDir); d != "" {
		return d
	}
	return contract.StepDir
}

// asInit runs this same program as a child, because PID 1 forwards signals and reaps.
func asInit() (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	return signals.Init(append([]string{self}, os.Args[1:]...))
}

// copyAll brings this program into the shared folder; the runner brings the agent's.
func copyAll() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return container.Copy(dir(), self)
}

func serve(args []string) error {
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	folder, image := f.String("dir", contract.StepDir, "the shared folder"), f.String("image", "", "the command's image, for messages")
	several := f.String("commands", "", "the containers, if there are several, as "+contract.EnvCommands+" has them")
	checkoutEnv := f.String("checkout-env", "", "folders with variables for the checkout, as "+contract.EnvCheckoutEnv+" has them")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() == 0 {
		return errByHand
	}
	commands := contract.ParseCommands(*several)
	if len(commands) == 0 {
		commands = []contract.Command{{Name: contract.CommandContainer, Image: *image}}
	}
	container.Serve(container.Job{
		Dir: *folder, Commands: commands, Bootstrap: f.Args(), Env: os.Environ(), CheckoutEnv: contract.ParseCheckoutEnv(*checkoutEnv), Log: os.Stdout,
	})
	return nil
}
