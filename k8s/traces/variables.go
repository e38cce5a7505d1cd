package traces

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
)

// errProtocol: gRPC would double the program.
var errProtocol = errors.New("OTEL_EXPORTER_OTLP_PROTOCOL (or OTEL_EXPORTER_OTLP_TRACES_PROTOCOL) must be http/protobuf, which is the default here: the port is 4318 as a rule")

// endpoints are the variables that name a collector.
var endpoints = []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"}

// wanted reports whether OpenTelemetry's variables ask for an export.
func wanted() bool {
	return (os.Getenv(endpoints[0]) != "" || os.Getenv(endpoints[1]) != "") && os.Getenv("OTEL_SDK_DISABLED") != "true"
}

// checkVariables returns an error for what the library would go on without: then it would
// send the spans elsewhere. The error doesn't quote a URL, because a part of a broken one
// may be a password.
func checkVariables() error {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		if p := os.Getenv(name); p != "" && p != "http/protobuf" {
			return errProtocol
		}
	}
	for _, name := range endpoints {
		value := os.Getenv(name)
		u, err := url.Parse(value)
		if value != "" && (err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https") {
			return fmt.Errorf("%s is no http or https URL, such as http://otel-collector.monitoring:4318", name)
		}
	}
	return nil
}

// takeOver has the library's own messages go to log, in part: beside its errors it prints the
// variables that it can't read, which may be passwords, to standard error.
func takeOver(log *slog.Logger) {
	otel.SetLogger(logr.New(messages{log}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Debug("traces not exported", "err", err) }))
}

// messages is a logr.LogSink that logs the messages of errors alone.
type messages struct{ log *slog.Logger }

// Init does nothing.
func (messages) Init(logr.RuntimeInfo) {}

// Enabled: nothing but errors.
func (messages) Enabled(int) bool { return false }

// Info does nothing.
func (messages) Info(int, string, ...any) {}

// Error logs msg, which is constant.
func (m messages) Error(_ error, msg string, _ ...any) {
	m.log.Error("one of OpenTelemetry's variables (OTEL_…) can't be read; it is left out", "doing", msg)
}

// WithValues returns m.
func (m messages) WithValues(...any) logr.LogSink { return m }

// WithName returns m.
func (m messages) WithName(string) logr.LogSink { return m }
