package main

import (
	"bytes"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/scheduler"
	"github.com/onejob-dev/onejob/k8s/traces"
)

// Whatever is wrong with a variable that has a password in it, nobody prints the password: not
// onejob, and not OpenTelemetry's library, which writes to standard error itself.
func TestPasswordsOfTracingAreNotPrinted(t *testing.T) {
	const password = "s3cret"
	for _, tt := range []struct {
		variable, value string
		on              bool
	}{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:" + password + "%zz@collector:4318", false},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:" + password + "@collector:port", false},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:" + password + "@coll ector:4318", false},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:" + password + "@[::1:4318", false},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "user:" + password + "@collector:4318", false},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "://user:" + password + "@collector", false},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:" + password + "@collector\x7f:4318", false},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:" + password + "@collector", false},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:" + password + "@127.0.0.1:1", true},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:" + password + "%zz@collector:4318", false},
		{"OTEL_EXPORTER_OTLP_HEADERS", "authorization=" + password + "%zz", true},
		{"OTEL_EXPORTER_OTLP_HEADERS", password, true},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a b" + password + "=x", true},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", password, true},
	} {
		t.Run(tt.variable+" "+tt.value, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv(tt.variable, tt.value)
			var out bytes.Buffer
			c := cli.NewContext(cli.NewApp(), flag.NewFlagSet("", flag.ContinueOnError), nil)
			c.Context = t.Context()
			printed := stderrOf(t, func() {
				e := tracing(c, slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), scheduler.NewMetrics())
				if e.On() != tt.on {
					t.Errorf("traces are exported: %t, want %t", e.On(), tt.on)
				}
				if e.On() {
					e.Add(traces.Attempt{Job: contract.SampleJobID, Number: 1})
				}
				closeTraces(e)
			})
			if all := out.String() + printed; strings.Contains(all, password) {
				t.Errorf("printed: %s", all)
			}
			if broken := !strings.HasSuffix(tt.value, "127.0.0.1:1"); strings.Contains(out.String(), "level=ERROR") != broken || broken && !strings.Contains(out.String(), "OTEL_") {
				t.Errorf("the log says %q", &out)
			}
		})
	}
}

// stderrOf is what f writes to standard error, not by way of a logger of ours.
func stderrOf(t *testing.T, f func()) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only a test's
	const stderr = 2   // the library has opened it already
	old, err := unix.Dup(stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = unix.Dup3(old, stderr, 0)
		_ = unix.Close(old)
	}()
	if err := unix.Dup3(int(file.Fd()), stderr, 0); err != nil {
		t.Fatal(err)
	}
	f()
	b, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

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
