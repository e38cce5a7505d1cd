package kjob

import "testing"

// The agent's tracing is one setting, and the template's own variables win.
func TestAgentTracing(t *testing.T) {
	const mine = "spec: {containers: [{name: agent, env: [{name: OTEL_EXPORTER_OTLP_PROTOCOL, value: grpc}]}]}"
	for _, tt := range []struct{ queue, template, want string }{
		{"", "", ""}, {"  agent-tracing: http://c:4318\n", "", "http/protobuf"}, {"  agent-tracing: http://c:4318\n", mine, "grpc"},
	} {
		tpl, err := Parse([]byte(tt.template), aQueue(t, tt.queue))
		if err != nil {
			t.Fatal(err)
		}
		k, err := New(aJob(), 1, tpl, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, e := range FindAgent(&k.Spec.Template.Spec).Env {
			if _, twice := got[e.Name]; twice {
				t.Errorf("%s is there twice", e.Name)
			}
			got[e.Name] = e.Value
		}
		if got["OTEL_EXPORTER_OTLP_PROTOCOL"] != tt.want || (got["BUILDKITE_TRACING_BACKEND"] == "opentelemetry") != (tt.want != "") {
			t.Errorf("%q, %q: %v", tt.queue, tt.template, got)
		}
	}
}
