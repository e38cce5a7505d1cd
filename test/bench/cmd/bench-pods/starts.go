package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/test/cluster/image"
	"github.com/onejob-dev/onejob/test/fixture"
)

// kind is a job beside a bare Job.
type kind struct {
	name, image, container string
	queue                  string // empty for the default
	bar                    float64
	took, bare             samples
	// calls are when the runner called Buildkite, by endpoint.
	calls map[string]samples
	pod   string
	kjob  *batchv1.Job // the last
}

// The log has the command, too: only what it makes of itself is its output.
const (
	says = "echo first-$((40+2))"
	word = "first-42"
)

// lasting goes on after its first line: a job that ends has its whole log sent at its end,
// one that goes on has to wait for the agent's next look at it, within a second.
const lasting = says + "; sleep 2"

// starts (a): how long until the first line, one job after another.
func (b *bench) starts(ctx context.Context) error {
	kinds := []*kind{
		{name: "plain", container: contract.AgentContainer, bar: 1.15},
		{name: "image:", image: image.BusyboxName, container: contract.CommandContainer, bar: 1.6},
	}
	if b.containerd2 {
		kinds = append(kinds, &kind{name: "image:, by volume", image: image.BusyboxName, container: contract.CommandContainer, queue: mounted, bar: 1.6})
	}
	for i := range b.n + 1 {
		for _, k := range kinds {
			if err := b.start(ctx, k, says); err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			if i == 0 { // the first of its kind reads programs from the disk
				k.took, k.bare, k.calls = nil, nil, map[string]samples{}
			}
		}
	}
	for _, k := range kinds {
		b.report.add("a", k.name+" → first line, p50", k.took.at(0.5).Seconds(), "s", noBar)
		b.report.add("a", "  a bare Job of that image, p50", k.bare.at(0.5).Seconds(), "s", noBar)
		b.report.add("a", "  ratio", k.took.at(0.5).Seconds()/k.bare.at(0.5).Seconds(), "×", atMost(k.bar))
		b.report.add("a", "  p90", k.took.at(0.9).Seconds(), "s", noBar)
		b.report.note("%s: %s; p50 of the runner's calls, from the kjob on: %s", k.name, k.pod, offsets(k.calls))
		k.took, k.bare = nil, nil
		for range (b.n + 3) / 4 {
			if err := b.start(ctx, k, lasting); err != nil {
				return err
			}
		}
		b.report.add("a", "  a command that goes on, p50", k.took.at(0.5).Seconds(), "s", noBar)
	}
	return nil
}

// start measures one job of a kind, and the bare Job beside it.
func (b *bench) start(ctx context.Context, k *kind, command string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	ids, err := b.step(1, k.queue, k.image, command)
	if err != nil {
		return err
	}
	sim := b.on.Simulator
	var line time.Time
	err = sim.Wait(ctx, func() bool {
		log, _ := sim.Log(ids[0])
		line = time.Now()
		return bytes.Contains(log, []byte(word))
	})
	if err != nil {
		return err
	}
	if k.kjob, err = b.kjob(ctx, ids[0]); err != nil {
		return err
	}
	pod, err := b.podOf(ctx, k.kjob.Name)
	if err != nil {
		return err
	}
	created := b.seen.of(k.kjob.Name).created
	k.took = append(k.took, line.Sub(created))
	b.timeline(k, ids[0], created)
	k.pod, err = b.describe(ctx, pod)
	if err != nil {
		return err
	}
	return b.bareStart(ctx, k, command)
}

func (b *bench) bareStart(ctx context.Context, k *kind, command string) error {
	name, err := b.bare(ctx, k.kjob, command, k.container)
	if err != nil {
		return err
	}
	pod, err := b.podOf(ctx, name)
	if err != nil {
		return err
	}
	log, err := b.on.Cluster.Client().CoreV1().Pods(fixture.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Timestamps: true}).DoRaw(ctx)
	if err != nil {
		return err
	}
	stamp, _, _ := strings.Cut(string(log), " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return fmt.Errorf("%s: the log of a bare Job: %w", log, err)
	}
	k.bare = append(k.bare, at.Sub(b.seen.of(name).created))
	return nil
}

// timeline notes when the runner made its calls.
func (b *bench) timeline(k *kind, id string, created time.Time) {
	if k.calls == nil {
		k.calls = map[string]samples{}
	}
	job, _ := b.on.Simulator.Job(id)
	seen := map[string]bool{}
	for _, r := range b.on.Simulator.Requests() {
		ours := r.JobID == id || r.AgentID != "" && r.AgentID == job.AgentID
		if ours && !seen[r.Endpoint] && r.Time.After(created) && !strings.HasPrefix(r.Endpoint, "stacks_") {
			seen[r.Endpoint] = true
			k.calls[r.Endpoint] = append(k.calls[r.Endpoint], r.Time.Sub(created))
		}
	}
}

func offsets(calls map[string]samples) string {
	type at struct {
		name string
		when time.Duration
	}
	var all []at
	for name, s := range calls {
		all = append(all, at{name, s.at(0.5)})
	}
	slices.SortFunc(all, func(a, b at) int { return int(a.when - b.when) })
	var words []string
	for _, a := range all {
		words = append(words, fmt.Sprintf("%s %d ms", a.name, a.when.Milliseconds()))
	}
	return strings.Join(words, ", ")
}

// describe counts a pod's containers, and what was pulled for it.
func (b *bench) describe(ctx context.Context, pod *corev1.Pod) (string, error) {
	events, err := b.on.Cluster.Client().CoreV1().Events(fixture.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + pod.Name})
	if err != nil {
		return "", err
	}
	pulls := 0
	for _, e := range events.Items {
		if e.Reason == "Pulling" {
			pulls++
		}
	}
	return fmt.Sprintf("%d containers, %d init containers, %d pulls", len(pod.Spec.Containers), len(pod.Spec.InitContainers), pulls), nil
}
