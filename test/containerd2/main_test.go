//go:build containerd2

package containerd2

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/cluster/image"
	"github.com/onejob-dev/onejob/test/fixture"
)

// on is the installation that all tests share.
var on *fixture.Installation

const template = `template: {inline: {apiVersion: batch/v1, kind: Job, spec: {ttlSecondsAfterFinished: 600, template: {spec: {
    terminationGracePeriodSeconds: 15,
    containers: [{name: agent, image: localhost/onejob-agent:dev, imagePullPolicy: Never, resources: {requests: {cpu: 10m, memory: 32Mi}}}]}}}}}
`

// The queues. In those of users a step may be root, as far as Pod Security takes that.
const (
	copied       = "copied"
	mounted      = "mounted"
	users        = "users"
	usersMounted = "users-mounted"
)

var queues = "queues:\n" +
	"- name: " + copied + "\n  steps: pod\n  " + template +
	"- name: " + mounted + "\n  steps: pod\n  programs: image-volume\n  " + template +
	"- name: " + users + "\n  steps: pod\n  user-namespace: true\n  " + template +
	"- name: " + usersMounted + "\n  steps: pod\n  user-namespace: true\n  programs: image-volume\n  " + template

func TestMain(m *testing.M) {
	flag.Parse()
	// Jobs mostly wait.
	if err := flag.Set("test.parallel", "20"); err != nil {
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	logf := func(format string, a ...any) { fmt.Printf("    "+format+"\n", a...) }
	busybox, err := image.Busybox(ctx)
	if err == nil {
		err = cluster.Turn(ctx, logf)
	}
	if err == nil {
		on, err = fixture.Up(ctx, fixture.Options{
			Root: filepath.Join("..", ".."), Nodes: 1, Containerd2: true, Config: queues, Logf: logf,
			Simulator: simulator.Config{JobStatusInterval: 1, MaxStacks: -1},
		})
	}
	if err == nil {
		defer on.Close() //nolint:errcheck // it ends with this process at the latest
		err = on.Cluster.ImportImage(ctx, busybox)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "installing onejob:", err)
		return 1
	}
	return m.Run()
}

// within is the time of one job.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func create(t *testing.T, queue string, step map[string]any) simulator.Build {
	t.Helper()
	step["env"] = map[string]string{"BUILDKITE_SKIP_CHECKOUT": "true"}
	pipeline, err := json.Marshal(map[string]any{"steps": []any{step}})
	if err != nil {
		t.Fatal(err)
	}
	build, err := on.Simulator.CreateBuild(simulator.BuildRequest{Queue: queue, Pipeline: pipeline})
	if err != nil {
		t.Fatal(err)
	}
	return build
}

// podOf waits for a job's pod to be as it should.
func podOf(t *testing.T, ctx context.Context, id string, is func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	for {
		list, err := on.Cluster.Client().CoreV1().Pods(fixture.Namespace).List(ctx, metav1.ListOptions{LabelSelector: contract.LabelJobID + "=" + id})
		if err == nil && len(list.Items) == 1 && is(&list.Items[0]) {
			return &list.Items[0]
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the pod of %s isn't as it should be: %v\n%s", id, err, table())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func isOver(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// table is all jobs, and what Kubernetes warns of.
func table() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var b strings.Builder
	if events, err := on.Cluster.Client().CoreV1().Events(fixture.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "type=Warning"}); err == nil {
		for _, e := range events.Items {
			fmt.Fprintf(&b, "%s %s: %s\n", e.InvolvedObject.Name, e.Reason, e.Message)
		}
	}
	for _, j := range on.Simulator.Jobs() {
		fmt.Fprintf(&b, "%s %-12s %-10s %s %s\n", j.ID, j.Queue, j.State, j.ExitStatus, j.SignalReason)
	}
	return b.String()
}
