package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/onejob-dev/onejob/build"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/k8s/scheduler"
	"github.com/onejob-dev/onejob/logging"
)

func scheduleCommand() *cli.Command {
	return &cli.Command{
		Name: "schedule", Usage: "serve Buildkite queues: create a Kubernetes Job for each job",
		Description: `Runs until SIGTERM, then drains within seconds and exits 0. It never deregisters its
stacks: run "onejob deregister" when you uninstall onejob.

   onejob schedule --config onejob.yaml
   onejob schedule --config onejob.yaml --lease onejob      # two replicas`,
		Flags: append([]cli.Flag{
			configFlag(), tokenFileFlag(),
			&cli.StringFlag{Name: "lease", EnvVars: []string{"ONEJOB_LEASE"}, Usage: "`NAME` of the Lease for leader election among replicas; without one this process always leads"},
			&cli.StringFlag{Name: "lease-namespace", EnvVars: []string{"ONEJOB_LEASE_NAMESPACE"}, Usage: "`NAME` of the Lease's namespace; by default the one that onejob runs in"},
			&cli.StringFlag{Name: "identity", EnvVars: []string{"ONEJOB_IDENTITY"}, Usage: "`NAME` of this replica in the Lease; by default the host's"},
			&cli.StringFlag{Name: "listen", EnvVars: []string{"ONEJOB_LISTEN"}, Value: ":8080", Usage: "`ADDRESS` of /healthz, /readyz and /metrics; empty for none"},
			&cli.BoolFlag{Name: "pprof", EnvVars: []string{"ONEJOB_PPROF"}, Usage: "serve /debug/pprof/ too"},
			&cli.StringFlag{Name: "log-format", EnvVars: []string{"ONEJOB_LOG_FORMAT"}, Usage: "`FORMAT`: json or text; by default text on a terminal"},
			&cli.StringFlag{Name: "log-level", EnvVars: []string{"ONEJOB_LOG_LEVEL"}, Value: "info", Usage: "`LEVEL`: debug, info, warn or error"},
		}, kubeFlags()...),
		Action: schedule,
	}
}

func schedule(c *cli.Context) error {
	look := logging.Options{Format: c.String("log-format"), Level: c.String("log-level")}
	if err := look.Check(); err != nil {
		return usage(err)
	}
	log := logging.New(os.Stderr, look)
	klog.SetSlogLogger(log.With("from", "client-go"))
	if _, err := loadConfig(c); err != nil {
		return err // before a cluster is needed
	}
	var skew kube.Skew
	cfg, err := restConfig(c, skew.Wrap)
	if err != nil {
		return err
	}
	kube, err := kube.NewClient(cfg)
	if err != nil {
		return err
	}
	lean, err := cache.Lean(kube, cfg)
	if err != nil {
		return err
	}
	o := scheduler.Options{
		Kube: kube, Lean: lean, Skew: skew.Of, Load: func() (*config.Config, error) { return loadConfig(c) },
		Version: build.String(), Log: log, Metrics: scheduler.NewMetrics(),
	}
	o.Metrics.WatchClients()
	if o.Token, err = givenToken(c); err != nil {
		return err
	}
	if o.Lease, err = lease(c); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // nearly all of its heap stays, and little is made anew: a little CPU for a quarter of its memory
	}
	o.Installation, o.UID = installationName(c), askUID(kube, c, log)
	o.Traces = tracing(c, log, o.Metrics)
	defer closeTraces(o.Traces)
	s := scheduler.New(o)
	g, ctx := errgroup.WithContext(c.Context)
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error {
		defer stopServing()
		err := s.Run(ctx)
		if err == nil {
			log.Info("drained", "cause", context.Cause(c.Context))
		}
		return err
	})
	if addr := c.String("listen"); addr != "" {
		g.Go(func() error { return serveAt(serving, addr, s.Handler(c.Bool("pprof"))) })
	}
	return g.Wait()
}

func serveAt(ctx context.Context, addr string, h http.Handler) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return serve(ctx, l, h)
}

// lease is the wanted leader election; nil for none.
func lease(c *cli.Context) (*scheduler.LeaseOptions, error) {
	name := c.String("lease")
	if name == "" {
		return nil, nil
	}
	l := &scheduler.LeaseOptions{Namespace: c.String("lease-namespace"), Name: name, Identity: c.String("identity")}
	if l.Namespace == "" {
		l.Namespace = namespaceOf(c)
	}
	if l.Identity == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, usage(fmt.Errorf("no --identity given, and the host has no name: %w", err))
		}
		l.Identity = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	return l, nil
}
