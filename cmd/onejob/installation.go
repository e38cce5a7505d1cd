package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

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

// ownTimeout bounds the question for the Lease.
const ownTimeout = 10 * time.Second

// own makes a configuration that of the scheduler which has the Lease. Without the Lease
// another's may be near, under a name that wasn't given: then it is nobody's, so that
// what is made of it is looked after by whoever serves the queue.
func own(c *cli.Context, cfg *config.Config) error {
	cfg.Own("", "")
	kube, err := kubeClient(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context, ownTimeout)
	defer cancel()
	namespace, lease := leaseOf(c)
	uid, err := kjob.LeaseUID(ctx, kube, namespace, lease)
	switch {
	case err == nil:
		cfg.Own(installationName(c), uid)
	case c.String("lease") == "":
		// A scheduler that was started without a Lease has these keys.
		if uid, uidErr := kjob.InstallationUID(ctx, kube, namespace, lease); uidErr == nil {
			cfg.Own("", uid)
		}
	}
	return err
}

// loadOwned is loadConfig with the installation's own stacks and mark. Where they can't
// be known that is said, if they matter, and the keys are a guess.
func loadOwned(c *cli.Context) (*config.Config, error) {
	cfg, err := loadConfig(c)
	if err != nil {
		return cfg, err
	}
	if err := own(c, cfg); err != nil && cfg.Derived() {
		sayTo(c.App.ErrWriter, fmt.Sprintf("the installation's stacks are not known, %s is taken for the first, and what is made has no installation's mark: %s (%s)", cfg.Queues[0].Stack, err, ownHint))
	}
	return cfg, nil
}

const ownHint = "name the scheduler's Lease: --lease NAME if it isn't " + kjob.DefaultLease + ", as of a Helm release with another name, and --lease-namespace; or set stack in the configuration"

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
