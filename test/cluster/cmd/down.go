//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/onejob-dev/onejob/test/cluster/sandbox"
)

// state of the cluster that up started, for whoever calls next.
type state struct {
	Pid        int    `json:"pid"`
	Start      uint64 `json:"start"` // see sandbox.StartTime
	Kubeconfig string `json:"kubeconfig"`
}

var errNotUp = errors.New("no cluster is up")

// readState returns errNotUp also when the process is gone without a word.
func readState() (state, error) {
	var s state
	data, err := os.ReadFile(statePath())
	if errors.Is(err, os.ErrNotExist) {
		return s, errNotUp
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil || s.Start == 0 || sandbox.StartTime(s.Pid) != s.Start {
		return s, errNotUp
	}
	return s, nil
}

func writeState(s state) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(statePath(), data, 0o600)
}

func removeState() { _ = os.Remove(statePath()) }

func kubeconfig(out io.Writer) error {
	s, err := readState()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, s.Kubeconfig)
	return err
}

// down ends the cluster and waits until nothing is left. That none is up is no
// error: it is what was asked for.
func down(ctx context.Context, out io.Writer) error {
	s, err := readState()
	if errors.Is(err, errNotUp) {
		fmt.Fprintln(out, "no cluster is up")
		return nil
	}
	if err != nil {
		return err
	}
	if err := syscall.Kill(s.Pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("ending process %d: %w", s.Pid, err)
	}
	begin := time.Now()
	dir := filepath.Dir(s.Kubeconfig)
	for {
		_, err := os.Stat(dir)
		if sandbox.StartTime(s.Pid) != s.Start && errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(out, "the cluster is down, after %s\n", time.Since(begin).Round(time.Millisecond))
			return nil
		}
		if time.Since(begin) > 10*time.Second {
			// Its death is enough for the sandbox to end.
			_ = syscall.Kill(s.Pid, syscall.SIGKILL)
		}
		if time.Since(begin) > 20*time.Second {
			return fmt.Errorf("process %d was killed, and %s is still there", s.Pid, dir)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
