//go:build linux

// Command keeper is the sandbox's own half of package sandbox: started by an
// owner, never by hand.
package main

import (
	"fmt"
	"os"

	"github.com/onejob-dev/onejob/test/cluster/sandbox"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "keeper is started by package sandbox")
		os.Exit(2)
	}
	var err error
	switch os.Args[1] {
	case "keep":
		err = sandbox.Keep(os.Args[2])
	case "init":
		err = sandbox.Init(os.Args[2])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "sandbox %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
