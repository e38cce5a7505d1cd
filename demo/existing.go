package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
)

// existing is what to do where there is a cluster already.
//
//go:embed existing.txt
var existing string

var errExisting = errors.New("nothing was done: the demo runs on a cluster of its own (make demo), or on none (make demo LOCAL=1)")

// tellExisting prints what the demo needs in an existing cluster.
func tellExisting(w io.Writer, kubeconfig string) error {
	if _, err := fmt.Fprintf(w, existing+"\n", kubeconfig); err != nil {
		return err
	}
	return errExisting
}
