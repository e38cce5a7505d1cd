package config

import (
	"strings"
	"testing"
	"time"
)

func TestParseConfig(t *testing.T) {
	c, err := Parse([]byte(`
endpoint: http://buildkite.local/v3
queues:
- name: default
- name: gpu
  max-in-flight: 0
  buffer: "10%"
  pending-timeout: 1h
  namespace: gpu-jobs
`), "builds")
	if err != nil {
		t.Fatal(err)
	}
	a, b := c.Queues[0], c.Queues[1]
	if a.Stack != "onejob-default" || a.Namespace != "builds" || *a.MaxInFlight != 100 || a.AgentEndpoint != "http://buildkite.local/v3" || a.TokenFile != DefaultTokenFile {
		t.Errorf("defaults: %+v", a)
	}
	if *b.MaxInFlight != 0 || b.Buffer != (Amount{10, true}) || b.Buffer.Of(11) != 2 || time.Duration(*b.PendingTimeout) != time.Hour || b.Namespace != "gpu-jobs" {
		t.Errorf("gpu: %+v", b)
	}
}

// An explicit 0 is not replaced by a default: it means none, or the error says what to write.
func TestZero(t *testing.T) {
	c, err := Parse([]byte("queues:\n- {name: default, pending-timeout: 0s, image-grace: 0s, max-in-flight: 0, min-agents: 0, buffer: 0}"), "builds")
	if err != nil {
		t.Fatal(err)
	}
	q := c.Queues[0]
	if *q.PendingTimeout != 0 || *q.ImageGrace != 0 || *q.MaxInFlight != 0 {
		t.Errorf("got %s, %s, %d", time.Duration(*q.PendingTimeout), time.Duration(*q.ImageGrace), *q.MaxInFlight)
	}
	for doc, want := range map[string]string{
		"idle-interval: 0s\nqueues: [{name: a}]":      "idle-interval: 0s is under 200ms, which is as fast as a busy queue is asked: write that or more, or leave it out for 1s",
		"create-workers: 0\nqueues: [{name: a}]":      "create-workers: 0 is less than 1, and nothing would be created: write 1 or more, or leave it out for 100",
		"pipeline-metrics: 1001\nqueues: [{name: a}]": "pipeline-metrics: 1001 is not between 0 and 1000",
		"pipeline-metrics: -1\nqueues: [{name: a}]":   "pipeline-metrics: -1 is not between 0 and 1000",
		"queues: [{name: a, max-attempts: 0}]":        "max-attempts: 0 is less than 1, and no job would be run: write 1 for no second attempt, or leave it out for 10",
	} {
		if _, err := Parse([]byte(doc), "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", doc, err, want)
		}
	}

}

func TestParseConfigNamesEveryFault(t *testing.T) {
	_, err := Parse([]byte(`
endpoint: ftp://x
idle-interval: 10ms
queues:
- {name: a, tags: [x], unmatched: shout, max-in-flight: -1, on-term: die, namespace: No_Good}
- {name: a, stack: "no spaces", template: {file: x, job: y}}
- {namespace: x}
- {name: b, namespace: x, max-attempts: many, agent-endpoint: "https://ci:hunter2@buildkite.test/v3"}
- {name: c, namespace: x, agent-endpoint: "http://buildkite.test/v3?x=1"}
`), "")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"endpoint: it has no http or https scheme", "idle-interval", "key=value", "max-in-flight", "on-term", `unmatched: "shout"`, "namespace", "used twice", "no spaces", "at most one", "no name",
		"max-attempts", "queues[3] (b): agent-endpoint: it has a user name or password", "queues[4] (c): agent-endpoint"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error says nothing of %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error has a password in it: %v", err)
	}
	_, err = Parse([]byte("stak: x\nqueues: [{name: a, max-inflight: 1, tags: [x]}, {name: b, max-atempts: 1}]"), "x")
	for _, want := range []string{`unknown field "stak"`, `unknown field "queues[0].max-inflight"`, `unknown field "queues[1].max-atempts"`, "key=value"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s in it", err, want)
		}
	}
	for _, doc := range []string{"queues: [{name: a, max-inflight: 1}]", "queues: [{name: 5, max-inflight: 1}]", "queues: [{name: a, pending-timeout: 5}]", "queues: [{name: a, buffer: -1}]", "{}"} {
		if _, err := Parse([]byte(doc), "x"); err == nil {
			t.Errorf("%s was taken", doc)
		}
	}
}
