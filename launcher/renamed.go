package launcher

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/contract"
)

// Agent v4's names of these options. They work beside the names of v3, which is the
// agent that runs here, so that no template has to change twice.
const (
	cancelSignalTimeout  = "cancel-signal-timeout"
	cancelCleanupTimeout = "cancel-cleanup-timeout"
	otelTracing          = "opentelemetry-tracing"
	otelMetrics          = "opentelemetry-metrics"
	telemetryServiceName = "telemetry-service-name"
)

// renamed are the variables of these flags.
var renamed = map[string]string{
	cancelSignalTimeout:  contract.EnvCancelSignalTimeout,
	cancelCleanupTimeout: contract.EnvCancelCleanupTimeout,
	otelTracing:          "BUILDKITE_OPENTELEMETRY_TRACING",
	otelMetrics:          "BUILDKITE_OPENTELEMETRY_METRICS",
	telemetryServiceName: "BUILDKITE_TELEMETRY_SERVICE_NAME",
}

// renamedFlags are agent v4's names as flags. readRenamed reads them.
func renamedFlags() []cli.Flag {
	const category = "As agent v4 calls them"
	env := func(name string) []string { return []string{renamed[name]} }
	return []cli.Flag{
		&cli.DurationFlag{Name: cancelSignalTimeout, EnvVars: env(cancelSignalTimeout), Category: category, DefaultText: "as the grace periods say",
			Usage: "from the cancel signal to SIGKILL, such as 10s: signal-grace-period-seconds"},
		&cli.DurationFlag{Name: cancelCleanupTimeout, EnvVars: env(cancelCleanupTimeout), Category: category, DefaultText: "as the grace periods say",
			Usage: "from there until the job is reported, such as 5s: cancel-grace-period is both together"},
		&cli.BoolFlag{Name: otelTracing, EnvVars: env(otelTracing), Category: category,
			Usage: "--tracing-backend opentelemetry --tracing-propagate-traceparent"},
		&cli.BoolFlag{Name: otelMetrics, EnvVars: env(otelMetrics), Category: category, Usage: "refused: agent v3 has no such metrics"},
		&cli.StringFlag{Name: telemetryServiceName, EnvVars: env(telemetryServiceName), Category: category, Usage: "tracing-service-name"},
	}
}

// readRenamed puts what was set by agent v4's names into the options that v3 has for
// it. Both names with different values are a mistake, which Validate reports.
func (o *Options) readRenamed(c *cli.Context) {
	differ := func(name, old string, is bool) {
		if is {
			o.faults = append(o.faults, fmt.Errorf("--%s (%s) and --%s, its name in agent v3, are both set, and differ: take one of them out", name, renamed[name], old))
		}
	}
	if c.IsSet(cancelSignalTimeout) || c.IsSet(cancelCleanupTimeout) {
		signal, cleanup := contract.DefaultCancelSignalTimeout, contract.DefaultCancelCleanupTimeout
		if c.IsSet(cancelSignalTimeout) {
			signal = c.Duration(cancelSignalTimeout)
		}
		if c.IsSet(cancelCleanupTimeout) {
			cleanup = c.Duration(cancelCleanupTimeout)
		}
		if signal < 0 || cleanup < 0 {
			o.faults = append(o.faults, fmt.Errorf("--%s is %v and --%s is %v: neither can be negative", cancelSignalTimeout, signal, cancelCleanupTimeout, cleanup))
		}
		cancel, grace := contract.CancelTimeouts(signal, cleanup)
		was, wasSignal := o.CancelGracePeriod, o.SignalGracePeriodSeconds
		o.CancelGracePeriod, o.SignalGracePeriodSeconds = int(cancel/time.Second), int(grace/time.Second)
		if wasSignal < 0 {
			wasSignal += was
		}
		differ(cancelCleanupTimeout, "cancel-grace-period", c.IsSet("cancel-grace-period") && was != o.CancelGracePeriod)
		differ(cancelSignalTimeout, "signal-grace-period-seconds", c.IsSet("signal-grace-period-seconds") && wasSignal != o.SignalGracePeriodSeconds)
	}
	if c.Bool(otelTracing) {
		differ(otelTracing, "tracing-backend", o.TracingBackend != "" && o.TracingBackend != "opentelemetry")
		o.TracingBackend = "opentelemetry"
		if !c.IsSet("tracing-propagate-traceparent") { // always on in v4
			o.TracingPropagateTraceparent = true
		}
	}
	if c.Bool(otelMetrics) {
		o.faults = append(o.faults, fmt.Errorf("--%s (%s) isn't offered: agent v3, which runs here, has no such metrics", otelMetrics, renamed[otelMetrics]))
	}
	if name := c.String(telemetryServiceName); name != "" {
		differ(telemetryServiceName, "tracing-service-name", c.IsSet("tracing-service-name") && o.TracingServiceName != name)
		o.TracingServiceName = name
	}
}

// TraceparentSet says that the operator decided on tracing-propagate-traceparent.
func TraceparentSet(c *cli.Context) bool {
	return c.IsSet("tracing-propagate-traceparent") || c.Bool(otelTracing)
}
