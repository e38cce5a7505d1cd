package endtoend

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/fixture"
	"github.com/onejob-dev/onejob/test/kubectlbin"
	"github.com/onejob-dev/onejob/test/kueuebin"
)

// on is the installation that all tests share, options is how it is made.
var (
	on      *fixture.Installation
	options fixture.Options
)

var (
	profile = flag.String("profile", assumptions.NameShipped, "what Buildkite does where nobody can know: a file with answers to docs/assumptions.md, shipped or opposite")
	again   = flag.Bool("again", false, "after the tests of -run, too, run some once more in the opposite profile, as it is done after all tests")
)

// nodes: node-0 stays; node-1 is lost, and node-2 is cut off for a while.
const nodes = 3

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("a cluster takes a minute to start; left out by -short")
		os.Exit(0)
	}
	// Rows mostly wait: for a grace, a timeout, a controller.
	if err := flag.Set("test.parallel", "100"); err != nil {
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	repositories, err := os.MkdirTemp("", "onejob-endtoend")
	if err == nil {
		defer os.RemoveAll(repositories)
		err = publish(ctx, repositories)
	}
	if err == nil {
		options, err = setting(repositories)
	}
	kueue := ""
	if err == nil && wanted("TestKueue") {
		kueue, err = kueuebin.Build(ctx) // while others have the cluster
	}
	if err == nil && wanted("TestDocumentedKubectl") {
		kubectlPath, err = kubectlbin.Build(ctx)
	}
	if err == nil {
		err = cluster.Turn(ctx, options.Logf)
	}
	if err == nil {
		on, err = fixture.Up(ctx, options)
	}
	if err == nil {
		err = importHome(ctx)
	}
	if err == nil {
		err = importForeign(ctx)
	}
	if err == nil && kueue != "" {
		err = startKueue(ctx, kueue)
	}
	if err == nil {
		err = settle(ctx)
	}
	if err == nil {
		at, err = newGate(on.Cluster.HostAddress)
	}
	var address string
	if err == nil {
		late, address, err = newRegistry(ctx, on.Cluster.HostAddress)
	}
	if err == nil {
		err = on.Cluster.Registry("late.test", address)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "installing onejob:", err)
		return 1
	}
	defer func() {
		if err := on.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "ending the cluster:", err)
		}
	}()
	code := m.Run()
	if whole := flag.Lookup("test.run").Value.String() == ""; code == 0 && (whole || *again) {
		code = onceMore(ctx, m)
	}
	return code
}

// inOpposite are the tests that onceMore runs: a whole build with uploads, hooks and artifacts,
// and rows in which a runner, a pod or a reservation is lost.
const inOpposite = "^(TestPromises|TestRunnerExits|TestOfferedAgain|TestByHand)$/^(default|exit-27-rejected|exit-28-locked|exit-75-exhausted|" +
	"reservation-lapsed|offered-again-exhausted|kjob-deleted-running)$"

// onceMore runs some tests again in the same cluster, with a Buildkite that answers the
// opposite wherever nobody can know (docs/assumptions.md). Pods go to the node that stays.
func onceMore(ctx context.Context, m *testing.M) int {
	fmt.Println("once more, in the opposite profile:", inOpposite)
	conf := options.Simulator
	conf.Profile = conf.Profile.Opposite()
	on.Replace(conf)
	if err := cordon(ctx, true); err != nil {
		fmt.Fprintln(os.Stderr, "cordoning the other nodes:", err)
		return 1
	}
	if err := flag.Set("test.run", inOpposite); err != nil {
		panic(err)
	}
	return m.Run()
}

// setting has the queues of the main job and its secrets, and one for each row.
func setting(repositories string) (fixture.Options, error) {
	play, err := assumptions.Load(*profile)
	if err != nil {
		return fixture.Options{}, err
	}
	o := fixture.Options{
		Root: filepath.Join("..", ".."), Nodes: nodes, Repository: repositories, Collector: &traces,
		Simulator: simulator.Config{Profile: play, JobStatusInterval: 1, ChunksIntervalSeconds: 1, HeartbeatTimeout: 10 * time.Minute, MaxStacks: -1}, // a queue for each row
		Logf:      func(format string, a ...any) { fmt.Printf("    "+format+"\n", a...) },
	}
	var queues []map[string]any
	for _, r := range append(all(), urgentRows...) {
		queues = append(queues, r.queueConfig())
		if r.finishHeld {
			o.Simulator.FinishHeld = append(o.Simulator.FinishHeld, r.name)
		}
		if r.namespace != "" && !slices.Contains(o.Namespaces, r.namespace) {
			o.Namespaces = append(o.Namespaces, r.namespace)
		}
	}
	foreign, err := foreignQueues()
	if err != nil {
		return o, err
	}
	o.Namespaces = append(o.Namespaces, foreigners...)
	withDefaults, err := exampleQueue("with-defaults")
	if err != nil {
		return o, err
	}
	rows, err := yaml.Marshal(append(queues, withDefaults, row{name: typedQueue}.queueConfig()))
	withPlugin := strings.Replace(fixture.QueueConfig(8, 20), "- name: default\n", "- name: default\n  steps: pod\n", 1) // TestPlugin, and a promise
	o.Config = withPlugin + anyUID + trusted + deployer + ownHome + mirroring + signing + foreign + string(rows)
	return o, err
}

// cordon keeps new pods from all nodes but node-0, or no longer does.
func cordon(ctx context.Context, yes bool) error {
	for _, name := range on.Cluster.NodeNames[1:] {
		patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, yes)
		if _, err := on.Cluster.Client().CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil && !apierrors.IsNotFound(err) { // a row may have deleted it
			return err
		}
	}
	return nil
}

// settle moves the schedulers to node-0, away from what is in store for the
// others.
func settle(ctx context.Context) error {
	client := on.Cluster.Client()
	if err := cordon(ctx, true); err != nil {
		return err
	}
	for {
		pods, err := client.CoreV1().Pods(fixture.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=scheduler"})
		if err != nil {
			return err
		}
		elsewhere, ready := 0, 0
		for _, p := range pods.Items {
			switch {
			case p.Spec.NodeName != on.Cluster.NodeNames[0]:
				elsewhere++
				if p.DeletionTimestamp == nil {
					err = errors.Join(err, client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{}))
				}
			case slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue }):
				ready++
			}
		}
		if err != nil {
			return err
		}
		if elsewhere == 0 && ready == 2 {
			return cordon(ctx, false)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("moving the schedulers: %w", context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}
