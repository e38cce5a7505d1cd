package k8s

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte(`
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
	if *b.MaxInFlight != 0 || b.Buffer != (Amount{10, true}) || b.Buffer.Of(11) != 2 || time.Duration(b.PendingTimeout) != time.Hour || b.Namespace != "gpu-jobs" {
		t.Errorf("gpu: %+v", b)
	}
}

func TestParseConfigNamesEveryFault(t *testing.T) {
	_, err := ParseConfig([]byte(`
endpoint: ftp://x
idle-interval: 10ms
queues:
- {name: a, tags: [x], max-in-flight: -1, on-term: die, namespace: No_Good}
- {name: a, stack: "no spaces", template: {file: x, job: y}}
- {namespace: x}
`), "")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"ftp://x", "idle-interval", "key=value", "max-in-flight", "on-term", "namespace", "used twice", "no spaces", "at most one", "no name"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error says nothing of %q:\n%v", want, err)
		}
	}
	for _, doc := range []string{"queues: [{name: a, max-inflight: 1}]", "queues: [{name: a, pending-timeout: 5}]", "queues: [{name: a, buffer: -1}]", "{}"} {
		if _, err := ParseConfig([]byte(doc), "x"); err == nil {
			t.Errorf("%s was taken", doc)
		}
	}
}

// The schema is written by hand for its descriptions; this keeps it honest.
func TestSchemaHasEveryKey(t *testing.T) {
	type node struct {
		Properties map[string]*node
		Items      *node
	}
	var root node
	if err := json.Unmarshal(Schema, &root); err != nil {
		t.Fatal(err)
	}
	keys := func(v any) []string {
		var out []string
		for f := range reflect.TypeOf(v).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			out = append(out, name)
		}
		slices.Sort(out)
		return out
	}
	queue := root.Properties["queues"].Items
	for _, tt := range []struct {
		v any
		n *node
	}{{Config{}, &root}, {Queue{}, queue}, {SecretRef{}, queue.Properties["token-secret"]}, {TemplateRef{}, queue.Properties["template"]}} {
		if diff := cmp.Diff(keys(tt.v), slices.Sorted(maps.Keys(tt.n.Properties))); diff != "" {
			t.Errorf("%T and the schema differ (-struct +schema):\n%s", tt.v, diff)
		}
	}
}
