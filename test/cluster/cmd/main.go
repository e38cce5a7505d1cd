//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/test/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := app().RunContext(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func app() *cli.App {
	return &cli.App{
		Name:  "cluster",
		Usage: "a real Kubernetes on this machine, without Docker and without a registry",
		Description: "Needs Linux, root and the Debian packages of test/cluster/packages.txt. The first start\n" +
			"builds Kubernetes from source, which takes minutes; later ones take seconds.",
		Commands: []*cli.Command{
			{
				Name:  "up",
				Usage: "start a cluster and print its kubeconfig; it stays until down",
				Flags: []cli.Flag{
					&cli.IntFlag{Name: "nodes", Value: 1, Usage: "`N`umber of nodes; 0 for a control plane alone"},
					&cli.BoolFlag{Name: "images", Usage: "build onejob's images from Dockerfile.agent and import them"},
					&cli.BoolFlag{Name: "containerd2", Usage: "containerd 2 and its runc, built from source, instead of Debian's: image volumes, user namespaces"},
					&cli.BoolFlag{Name: "foreground", Usage: "stay in the foreground; Ctrl-C ends the cluster"},
				},
				Action: func(c *cli.Context) error {
					o := options{nodes: c.Int("nodes"), images: c.Bool("images"), containerd2: c.Bool("containerd2")}
					if c.Bool("foreground") {
						return o.run(c.Context, c.App.Writer)
					}
					return o.background(c.Context, c.App.Writer)
				},
			},
			{
				Name:   "down",
				Usage:  "end the cluster that up started",
				Action: func(c *cli.Context) error { return down(c.Context, c.App.Writer) },
			},
			{
				Name:   "kubeconfig",
				Usage:  "print the path of the kubeconfig of the cluster that is up",
				Action: func(c *cli.Context) error { return kubeconfig(c.App.Writer) },
			},
			{
				Name:   "build",
				Usage:  "build what a cluster runs into .cache, and start nothing",
				Action: func(c *cli.Context) error { return cluster.Build(c.Context) },
			},
		},
	}
}
