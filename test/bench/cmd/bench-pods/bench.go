package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster/image"
	"github.com/onejob-dev/onejob/test/fixture"
	"github.com/onejob-dev/onejob/test/repo"
)

// patience bounds one job, or all that are there at once.
const patience = 3 * time.Minute

// mounted is the queue whose programs come by an image volume, with -containerd2.
const mounted = "mounted"

// bench is one run of the program.
type bench struct {
	options
	on     *fixture.Installation
	seen   *watch
	report *report
	named  int
}

func newBench(ctx context.Context, o options) (_ *bench, err error) {
	root, err := repo.Root()
	if err != nil {
		return nil, err
	}
	busybox, err := image.Busybox(ctx)
	if err != nil {
		return nil, err
	}
	queues := fixture.QueueConfig(2*o.burst, 3600)
	if o.containerd2 {
		_, of, _ := strings.Cut(queues, "- name: default\n")
		queues += "- name: " + mounted + "\n  programs: image-volume\n" + of
	}
	on, err := fixture.Up(ctx, fixture.Options{
		Root: root, Nodes: 1, Containerd2: o.containerd2, Config: queues, Logf: logf,
		Simulator: simulator.Config{JobStatusInterval: 1, RequestLog: 100000},
	})
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, on: on, report: newReport()}
	if err = on.Cluster.ImportImage(ctx, busybox); err == nil {
		b.seen, err = watchJobs(ctx, on.Cluster.Client())
	}
	if err != nil {
		on.Close() //nolint:errcheck // there is an error already
		return nil, err
	}
	return b, nil
}

func (b *bench) close() error { return b.on.Close() }

// step schedules jobs at Buildkite. An empty queue is the default.
func (b *bench) step(n int, queue, image, command string) (ids []string, err error) {
	step := map[string]any{"command": command, "parallelism": n, "env": map[string]any{"BUILDKITE_SKIP_CHECKOUT": "true"}}
	if image != "" {
		step["image"] = image
	}
	pipeline, err := json.Marshal(map[string]any{"steps": []any{step}})
	if err != nil {
		return nil, err
	}
	build, err := b.on.Simulator.CreateBuild(simulator.BuildRequest{Queue: queue, Pipeline: pipeline})
	return build.JobIDs, err
}

// kjob is the Kubernetes Job of a Buildkite job, once there is one.
func (b *bench) kjob(ctx context.Context, id string) (*batchv1.Job, error) {
	name := contract.KjobName(contract.JobID(id), 1)
	if err := b.seen.wait(ctx, func() bool { return !b.seen.of(name).created.IsZero() }); err != nil {
		return nil, err
	}
	return b.on.Cluster.Client().BatchV1().Jobs(fixture.Namespace).Get(ctx, name, metav1.GetOptions{})
}

// bare makes a Job of a kjob's pod with some of its containers, each of which runs command:
// the agent's, the one of the step's image, or both. It has the same volumes, user and
// resources.
func (b *bench) bare(ctx context.Context, k *batchv1.Job, command string, containers ...string) (name string, err error) {
	b.named++
	pod := k.Spec.Template.Spec.DeepCopy()
	pod.InitContainers, pod.Containers = nil, nil
	for _, c := range k.Spec.Template.Spec.Containers {
		if slices.Contains(containers, c.Name) {
			c.Command, c.Args, c.Lifecycle, c.WorkingDir = []string{"sh", "-c", command}, nil, nil, "/"
			pod.Containers = append(pod.Containers, c)
		}
	}
	if len(pod.Containers) != len(containers) {
		return "", fmt.Errorf("%s has not all of the containers %s", k.Name, containers)
	}
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bare-%d", b.named), Labels: map[string]string{"bench": "bare"}},
		Spec:       batchv1.JobSpec{BackoffLimit: new(int32), Template: corev1.PodTemplateSpec{Spec: *pod}},
	}
	_, err = b.on.Cluster.Client().BatchV1().Jobs(fixture.Namespace).Create(ctx, job, metav1.CreateOptions{})
	return job.Name, err
}

// podOf is the one pod of a Job that is over.
func (b *bench) podOf(ctx context.Context, job string) (*corev1.Pod, error) {
	if err := b.seen.wait(ctx, func() bool { return !b.seen.of(job).over.IsZero() }); err != nil {
		return nil, fmt.Errorf("waiting for the end of %s: %w", job, err)
	}
	list, err := b.on.Cluster.Client().CoreV1().Pods(fixture.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=" + job})
	if err != nil {
		return nil, err
	}
	if len(list.Items) != 1 || list.Items[0].Status.Phase != corev1.PodSucceeded {
		return nil, fmt.Errorf("%s has %d pods: %+v", job, len(list.Items), list.Items)
	}
	return &list.Items[0], nil
}
