//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/cluster/image"
	"github.com/onejob-dev/onejob/test/cluster/sandbox"
)

type options struct {
	nodes       int
	images      bool
	containerd2 bool
}

// readyPrefix begins the line by which the process in the background says that
// the cluster is up; lines before it are for the user.
const readyPrefix = "ready "

const instructions = `The cluster is up. To use it:

  export KUBECONFIG=%[1]s
  kubectl get nodes

A server on this machine is reached from pods at %[2]s.
To end it: make cluster-down
`

// run starts the cluster in this process and keeps it until ctx ends.
func (o options) run(ctx context.Context, out io.Writer) error {
	if running, err := readState(); err == nil {
		return fmt.Errorf("a cluster is up already, with %s; end it with down", running.Kubeconfig)
	}
	if err := cluster.Check(o.nodes > 0); err != nil {
		return err
	}
	config := cluster.Config{Nodes: o.nodes, Containerd2: o.containerd2, Logf: func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }}
	if o.images && o.nodes > 0 {
		config.Logf("building images from Dockerfile.agent")
		for _, build := range []func(context.Context, image.Options) (string, error){image.Agent, image.Scheduler} {
			path, err := build(ctx, image.Options{})
			if err != nil {
				return err
			}
			config.Images = append(config.Images, path)
		}
	}
	c, err := cluster.Run(ctx, config)
	if err != nil {
		return err
	}
	if err := writeState(state{Pid: os.Getpid(), Start: sandbox.StartTime(os.Getpid()), Kubeconfig: c.KubeconfigPath}); err != nil {
		return errors.Join(err, c.Close())
	}
	defer removeState()
	fmt.Fprintf(out, instructions, c.KubeconfigPath, c.HostAddress)
	if os.Getenv(backgroundVariable) != "" {
		fmt.Fprintln(out, readyPrefix+c.KubeconfigPath)
		// The one who reads this is about to leave.
		if err := quiet(); err != nil {
			return errors.Join(err, c.Close())
		}
	}
	select {
	case <-ctx.Done():
		return c.Close()
	case <-c.Ended():
		return errors.Join(errors.New("the cluster has ended by itself"), c.Close())
	}
}

// backgroundVariable tells run that background started it.
const backgroundVariable = "ONEJOB_CLUSTER_BACKGROUND"

// background starts this program again, out of reach of the terminal, and waits
// until the cluster is up.
func (o options) background(ctx context.Context, out io.Writer) error {
	if running, err := readState(); err == nil {
		fmt.Fprintf(out, "A cluster is up already: export KUBECONFIG=%s\n", running.Kubeconfig)
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// Not the context's: after the last line the process is no longer ours to end.
	command := exec.Command(self, "up", "--foreground", "--nodes="+strconv.Itoa(o.nodes), "--images="+strconv.FormatBool(o.images), "--containerd2="+strconv.FormatBool(o.containerd2))
	command.Env = append(os.Environ(), backgroundVariable+"=1")
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	// A file and not a pipe: it is for errors, and nobody reads along.
	log, err := os.CreateTemp("", "onejob-cluster-*.log")
	if err != nil {
		return err
	}
	defer os.Remove(log.Name())
	defer log.Close()
	command.Stderr = log
	if err := command.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = command.Process.Signal(syscall.SIGTERM) })
	defer stop()
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), readyPrefix) {
			return nil
		}
		fmt.Fprintln(out, lines.Text())
	}
	_ = command.Wait()
	text, _ := os.ReadFile(log.Name())
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return errors.New(strings.TrimPrefix(strings.TrimSpace(string(text)), "cluster: "))
}

// quiet lets go of the pipes to the process that started this one.
func quiet() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for _, fd := range []int{1, 2} {
		if err := syscall.Dup3(int(null.Fd()), fd, 0); err != nil {
			return os.NewSyscallError("dup3", err)
		}
	}
	return nil
}

func statePath() string { return filepath.Join(sandbox.Root, "up.json") }
