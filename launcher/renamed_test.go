package launcher

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRenamed: what agent v4 calls otherwise does the same by either name.
func TestRenamed(t *testing.T) {
	good := []string{"--build-path", t.TempDir(), "--bootstrap-script", "/bin/sh"}
	for _, tt := range []struct {
		name           string
		args           string
		cancel, signal int
		backend        string
		traceparent    bool
		service        string
		err            string
	}{
		{name: "none", cancel: 10, signal: -1},
		{name: "both times", args: "--cancel-signal-timeout=30s --cancel-cleanup-timeout=7s", cancel: 37, signal: 30},
		{name: "one time", args: "--cancel-signal-timeout=1m", cancel: 65, signal: 60},
		{name: "the other time", args: "--cancel-cleanup-timeout=2s", cancel: 12, signal: 10},
		{name: "parts of seconds", args: "--cancel-signal-timeout=1500ms --cancel-cleanup-timeout=1900ms", cancel: 2, signal: 1},
		{name: "both names, the same", args: "--cancel-signal-timeout=9s --cancel-cleanup-timeout=1s --cancel-grace-period=10 --signal-grace-period-seconds=-1", cancel: 10, signal: 9},
		{name: "both names", args: "--cancel-cleanup-timeout=2s --cancel-grace-period=10", err: "--cancel-cleanup-timeout (BUILDKITE_CANCEL_CLEANUP_TIMEOUT) and --cancel-grace-period, its name in agent v3, are both set, and differ"},
		{name: "both names of the other", args: "--cancel-signal-timeout=2s --signal-grace-period-seconds=5", err: "--cancel-signal-timeout (BUILDKITE_CANCEL_SIGNAL_TIMEOUT)"},
		{name: "negative", args: "--cancel-signal-timeout=-2s", err: "negative"},
		{name: "tracing", args: "--opentelemetry-tracing --telemetry-service-name=ci", cancel: 10, signal: -1, backend: "opentelemetry", traceparent: true, service: "ci"},
		{name: "tracing, not", args: "--opentelemetry-tracing=false", cancel: 10, signal: -1},
		{name: "tracing without Buildkite's context", args: "--opentelemetry-tracing --tracing-propagate-traceparent=false", cancel: 10, signal: -1, backend: "opentelemetry"},
		{name: "tracing, another", args: "--opentelemetry-tracing --tracing-backend=datadog", err: "--opentelemetry-tracing (BUILDKITE_OPENTELEMETRY_TRACING)"},
		{name: "two service names", args: "--telemetry-service-name=a --tracing-service-name=b", err: "--telemetry-service-name"},
		{name: "metrics", args: "--opentelemetry-metrics", err: "agent v3, which runs here, has no such metrics"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// By flags, and by variables.
			byEnv := slices.Clone(good)
			for _, arg := range strings.Fields(tt.args) {
				name, value, found := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
				if !found {
					value = "true"
				}
				if env := renamed[name]; env != "" {
					t.Setenv(env, value)
				} else {
					byEnv = append(byEnv, arg)
				}
			}
			for _, o := range []Options{parse(t, append(slices.Clone(good), strings.Fields(tt.args)...)...), parse(t, byEnv...)} {
				err := o.Validate()
				if tt.err != "" || err != nil {
					if err == nil || tt.err == "" || !strings.Contains(err.Error(), tt.err) {
						t.Errorf("error %v, want one that says %q", err, tt.err)
					}
					continue
				}
				if o.CancelGracePeriod != tt.cancel || o.SignalGracePeriodSeconds != tt.signal {
					t.Errorf("graces of %d s and %d s, want %d and %d", o.CancelGracePeriod, o.SignalGracePeriodSeconds, tt.cancel, tt.signal)
				}
				service := tt.service
				if service == "" {
					service = "buildkite-agent"
				}
				if o.TracingBackend != tt.backend || o.TracingPropagateTraceparent != tt.traceparent || o.TracingServiceName != service {
					t.Errorf("tracing is %q %v %q, want %q %v %q", o.TracingBackend, o.TracingPropagateTraceparent, o.TracingServiceName, tt.backend, tt.traceparent, service)
				}
				if b, err := NewBudget(time.Hour, o.CancelGracePeriod, o.SignalGracePeriodSeconds, false); err != nil || b.Cancel != time.Duration(tt.cancel)*time.Second {
					t.Errorf("the budget is %+v, %v", b, err)
				}
			}
		})
	}
	// None of them reaches the job.
	if got := jobEnvironment([]string{"BUILDKITE_CANCEL_SIGNAL_TIMEOUT=1s", "BUILDKITE_OPENTELEMETRY_TRACING=true", "MINE=1"}); !slices.Equal(got, []string{"MINE=1"}) {
		t.Errorf("what reaches the job: %v", got)
	}
}
