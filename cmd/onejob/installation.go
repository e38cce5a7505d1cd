package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// installationFlags say of which installation's stacks a command talks.
func installationFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "lease", EnvVars: []string{"ONEJOB_LEASE"}, Usage: "`NAME` of the scheduler's Lease, by which its stacks at Buildkite are found; by default " + kjob.DefaultLease},
		&cli.StringFlag{Name: "lease-namespace", EnvVars: []string{"ONEJOB_LEASE_NAMESPACE"}, Usage: "`NAME` of the Lease's namespace; by default that of --namespace"},
	}
}

// leaseOf is the Lease by which the installation is known.
func leaseOf(c *cli.Context) (namespace, name string) {
	return cmp.Or(c.String("lease-namespace"), namespaceOf(c)), cmp.Or(c.String("lease"), kjob.DefaultLease)
}

func installationName(c *cli.Context) string { return kjob.InstallationName(leaseOf(c)) }

// own gives the stacks the keys that the installation's scheduler has given them.
func own(c *cli.Context, cfg *config.Config) error {
	if !cfg.Derived() {
		return nil
	}
	kube, err := kubeClient(c)
	if err != nil {
		return err
	}
	namespace, lease := leaseOf(c)
	find := kjob.InstallationUID
	if c.String("lease") != "" {
		find = kjob.LeaseUID
	}
	uid, err := find(c.Context, kube, namespace, lease)
	if err != nil {
		return err
	}
	cfg.Own(installationName(c), uid)
	return nil
}

// loadOwned is loadConfig with the installation's own stacks. Where they can't be known
// the keys are those of a scheduler that doesn't know them either, which is said.
func loadOwned(c *cli.Context) (*config.Config, error) {
	cfg, err := loadConfig(c)
	if err != nil {
		return cfg, err
	}
	if err := own(c, cfg); err != nil {
		sayTo(c.App.ErrWriter, fmt.Sprintf("the installation's stacks are not known, %s is taken for the first: %s (%s)", cfg.Queues[0].Stack, err, ownHint))
	}
	return cfg, nil
}

const ownHint = "give --lease-namespace, and --lease if it isn't " + kjob.DefaultLease + "; or set stack in the configuration"

// askUID is what a scheduler asks for what tells its installation from others.
func askUID(kube kube.Client, c *cli.Context, log *slog.Logger) func(context.Context) (string, error) {
	namespace, lease := leaseOf(c)
	if c.String("lease") != "" {
		return func(ctx context.Context) (string, error) { return kjob.LeaseUID(ctx, kube, namespace, lease) }
	}
	return func(ctx context.Context) (string, error) {
		uid, err := kjob.InstallationUID(ctx, kube, namespace, lease)
		if errors.Is(err, kjob.ErrNoInstallation) {
			log.Warn("the stacks' keys are not this installation's own", "err", err, "hint", "start it with --lease, or set stack in the configuration: no other installation of the organization may have the same")
			return "", nil
		}
		return uid, err
	}
}
