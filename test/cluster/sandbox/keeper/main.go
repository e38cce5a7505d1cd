//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/onejob-dev/onejob/test/cluster/sandbox"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "keep":
		err = sandbox.Keep()
	case len(os.Args) == 3 && os.Args[1] == "init":
		err = sandbox.Init(os.Args[2])
	default:
		err = errors.New("this program is started by package sandbox")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "keeper:", err)
		os.Exit(1)
	}
}
