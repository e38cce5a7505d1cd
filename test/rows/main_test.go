package rows

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/stage"
)

// on is the stage that all rows share.
var on *stage.Stage

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
	o := stage.Options{
		Root: filepath.Join("..", ".."), Nodes: nodes,
		Simulator: simulator.Config{HeartbeatTimeout: 10 * time.Minute, MaxStacks: -1},
		Logf:      func(format string, a ...any) { fmt.Printf("    "+format+"\n", a...) },
	}
	var config struct {
		Queues []map[string]any `json:"queues"`
	}
	for _, r := range all() {
		config.Queues = append(config.Queues, r.queueConfig())
		if r.finishHeld {
			o.Simulator.FinishHeld = append(o.Simulator.FinishHeld, r.name)
		}
		if r.namespace != "" && !slices.Contains(o.Namespaces, r.namespace) {
			o.Namespaces = append(o.Namespaces, r.namespace)
		}
	}
	b, err := yaml.Marshal(config)
	if err == nil {
		err = cluster.Turn(ctx, o.Logf)
	}
	if err == nil {
		o.Config = string(b)
		on, err = stage.Up(ctx, o)
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
		fmt.Fprintln(os.Stderr, "setting the stage:", err)
		return 1
	}
	defer func() {
		if err := on.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "ending the stage:", err)
		}
	}()
	return m.Run()
}

// settle moves the schedulers to node-0, away from what is in store for the
// others.
func settle(ctx context.Context) error {
	client := on.Cluster.Client()
	cordon := func(yes bool) error {
		for _, name := range on.Cluster.NodeNames[1:] {
			patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, yes)
			if _, err := client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				return err
			}
		}
		return nil
	}
	if err := cordon(true); err != nil {
		return err
	}
	for {
		pods, err := client.CoreV1().Pods(stage.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=scheduler"})
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
			return cordon(false)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("moving the schedulers: %w", context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}
