// Command onejob-step runs a step's command in a container of its own: package
// launcher/container. It is started by the pod that onejob makes, not by people.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

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

var errByHand = errors.New("it is started by the pods that onejob makes: copy, run or serve")

func run(args []string) (int, error) {
	if len(args) == 0 {
		return 0, errByHand
	}
	switch args[0] {
	case "copy": // the init container
		return 0, copyAll()
	case "run": // the command's container
		if signals.IsInit() {
			return asInit()
		}
		w := signals.Watch(context.Background())
		return container.Run(w.Stop, dir(), os.Stderr), nil
	case "serve": // what the agent's job runner starts as the bootstrap
		return 0, serve(args[1:])
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

// dir is the folder that the pod's containers share.
func dir() string {
	if d := os.Getenv(contract.EnvStepDir); d != "" {
		return d
	}
	return contract.StepDir
}

// asInit runs this same program as a child: PID 1 forwards and reaps.
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
	folder, image := f.String("dir", contract.StepDir, "the shared folder"), f.String("image", "", "the command's image, for words")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() == 0 {
		return errByHand
	}
	container.Serve(container.Job{Dir: *folder, Image: *image, Bootstrap: f.Args(), Env: os.Environ(), Log: os.Stdout})
	return nil
}
