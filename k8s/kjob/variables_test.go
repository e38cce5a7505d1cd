package kjob

import (
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/k8s/config"
)

// Parse refuses a template variable where none can work, with its path, and names no other.
func TestMisplacedVariables(t *testing.T) {
	for _, tt := range []struct {
		doc  string
		want []string
	}{
		{
			`{spec: {containers: [{name: agent, image: "a:{{env.TAG}}", resources: {limits: {cpu: "{{env.CPUS}}"}, requests: {memory: "{{env.MEMORY}}"}}}]}}`,
			[]string{"spec.template.spec.containers[agent].resources.limits.cpu: {{env.NAME}} works in strings only", "containers[agent].resources.requests.memory: {{"},
		},
		{
			`{spec: {terminationGracePeriodSeconds: "{{env.GRACE}}", hostNetwork: "{{env.HOST}}", nodeSelector: {pool: "{{env.POOL}}"}}}`,
			[]string{"spec.template.spec.hostNetwork: {{", "spec.template.spec.terminationGracePeriodSeconds: {{"},
		},
		{
			`{apiVersion: batch/v1, kind: Job, spec: {activeDeadlineSeconds: "{{env.N}}", template: {spec: {containers: [{name: agent, args: ["{{env.N}}"]}]}}}}`,
			[]string{"spec.activeDeadlineSeconds: {{env.NAME}} works in strings only"},
		},
		{
			`{metadata: {labels: {team: "{{env.TEAM}}"}}, spec: {}}`,
			[]string{"spec.template.metadata.labels: team={{env.TEAM}}: {{env.NAME}} works in strings only"},
		},
		{
			`{spec: {containers: [{name: agent, image: {{env.IMAGE}}}]}}`,
			[]string{"{{env.NAME}} works in strings only, such as an annotation or a node selector's value: put the string in quotes"},
		},
		// The template variable isn't the cause.
		{
			`{spec: {hostNetwork: 1, containers: [{name: agent, image: "{{env.IMAGE}}"}]}}`,
			[]string{"reading the merged template: "},
		},
	} {
		_, err := Parse([]byte(tt.doc), config.Queue{TrustedPipelines: true})
		if err == nil {
			t.Errorf("%s was taken", tt.doc)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(tt.want) {
			t.Errorf("%s: %d faults, want %d:\n%v", tt.doc, len(lines), len(tt.want), err)
			continue
		}
		for i, want := range tt.want {
			if !strings.Contains(lines[i], want) {
				t.Errorf("%s: %s\nwant %s", tt.doc, lines[i], want)
			}
		}
	}
}

// Placeholders have no job, so Parse refuses a template variable in the fields that they use.
// Fields that placeholders don't use may have one.
func TestVariablesInPlaceholders(t *testing.T) {
	const image, selector = `containers: [{name: agent, image: "a:{{env.TAG}}"}]`, `nodeSelector: {pool: "{{env.POOL}}"}`
	const without = `{metadata: {annotations: {note: "{{env.NOTE}}"}}, spec: {
		volumes: [{name: data, configMap: {name: "{{env.DATA}}"}}], initContainers: [{name: first, image: "{{env.FIRST}}"}],
		containers: [{name: agent, command: ["{{env.CMD}}"], env: [{name: A, value: "{{env.A}}"}], volumeMounts: [{name: data, mountPath: "/{{env.DATA}}"}]}]}}`
	for _, tt := range []struct {
		name, queue, doc string
		want             []string // nil if it is taken
	}{
		{name: "no placeholders", doc: "{spec: {" + image + ", " + selector + "}}"},
		{name: "min-agents", queue: "  min-agents: 1\n", doc: "{spec: {" + image + "}}", want: []string{"spec.template.spec.containers[agent].image: {{env.NAME}} has no value in a warm placeholder"}},
		{name: "buffer", queue: "  buffer: 10%\n", doc: "{spec: {" + image + ", " + selector + "}}", want: []string{"containers[agent].image: ", "spec.template.spec.nodeSelector.pool: "}},
		{name: "what they go without", queue: "  min-agents: 1\n", doc: without},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.doc), aQueue(t, "  trusted-pipelines: true\n"+tt.queue))
			if (err == nil) != (tt.want == nil) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if err == nil {
				return
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Errorf("%d faults, want %d:\n%v", len(lines), len(tt.want), err)
			}
			for i, line := range lines {
				if !strings.Contains(line, tt.want[i]) || !strings.Contains(line, "without min-agents and buffer") {
					t.Errorf("got %s\nwant %s", line, tt.want[i])
				}
			}
		})
	}
}
