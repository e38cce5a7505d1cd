package main

import (
	"bytes"
	"flag"
	"log/slog"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/k8s/scheduler"
)

// Traces that can't be exported as OpenTelemetry's variables say keep no job from running.
func TestBadTracingVariablesEndNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		variable, value string
		on              bool
	}{
		"grpc":                {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", false},
		"malformed":           {"OTEL_RESOURCE_ATTRIBUTES", "a=b,no-value", true},
		"an unknown protocol": {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "smoke", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv(tt.variable, tt.value)
			var out bytes.Buffer
			c := cli.NewContext(cli.NewApp(), flag.NewFlagSet("", flag.ContinueOnError), nil)
			c.Context = t.Context()
			e := tracing(c, slog.New(slog.NewTextHandler(&out, nil)), scheduler.NewMetrics())
			defer closeTraces(e)
			if e.On() != tt.on {
				t.Errorf("traces are exported: %t, want %t", e.On(), tt.on)
			}
			if n := strings.Count(out.String(), "level=ERROR"); n != 1 || !strings.Contains(out.String(), "OTEL_") {
				t.Errorf("%d errors in the log, want 1 that names the variable: %s", n, &out)
			}
		})
	}
}
