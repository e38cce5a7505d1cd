package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/build"
	"github.com/onejob-dev/onejob/k8s/scheduler"
	"github.com/onejob-dev/onejob/k8s/traces"
)

// tracing is the export of traces, nil unless OpenTelemetry's variables name an endpoint.
// If they are wrong, jobs run without traces.
func tracing(c *cli.Context, log *slog.Logger, m *scheduler.Metrics) *traces.Exporter {
	instance := c.String("identity")
	if instance == "" {
		instance, _ = os.Hostname()
	}
	namespace := ""
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" { // in a pod
		namespace = namespaceOf(c)
	}
	e, err := traces.New(c.Context, traces.Config{Version: build.String(), Instance: instance, Namespace: namespace, Dropped: m.SpanDropped, Log: log})
	if err != nil {
		log.Error("no traces are exported", "err", err)
		return nil
	}
	return e
}

// closeTraces exports the last ones, if the collector takes them soon.
func closeTraces(e *traces.Exporter) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = e.Close(ctx)
}
