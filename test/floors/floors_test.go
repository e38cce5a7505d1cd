// Package floors holds the layout of ARCHITECTURE.md against the code: imports
// point down only. It has nothing but its test.
package floors

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/onejob-dev/onejob/"

// rules are the imports that a package, or all those under it ("/..."), must not
// have, directly or by what it imports, unless direct is set. What ends with "/"
// is all that is below it.
var rules = []struct {
	of        string
	forbidden []string
	direct    bool
	reason    string
}{
	{of: "contract", forbidden: []string{"."}, reason: "it is what scheduler and runner agree on: whoever imports it pays for nothing but the standard library"},
	{of: "k8s/decide", forbidden: []string{"k8s.io/client-go/", module + "k8s/"}, reason: "decisions are pure: they ask nobody and know no cache"},
	{of: "k8s/kube", forbidden: []string{module + "k8s/", module + "stacks"}, reason: "it is below everything that talks to Kubernetes"},
	{of: "k8s/config", forbidden: []string{module + "k8s/", "k8s.io/client-go/"}, reason: "a configuration is read without a cluster"},
	{of: "k8s/kjob", forbidden: []string{module + "k8s/decide", module + "k8s/cache", module + "k8s/events", module + "k8s/scheduler", module + "k8s/operate"}, reason: "what is built knows nothing of what becomes of it"},
	{of: "k8s/steps", forbidden: []string{module + "k8s/", module + "stacks", "k8s.io/client-go/"}, reason: "what a step describes is read and worked out without a queue, a runner or a cluster"},
	{of: "k8s/policy", forbidden: []string{module + "k8s/kjob", module + "k8s/decide", module + "k8s/cache", module + "k8s/events", module + "k8s/scheduler", module + "k8s/operate", "k8s.io/client-go/"}, reason: "whether a step may have what it describes is known before anything is built of it"},
	{of: "k8s/admission", forbidden: []string{module + "k8s/scheduler", module + "k8s/operate", module + "k8s/cache"}, reason: "what the API server is to hold Jobs to is written without a cluster"},
	{of: "k8s/moving", forbidden: []string{module + "k8s/kjob", module + "k8s/scheduler", module + "k8s/operate", "k8s.io/client-go/"}, reason: "values become a configuration without a cluster"},
	{of: "k8s/cache", forbidden: []string{module + "k8s/scheduler", module + "k8s/operate", module + "k8s/config"}, direct: true, reason: "a cache shows what is there, for whoever looks"},
	{of: "k8s/events", forbidden: []string{module + "k8s/scheduler", module + "k8s/operate", module + "k8s/cache"}, reason: "Events are read and written without a cache"},
	{of: "k8s/status", forbidden: []string{module + "k8s/", module + "stacks", "k8s.io/client-go/"}, reason: "the page shows what it is given, and can ask nobody"},
	{of: "k8s/operate", forbidden: []string{module + "k8s/scheduler", module + "k8s/cache"}, reason: "people's commands look at the cluster itself, and work without a scheduler"},
	{of: "k8s/doctor", forbidden: []string{module + "k8s/scheduler", module + "k8s/cache"}, reason: "an installation is looked at from outside, and best when no scheduler runs"},
	{of: "k8s/scheduler", forbidden: []string{module + "k8s/operate", module + "k8s/doctor"}, reason: "the scheduler needs nobody who calls a command"},
	{of: "k8s/...", forbidden: []string{module + "launcher", module + "acquire", module + "signals"}, reason: "scheduler and runner meet in the pod contract only"},
	{of: "launcher/cgroup", forbidden: []string{module + "launcher/container", module + "launcher/jobrun", module + "acquire", "github.com/buildkite/", "golang.org/"}, reason: "it reads a few files, in onejob-step too"},
	{of: "launcher/...", forbidden: []string{module + "k8s/", module + "stacks", "k8s.io/"}, reason: "scheduler and runner meet in the pod contract only, and no Kubernetes client is in a job's pod"},
	{of: "acquire", forbidden: []string{module + "k8s/", module + "stacks", "k8s.io/"}, reason: "no Kubernetes client is in a job's pod"},
	{of: "cmd/onejob-agent", forbidden: []string{module + "k8s/", module + "stacks", "k8s.io/", "github.com/buildkite/agent/v3/agent"}, reason: "PID 1 of every job's pod stays small: the agent's job runner is in onejob-run, which starts once a job is ours"},
	{of: "cmd/onejob-run", forbidden: []string{module + "k8s/", module + "stacks", "k8s.io/"}, reason: "no Kubernetes client is in a job's pod"},
	{of: "cmd/onejob-step", forbidden: []string{module + "k8s/", module + "stacks", module + "acquire", "k8s.io/", "github.com/buildkite/agent/v3/agent", "github.com/buildkite/agent/v3/api"}, reason: "it is copied into every pod of a step with an image, and waits there beside the command"},
	{of: "cmd/onejob-agent", forbidden: []string{"go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters/"}, reason: "the runner exports no traces: the scheduler does, from its message. onejob-run has the SDK by the agent's library"},
	{of: "cmd/onejob-step", forbidden: []string{"go.opentelemetry.io/"}, reason: "the runner exports no traces: the scheduler does"},
	{of: "launcher/mirror", forbidden: []string{module + "launcher", module + "acquire", module + "signals", "github.com/buildkite/", "golang.org/"}, reason: "it knows files of git's, and is in onejob-step too"},
	{of: "launcher/cgroup", forbidden: []string{"go.opentelemetry.io/"}, reason: "it is in onejob-step"},
	{of: "k8s/traces", forbidden: []string{module + "k8s/", "k8s.io/"}, reason: "it exports what it is given, and asks nobody but a collector"},
	{of: "stacks", forbidden: []string{"github.com/buildkite/agent/", "k8s.io/"}, reason: "Buildkite's queue is asked without the agent's library and without Kubernetes"},
	{of: "probe", forbidden: []string{module + "k8s/", module + "launcher", module + "acquire", module + "simulator", "k8s.io/client-go/"}, reason: "Buildkite is asked without Kubernetes, and by calls of its own: what our clients would make of an answer is no answer"},
	{of: "k8s/...", forbidden: []string{"github.com/buildkite/agent/"}, reason: "the agent's library belongs into the runner"},
	{of: "assumptions", forbidden: []string{module, "k8s.io/", "github.com/buildkite/"}, reason: "the simulator and onejob probe share it: it is a table, and asks nobody"},
	{of: "simulator", forbidden: []string{module + "k8s/", module + "launcher", module + "acquire", module + "stacks"}, reason: "it is the oracle: it shares no code with what it judges"},
}

// No product imports what is made for tests.
func TestProductNeedsNoTest(t *testing.T) {
	for pkg, imports := range graph(t) {
		if strings.HasPrefix(pkg, module+"test/") || strings.HasPrefix(pkg, module+"demo") {
			continue
		}
		for _, i := range imports {
			if strings.HasPrefix(i, module+"test/") {
				t.Errorf("%s imports %s", short(pkg), short(i))
			}
		}
	}
}

func TestFloors(t *testing.T) {
	imports := graph(t)
	for _, r := range rules {
		found := false
		for pkg := range imports {
			if !covers(r.of, short(pkg)) {
				continue
			}
			found = true
			for _, way := range ways(imports, pkg, r.direct) {
				for _, f := range r.forbidden {
					if last := way[len(way)-1]; forbids(f, last) && last != pkg {
						t.Errorf("%s imports %s, by %s: %s", short(pkg), short(last), short(strings.Join(way, " › ")), r.reason)
					}
				}
			}
		}
		if !found {
			t.Errorf("there is no package %s: the rule is out of date", r.of)
		}
	}
}

// covers reports whether a rule of a package, or of all under it, is about one.
func covers(of, pkg string) bool {
	under, all := strings.CutSuffix(of, "/...")
	return pkg == under || all && strings.HasPrefix(pkg, under+"/")
}

// forbids: "." is everything that isn't the standard library's.
func forbids(f, path string) bool {
	switch {
	case f == ".":
		return strings.Contains(strings.Split(path, "/")[0], ".")
	case strings.HasSuffix(f, "/"):
		return strings.HasPrefix(path, f)
	}
	return path == f || strings.HasPrefix(path, f+"/")
}

// ways are those from a package to all that it imports, the shortest to each.
func ways(imports map[string][]string, from string, direct bool) (out [][]string) {
	seen := map[string]bool{from: true}
	next := [][]string{{from}}
	for len(next) > 0 {
		way := next[0]
		next = next[1:]
		for _, i := range imports[way[len(way)-1]] {
			if seen[i] {
				continue
			}
			seen[i] = true
			w := append(append([]string(nil), way...), i)
			out = append(out, w)
			if !direct {
				next = append(next, w)
			}
		}
	}
	return out
}

// graph has the imports of all packages that the module's need, tests left out.
func graph(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 0 {
			imports[f[0]] = f[1:]
		}
	}
	return imports
}

func short(path string) string { return strings.ReplaceAll(path, module, "") }
