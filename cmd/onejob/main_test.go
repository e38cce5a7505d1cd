package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/gobuild"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

func TestInterspersed(t *testing.T) {
	for in, want := range map[string]string{
		"onejob":                                "onejob",
		"onejob --help":                         "onejob --help",
		"onejob jobs -w":                        "onejob jobs -w",
		"onejob reacquire A --wait -f c.yaml B": "onejob reacquire --wait -f c.yaml A B",
		"onejob reacquire A --config=c.yaml":    "onejob reacquire --config=c.yaml A",
		"onejob reacquire A -- --wait":          "onejob reacquire A -- --wait",
		"onejob nonsense A --wait":              "onejob nonsense A --wait",
	} {
		if got := interspersed(newApp(), strings.Fields(in)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: got %s, want %s", in, strings.Join(got, " "), want)
		}
	}
}

// result is what a command line leads to.
type result struct {
	out, err string
	code     int
}

func run(t *testing.T, args ...string) result {
	t.Helper()
	return runContext(t.Context(), args...)
}

func runContext(ctx context.Context, args ...string) result {
	app := newApp()
	var out, errout bytes.Buffer
	app.Writer, app.ErrWriter = &out, &errout
	code := exitCode(&errout, app.RunContext(ctx, interspersed(app, append([]string{"onejob"}, args...))))
	return result{out.String(), errout.String(), code}
}

// wants fails the test unless the command ended with code and said all texts,
// wherever.
func (r result) wants(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", r.code, code, r.out, r.err)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			t.Errorf("it doesn't say %q, but\n%s%s", text, r.out, r.err)
		}
	}
}

// write writes a file for the test and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is wrong on the command line or in a file is told with what to do, and
// is 2.
func TestMistakes(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	good := write(t, "queues: [{name: default}, {name: gpu}]")
	wrong := write(t, "queues: [{name: default, template: {inline: {spec: {hostNetwrok: true}}}}]")
	for _, tt := range []struct{ args, want string }{
		{"jbos", `Did you mean "jobs"?`},
		{"jobs --wacth", `Did you mean "--watch"?`},
		{"reacquire --dryrun", `Did you mean "--dry-run"?`},
		{"jobs", "no cluster to talk to"},
		{"sizes", "no cluster to talk to"},
		{"sizes /nowhere", "/nowhere: open /nowhere: no such file"},
		{"sizes " + good, "it is not what `onejob jobs -o json` writes"},
		{"lint", "set --config or ONEJOB_CONFIG"},
		{"lint -f /nowhere/onejob.yaml", "/nowhere/onejob.yaml: no such file"},
		{"render -f " + good, "The configuration has default, gpu: give --queue"},
		{"render -f " + good + " --queue other", `no queue "other" in the configuration, it has default, gpu`},
		{"render -f " + good + " -q gpu -o nonsense", "it must be table, wide, json or yaml"},
		{"jobs -o nonsense", "it must be table, wide, json or yaml"},
		{"reacquire -f " + good + " -o nonsense " + nobodys, "it must be table, wide, json or yaml"},
		{"render -f " + wrong, `template of queue default: unknown field "spec.template.spec.hostNetwrok"`},
		{"render -f " + good + " -q gpu --job " + write(t, "pipeline: demo"), "no job ID given"},
		{"render -f " + good + " -q gpu --job x " + nobodys, "one or the other"},
		{"render -f " + good + " -q gpu " + nobodys + " " + nobodys, "one at a time"},
		{"render -f " + good + " -q gpu --job /nowhere", "/nowhere: no such file"},
		{"render -f " + good + " -q gpu 018f0000-0000-7000-8000-00000000000a", "no token to ask Buildkite"},
		{"explain nonsense", "nonsense"},
		{"explain", "the UUID after # in a job's URL"},
		{"reacquire", "the UUID after # in a job's URL"},
		{"reacquire -f " + good + " 018f0000-0000-7000-8000-00000000000a", "no cluster to talk to"},
		{"cancel", "no job ID given"},
		{"hold", "no job ID given"},
		{"hold --for 0s " + nobodys, "--for must be a time such as 30m"},
		{"release", "no job ID given"},
		{"schedule", "config"},
		{"schedule --log-level wrn", `log-level is "wrn", want one of debug, info`},
		{"schedule --log-format xml", `log-format is "xml", want json or text`},
		{"deregister", "config"},
	} {
		t.Run(tt.args, func(t *testing.T) { run(t, strings.Fields(tt.args)...).wants(t, 2, tt.want) })
	}
}

// sizes reads what jobs wrote.
func TestSizes(t *testing.T) {
	file := write(t, `[{"namespace":"builds","kubernetes_job":"a","pod":"a-x","pipeline":"app","step":"test","used":[{"container":"agent","seconds":10,"use":{"memory_peak":104857600,"cpu_seconds":5}}]}]`)
	run(t, "sizes", file, file).wants(t, 0, "MEMORY p50/p90/max", "app", "100 MiB / 100 MiB / 100 MiB", "0.50 / 0.50 / 0.50", "cpu 500m, memory 112Mi", "memory 128Mi")
	run(t, "sizes", "-o", "json", file).wants(t, 0, `"requests_memory": "112Mi"`, `"runs": 1`)
	run(t, "sizes", "-o", "json", write(t, "[]")).wants(t, 0, "[]")
}

// A token that can't be one is said to be that, not that there is none.
func TestTokenMistakes(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	file := write(t, "two words")
	cfg := write(t, "stack: ours\nqueues: [{name: default, token-file: "+file+"}]") // else the cluster is asked whose stack it is
	run(t, "deregister", "-f", cfg).wants(t, 1, "queue default", "the agent token in the file "+file+" has a space")
	run(t, "deregister", "-f", write(t, "stack: ours\nqueues: [{name: default, token-file: /nowhere}]")).wants(t, 1, "there is no token in /nowhere: set --token-file or BUILDKITE_AGENT_TOKEN")
	t.Setenv("BUILDKITE_AGENT_TOKEN", "two words")
	run(t, "deregister", "-f", cfg).wants(t, 2, "the agent token in BUILDKITE_AGENT_TOKEN has a space")
}

// lint names every fault of the file, and every template's, at once.
func TestLint(t *testing.T) {
	r := run(t, "lint", "-f", write(t, `
idle-interval: 1ms
queues:
- {name: a, max-in-flight: -1, on-term: never}
- {name: a, tags: [nonsense]}
`))
	r.wants(t, 2, "idle-interval", "max-in-flight: -1", "neither cancel nor drain", "used twice", `"nonsense" must be key=value`)
	r = run(t, "lint", "-f", write(t, `
queues:
- {name: a, template: {inline: {spec: {restartPolicy: Always, containers: [{name: b, image: x}]}}}}
- {name: b, template: {file: /nowhere/template.yaml}}
- {name: c}
`))
	r.wants(t, 2, "queue c: namespace", "template of queue a", "always Never", "one container", "template of queue b", "/nowhere/template.yaml")
	run(t, "lint", "-f", write(t, `queues: [{name: a, namespace: x, min-agents: 1, trusted-pipelines: true, template: {inline: {spec: {containers: [{name: agent, image: "x:{{env.TAG}}"}]}}}}]`)).
		wants(t, 2, "template of queue a", "containers[agent].image: {{env.NAME}} has no value in a warm placeholder")
	run(t, "lint", "-f", write(t, "queues: [{name: a, max-in-fligth: 1}]")).wants(t, 2, `unknown field "queues[0].max-in-fligth"`)
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	run(t, "lint", "-f", write(t, `
idle-interval: 1ms
queues:
- {name: a, max-in-fligth: 1, template: {inline: {spec: {restartPolicy: Always}}}}
- {name: b, template: {job: nowhere}}
- {name: c, template: {inline: {spec: {hostNetwrok: true}}}}
`)).wants(t, 2, `unknown field "queues[0].max-in-fligth"`, "idle-interval", "template of queue a: spec.template.spec.restartPolicy",
		"template of queue b: no cluster to talk to", `template of queue c: unknown field`)
	run(t, "lint", "-f", write(t, "queues: [{name: a, namespace: x}]"), "--pod-security", "restricted").wants(t, 0, "queue a: namespace x")
	privileged := write(t, "queues: [{name: a, namespace: x, template: {inline: {spec: {hostNetwork: true}}}}]")
	run(t, "lint", "-f", privileged, "--pod-security", "baseline").wants(t, 2, "queue a: a namespace with the Pod Security level baseline would refuse every pod: host namespaces (hostNetwork=true)")
	run(t, "lint", "-f", privileged, "--pod-security", "privileged").wants(t, 0)
	run(t, "lint", "-f", privileged, "--pod-security", "none").wants(t, 2, "pod security: ")
	// The cases from the field: zero, and a template that no job can use.
	run(t, "lint", "-f", write(t, "queues: [{name: a, namespace: x, pending-timeout: 0s, image-grace: 0s, max-attempts: 0}]")).wants(t, 2, "max-attempts: 0 is less than 1")
	run(t, "lint", "-f", write(t, "queues: [{name: a, namespace: x, template: {inline: {spec: {containers: [{name: agent, resources: {requests: {memory: 4Gi}}}]}}}}]")).
		wants(t, 2, "template of queue a: spec.template.spec.containers[agent].resources.requests.memory: 4Gi is more than the limit, 2Gi")
	run(t, "lint", "-f", write(t, `queues: [{name: a, namespace: x, template: {inline: {spec: {containers: [{name: agent, image: "{{env.IMAGE}}"}]}}}}]`)).
		wants(t, 2, "template of queue a: spec.template.spec.containers[agent].image: whoever can set IMAGE in a pipeline could take the agent token")
	run(t, "lint", "-f", write(t, `queues: [{name: a, namespace: x, step-defaults: {checkout: {cloneFlag: -v}}}, {name: b, namespace: x, step-defaults: {commandParams: {extraVolumeMounts: [{name: ca, mountPath: /ca}]}}}]`)).
		wants(t, 2, "template of queue a: step-defaults.checkout.cloneFlag: there is no such field, but there is cloneFlags", `template of queue b: step-defaults.commandParams.extraVolumeMounts: the queue's template has no volume "ca"`)
	run(t, "lint", "--schema").wants(t, 0, `"$schema"`)
	run(t, "lint", "--template").wants(t, 0, "kind: Job")
}

func TestRender(t *testing.T) {
	config := write(t, `
queues:
- {name: default, namespace: builds}
- {name: gpu, namespace: builds, trusted-pipelines: true, template: {inline: {spec: {containers: [{name: agent, image: "gpu:{{env.CUDA}}"}]}}}}
`)
	run(t, "render", "-f", config, "-q", "default").wants(t, 0, "kind: Job", "namespace: builds", "name: onejob-"+string(contract.SampleJobID))
	job := write(t, "{id: 018f0000-0000-7000-8000-00000000000a, pipeline: demo, build: 7, branch: main, step: test, priority: 2, env: {CUDA: '12.4'}}")
	run(t, "render", "-f", config, "--queue=gpu", "--job", job, "--attempt", "3").wants(t, 0,
		"name: onejob-018f0000-0000-7000-8000-00000000000a-3", "image: gpu:12.4", "onejob.dev/pipeline: demo", `onejob.dev/attempt: "3"`)
	run(t, "render", "-f", config, "--queue=gpu", "--job", job, "-o", "json").wants(t, 0, `"image": "gpu:12.4"`)
	run(t, "render", "-f", config, "--queue=gpu").wants(t, 1, "CUDA", "is not in the job's environment")
	run(t, "render", "-f", config, "--queue=gpu", "--job", write(t, "{id: x, setp: y}")).wants(t, 2, `unknown field "setp"`)
}

// Every command has a help text with an example, and every flag a word.
func TestHelp(t *testing.T) {
	run(t).wants(t, 0, "reacquire", "lint")
	for _, c := range newApp().Commands {
		r := run(t, c.Name, "--help")
		r.wants(t, 0, "   onejob "+c.Name, c.Usage)
		if !slices.Contains([]string{"probe", "import", "completion"}, c.Name) { // they ask no cluster
			r.wants(t, 0, "--kubeconfig", "--context", "--namespace NAME, -n NAME")
		}
		for _, f := range c.Flags {
			if d, ok := f.(cli.DocGenerationFlag); !ok || d.GetUsage() == "" {
				t.Errorf("onejob %s: flag %s has no word of help", c.Name, f.Names()[0])
			}
		}
	}
}

// kubectl runs plugins by their name on PATH.
func TestPlugin(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	plugin := filepath.Join(t.TempDir(), "kubectl-onejob")
	if err := gobuild.Program(t.Context(), "", plugin, "."); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(plugin, "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "kubectl onejob [global options] command") {
		t.Errorf("kubectl onejob --help: %v\n%s", err, out)
	}
	l := aLab(t)
	cmd := exec.Command(plugin, "jobs", "--kubeconfig", l.kubeconfig, "-n", l.namespace, "-o", "json")
	if out, err = cmd.Output(); err != nil || strings.TrimSpace(string(out)) != "[]" { // what it can't ask Buildkite is on stderr
		t.Errorf("kubectl onejob jobs: %v\n%s", err, out)
	}
	cmd = exec.Command(plugin, "jobs", "--context", "nowhere")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+l.kubeconfig)
	if out, err = cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(out), `context "nowhere" does not exist`) {
		t.Errorf("kubectl onejob jobs --context nowhere: %v\n%s", err, out)
	}
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Log("there is no kubectl here; what it does is run the plugin by its name")
		return
	}
	cmd = exec.Command(kubectl, "onejob", "jobs", "-o", "json", "-n", l.namespace)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+l.kubeconfig, "PATH="+filepath.Dir(plugin)+":"+os.Getenv("PATH"))
	if out, err = cmd.Output(); err != nil || strings.TrimSpace(string(out)) != "[]" { // what it can't ask Buildkite is on stderr
		t.Errorf("kubectl onejob jobs: %v\n%s", err, out)
	}
}
