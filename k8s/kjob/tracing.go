package kjob

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// tracing has the agent export its spans to an endpoint, by its own variables; the
// template's win.
func tracing(set []corev1.EnvVar, endpoint string) (env []corev1.EnvVar) {
	if endpoint == "" {
		return nil
	}
	for _, e := range []corev1.EnvVar{
		{Name: "BUILDKITE_TRACING_BACKEND", Value: "opentelemetry"},
		{Name: "BUILDKITE_TRACING_PROPAGATE_TRACEPARENT", Value: "true"},
		{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: endpoint},
		{Name: "OTEL_EXPORTER_OTLP_PROTOCOL", Value: "http/protobuf"},
	} {
		if !slices.ContainsFunc(set, func(s corev1.EnvVar) bool { return s.Name == e.Name }) {
			env = append(env, e)
		}
	}
	return env
}
