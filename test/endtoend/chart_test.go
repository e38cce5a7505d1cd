package endtoend

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/fixture"
	"github.com/onejob-dev/onejob/test/helmbin"
	"github.com/onejob-dev/onejob/test/pages"
)

// images are those that the stage has built and its nodes have, under the names that the
// chart gives them.
const images = `image: {pullPolicy: Never}
agentImage: {pullPolicy: Never}
config:
  endpoint: `

// TestChart: one command installs onejob, its test passes and jobs run; an upgrade and a
// rollback go by without a running job being lost or run twice; and uninstalling it
// leaves the stacks deregistered, and nothing of onejob.
func TestChart(t *testing.T) {
	helmbin.Path(t) // a first build of it has no limit
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	if err := on.Uninstall(ctx, options.Root); err != nil {
		t.Fatal(err)
	}
	c := aChart(t, ctx)
	c.helm(append(c.documented("install"), "--values", c.values, "--wait", "--timeout", "3m")...)
	const saw, try = "queue default: namespace onejob, image localhost/onejob-agent:dev", "steps: [{command: echo hello from onejob, agents: {queue: default}}]"
	if said := c.helm(c.documented("test")...); strings.Count(said, saw) != 1 || !strings.Contains(said, try) {
		t.Errorf("the test doesn't say, once, what it saw of the queue, and a pipeline to try:\n%s", said)
	}

	kjobs, pods := watch(t, ctx)
	build := create(t, simulator.BuildRequest{Env: noCheckout()}, map[string]any{"command": "sleep 40; echo ran", "parallelism": 3})
	for _, id := range build.JobIDs {
		until(t, ctx, "all three jobs run", func() bool { j, _ := on.Simulator.Job(id); return j.State == simulator.StateRunning })
	}
	c.helm("upgrade", "onejob", c.dir, "--namespace", fixture.Namespace, "--reuse-values", "--set", "podLabels.new=yes", "--set", "config.idle-interval=2s", "--wait", "--timeout", "3m")
	c.helm("rollback", "onejob", "1", "--namespace", fixture.Namespace, "--wait", "--timeout", "3m")
	for _, id := range build.JobIDs {
		if j, _ := on.Simulator.Job(id); j.State != simulator.StateRunning {
			t.Logf("job %s is %s already: the upgrade took longer than it", id, j.State)
		}
	}
	after := create(t, simulator.BuildRequest{Env: noCheckout()}, map[string]any{"command": "echo after the rollback"})
	for _, id := range append(build.JobIDs, after.JobIDs...) {
		until(t, ctx, "every job has passed", func() bool { j, _ := on.Simulator.Job(id); return j.State == simulator.StateFinished })
		if j, _ := on.Simulator.Job(id); j.ExitStatus != "0" {
			t.Errorf("job %s: exit status %q, want 0", id, j.ExitStatus)
		}
		if k, p := kjobs.names(id), pods.names(id); len(k) != 1 || len(p) != 1 {
			t.Errorf("job %s had the kjobs %q and the pods %q, want one of each", id, k, p)
		}
	}
	settled(t)
	clean(t, ctx)

	registered := on.Simulator.Count("stacks_register")
	c.helm(append(c.documented("uninstall"), "--wait", "--timeout", "5m")...)
	if n := on.Simulator.Count("stacks_register") - registered; n != 0 {
		t.Errorf("stacks were registered %d times while onejob was uninstalled", n)
	}
	all := on.Simulator.Stacks()
	if slices.ContainsFunc(all, func(s simulator.Stack) bool { return s.State != "disconnected" }) {
		t.Errorf("the stacks are %+v, want all disconnected", all)
	}
	until(t, ctx, "nothing of onejob is left", func() bool { return len(leftovers(t, ctx)) == 0 })

	core := on.Cluster.Client().CoreV1()
	if err := core.Namespaces().Delete(ctx, fixture.Namespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, ctx, "the namespace is gone", func() bool {
		_, err := core.Namespaces().Get(ctx, fixture.Namespace, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	again := options
	again.Namespaces = nil // the other ones stay with what they have
	if err := on.Install(ctx, again); err != nil {
		t.Fatalf("installing again: %v", err)
	}
	if err := settle(ctx); err != nil {
		t.Error(err)
	}
}

// leftovers are the objects that the chart could have made, or the scheduler.
func leftovers(t *testing.T, ctx context.Context) (left []string) {
	t.Helper()
	client, err := dynamic.NewForConfig(on.Cluster.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []schema.GroupVersionResource{
		{Version: "v1", Resource: "configmaps"}, {Version: "v1", Resource: "secrets"}, {Version: "v1", Resource: "serviceaccounts"}, {Version: "v1", Resource: "pods"},
		{Version: "v1", Resource: "services"}, {Group: "apps", Version: "v1", Resource: "deployments"}, {Group: "batch", Version: "v1", Resource: "jobs"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"}, {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
		{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}, {Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	} {
		l, err := client.Resource(r).Namespace(fixture.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range l.Items {
			if o.GetName() != "default" && o.GetName() != "kube-root-ca.crt" { // every namespace has these
				left = append(left, r.Resource+"/"+o.GetName())
			}
		}
	}
	classes, err := on.Cluster.Client().SchedulingV1().PriorityClasses().List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=onejob"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range classes.Items {
		left = append(left, "priorityclasses/"+c.Name)
	}
	return left
}

// chart is what Helm is started with.
type chart struct {
	*testing.T
	ctx                      context.Context
	dir, values, token, home string
}

func aChart(t *testing.T, ctx context.Context) *chart {
	t.Helper()
	c := &chart{T: t, ctx: ctx, dir: filepath.Join(options.Root, "deploy", "chart"), home: t.TempDir()}
	c.values, c.token = filepath.Join(c.home, "values.yaml"), filepath.Join(c.home, "token")
	config := indented(fixture.QueueConfig(8, 20)) // the one queue, in the one namespace
	for path, text := range map[string]string{c.values: images + on.URL + "v3\n" + config, c.token: simulator.DefaultAgentToken + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// documented is Helm's command as deploy/README.md has it, with what its names stand for.
func (c *chart) documented(verb string) []string {
	c.Helper()
	is := strings.NewReplacer("REGISTRY", "localhost", "image.tag=v1", "image.tag=dev", "KEY", "default", "=token", "="+c.token, "deploy/chart", c.dir)
	for _, command := range pages.Commands(c, "helm") {
		if command.Page == "deploy/README.md" && command.Words[1] == verb {
			return strings.Split(is.Replace(strings.Join(command.Words[1:], "\n")), "\n")
		}
	}
	c.Fatalf("deploy/README.md has no helm %s", verb)
	return nil
}

// helm runs it without anything of this machine's.
func (c *chart) helm(args ...string) (said string) {
	c.Helper()
	cmd := exec.CommandContext(c.ctx, helmbin.Path(c), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+on.Cluster.KubeconfigPath, "HOME="+c.home, "HELM_CACHE_HOME="+c.home, "HELM_CONFIG_HOME="+c.home, "HELM_DATA_HOME="+c.home)
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.Fatalf("helm %q: %v\n%s\n%v", args, err, out, leftovers(c.T, context.WithoutCancel(c.ctx)))
	}
	c.Logf("helm %s:\n%s", args[0], out)
	return string(out)
}

// indented has a configuration's keys under `config:`.
func indented(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString("  " + line)
	}
	return out.String()
}
