package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func aFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const lintConfig = `
queues:
- name: default
  steps: pod
  tags: [os=linux]
- name: images
- name: node
  steps: plain
  template: {inline: {spec: {containers: [{name: agent, image: "node:22"}]}}}
- name: trusted
  steps: pod
  policy: {secrets: [npm], pod-templates: [node]}
- name: classes
  steps: pod
  policy: {limits: {pod: {cpu: "8"}}}
  resource-classes: {large: {resource: {requests: {cpu: "6"}}}, small: {}}
`

// One fault a row, and what is fine beside it.
func TestLintPipeline(t *testing.T) {
	cfg := aFile(t, "onejob.yaml", lintConfig)
	for _, tt := range []struct {
		name, pipeline string
		code           int
		says           []string
	}{
		{"nothing special", "steps: [{command: make}, wait, {block: go}, {group: g, steps: [{label: in, command: x}]}]", 0, []string{"2 command steps, 0 faults"}},
		{"a list of steps", "[{command: make}]", 0, []string{"1 command steps, 0 faults"}},
		{"an image", "steps: [{label: build, command: make, image: golang}]", 0, []string{"0 faults"}},
		{"an image in a plain queue", "agents: {queue: node}\nsteps: [{label: build, command: make, image: golang}]", 2, []string{`step 1 (build): image: "golang": the queue has steps: plain`}},
		{"an image for all", "agents: {queue: node}\nimage: golang\nsteps: [{command: make}, {command: make, image: rust}]", 2, []string{`step 1: image: "golang"`, `step 2: image: "rust"`}},
		{"an image as a variable", "agents: {queue: node}\nenv: {BUILDKITE_IMAGE: golang}\nsteps: [{command: make}]", 2, []string{`step 1: image: "golang"`}},
		{"the queue's image", "agents: {queue: node}\nsteps: [{command: make, image: 'node:22'}]", 0, nil},
		{"no image's name", "steps: [{command: make, image: Golang}]", 2, []string{`step 1: image: "Golang" is not an image name`}},
		{"an image that the upload makes", "agents: {queue: node}\nsteps: [{command: make, image: 'app:$TAG'}, {command: x, image: 'app:${TAG:-v1}'}]", 2, []string{"step 1: note: its image or its plugin has variables", `image: "app:x"`}},
		{"the plugin", "steps: [{key: k, command: make, plugins: [{kubernetes: {podSpec: {containers: [{image: golang}]}}}]}]", 0, []string{"0 faults"}},
		{"the plugin in a plain queue", "agents: {queue: node}\nsteps: [{key: k, command: make, plugins: [{kubernetes: {podSpec: {containers: [{image: golang}]}}}]}]", 2, []string{"step 1 (k): kubernetes: the queue has steps: plain"}},
		{"the plugin in a queue as it comes", "agents: {queue: images}\nsteps: [{key: k, command: make, image: golang, plugins: [{kubernetes: {podSpec: {containers: [{image: golang}]}}}]}]", 2, []string{"step 1 (k): kubernetes: the queue has steps: image"}},
		{"the plugin by its name alone, in a queue as it comes", "agents: {queue: images}\nsteps: [{key: k, command: make, plugins: [kubernetes]}]", 2, []string{"step 1 (k): kubernetes: the queue has steps: image"}},
		{"what the queue's policy allows", "agents: {queue: trusted}\nsteps: [{command: make, plugins: [{kubernetes: {podSpec: {containers: [{image: golang, envFrom: [{secretRef: {name: npm}}]}]}}}]}]", 0, nil},
		{"what isn't built", "steps: [{command: make, plugins: [{kubernetes: {podSpec: {terminationGracePeriodSeconds: 5, containers: [{image: a}, {image: b}]}}}]}]", 2, []string{"kubernetes.podSpec.terminationGracePeriodSeconds: it is divided between the runner and the job"}},
		{"a PodTemplate of the list", "agents: {queue: trusted}\nsteps: [{command: make, plugins: [{kubernetes: {podTemplate: node}}]}]", 0, []string{"note: kubernetes.podTemplate: node is in the cluster, which wasn't asked for it", "isn't checked here"}},
		{"a PodTemplate of none", "steps: [{command: make, plugins: [{kubernetes: {podTemplate: node}}]}]", 2, []string{`step 1: kubernetes.podTemplate: the PodTemplate "node" is not one that this queue's steps may use`}},
		{"a field of the plugin, in a group", "steps: [{group: g, steps: [{command: make, plugins: {kubernetes: {podspec: {}}}}]}]", 2, []string{"step 1: kubernetes.podspec: there is no such field, but there is podSpec"}},
		{"what no step may have", "steps: [{command: make, plugins: [{kubernetes: {podSpec: {hostNetwork: true, containers: [{image: golang}]}, gitEnvFrom: [{secretRef: {name: onejob-agent-token}}]}}]}]", 2, []string{"step 1: hostNetwork: it is the node's network", "the Secret onejob-agent-token has the agent token in it"}},
		{"what the peer would ignore", "steps: [{command: make, plugins: [{kubernetes: {podSpec: {containers: [{image: golang, args: [x]}]}}}]}]", 0, []string{"note: kubernetes.podSpec.containers[container-0]: args without a command are not used"}},
		{"what the API server would refuse", "steps: [{command: make, plugins: [{kubernetes: {podSpec: {containers: [{image: golang, ports: [{containerPort: 70000}]}]}}}]}]", 2, []string{"step 1: containers[command].ports.containerPort: 70000 is not between 1 and 65535"}},
		{"another plugin", "steps: [{command: make, plugins: ['docker#v5', {cache#v1: {path: x}}]}]", 0, nil},
		{"a tag that the queue lacks", "steps: [{command: make, agents: [queue=default, os=windows]}]", 2, []string{"step 1: ", "lacks the tag os=windows"}},
		{"a resource class", "steps: [{command: make, agents: {queue: classes, resource_class: small}, plugins: [{kubernetes: {sidecars: [{image: db, resources: {requests: {cpu: 4}}}]}}]}]", 0, []string{"0 faults"}},
		{"more than goes with it", "steps: [{command: make, agents: {queue: classes, resource_class: large}, plugins: [{kubernetes: {sidecars: [{image: db, resources: {requests: {cpu: 4}}}]}}]}]", 2, []string{"10 in all is more than a pod of this queue may have, 8"}},
		{"a resource class that the queue lacks", "steps: [{command: make, agents: {queue: classes, resource_class: huge}}]", 2, []string{"lacks the tag resource_class=huge, and offers resource_class=large"}},
		{"a queue of others", "steps: [{command: make, agents: {queue: mac}, image: x}]", 0, []string{"note: its queue isn't in this configuration"}},
		{"a step's agents replace the pipeline's", "agents: {queue: mac}\nsteps: [{command: make, agents: {queue: default, os: linux}}]", 0, []string{"0 faults"}},
		{"no pipeline", "steps: {", 2, []string{"pipeline.yml: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, "lint", aFile(t, "pipeline.yml", tt.pipeline), "-f", cfg)
			r.wants(t, tt.code, tt.says...)
		})
	}
	run(t, "lint", "/no/pipeline.yml", "-f", cfg).wants(t, 2, "/no/pipeline.yml")
}

func TestImportValues(t *testing.T) {
	values := aFile(t, "values.yaml", "agentToken: very-secret\nconfig: {tags: [queue=kubernetes], job-prefix: x, default-checkout-params: {cloneFlags: --depth=1}}")
	r := run(t, "import", values)
	r.wants(t, 0, "config.job-prefix: a Kubernetes Job's name is made from its job's ID", "agentToken: a token is written into no file")
	if strings.Contains(r.out+r.err, "very-secret") {
		t.Error("the token is printed")
	}
	run(t, "lint", "-f", aFile(t, "onejob.yaml", r.out)).wants(t, 0, "queue kubernetes: namespace ")
	run(t, "import").wants(t, 2, "name one values file")
	run(t, "import", "/no/values.yaml").wants(t, 2, "/no/values.yaml")
	run(t, "import", aFile(t, "values.yaml", "a: b")).wants(t, 2, "is it the values file of agent-stack-k8s's chart?")
}
