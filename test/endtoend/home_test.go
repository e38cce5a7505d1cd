package endtoend

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster/image"
	"github.com/onejob-dev/onejob/test/fixture"
)

// homeImage is what a user makes of the agent's image, with nothing in it that is
// meant for onejob.
const homeImage = `FROM localhost/onejob-agent:dev AS home
RUN git config --global user.name ci
RUN mkdir ~/.ssh && echo "baked.test ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1p" > ~/.ssh/known_hosts
RUN mkdir -m 700 ~/private && echo x > ~/private/file
`

// ownHome are queues whose pods run it, as the image's user and as another.
const ownHome = `- name: own-home
  max-in-flight: 8
  template: {inline: {apiVersion: batch/v1, kind: Job, spec: {ttlSecondsAfterFinished: 20, template: {spec: {
    containers: [{name: agent, image: localhost/onejob-home:dev, imagePullPolicy: Never, resources: {requests: {cpu: 10m, memory: 32Mi}}}]}}}}}
- name: own-home-any-uid
  max-in-flight: 8
  template: {inline: {apiVersion: batch/v1, kind: Job, spec: {ttlSecondsAfterFinished: 20, template: {spec: {
    securityContext: {runAsUser: 1000710000, runAsGroup: 1000710000, fsGroup: 1000710000},
    containers: [{name: agent, image: localhost/onejob-home:dev, imagePullPolicy: Never, resources: {requests: {cpu: 10m, memory: 32Mi}}}]}}}}}
`

func importHome(ctx context.Context) error {
	path, err := image.Based(ctx, "localhost/onejob-home:dev", homeImage, image.Options{})
	if err != nil {
		return fmt.Errorf("building an image from the agent's: %w", err)
	}
	return on.Cluster.ImportImage(ctx, path)
}

// TestHomeOfAnImage: what a user's Dockerfile puts into its HOME is there in a job's,
// which can be written, for git and for ssh, whichever user the pod has. What that
// user may not read is named in the pod's log.
func TestHomeOfAnImage(t *testing.T) {
	for queue, own := range map[string]bool{"own-home": true, "own-home-any-uid": false} {
		t.Run(queue, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			sim := on.Simulator
			private := "cat ~/private/file"
			if !own {
				private = "! test -e ~/private/file"
			}
			build := create(t, simulator.BuildRequest{Queue: queue}, map[string]any{
				"command": `set -x; pwd; test "$(git config user.name)" = ci && test "$HOME" = /home/onejob && ssh-keygen -F baked.test && git config --global user.email ci@example.test && echo more >> ~/.ssh/known_hosts && ` + private + ` && echo all-there`,
				"env":     noCheckout(),
			})
			if err := sim.Wait(ctx, func() bool { b, _ := sim.Build(build.Number); return b.Done() }); err != nil {
				t.Fatalf("%v\n%s", err, table())
			}
			id := build.JobIDs[0]
			job, _ := sim.Job(id)
			log, _ := sim.Log(id)
			if job.ExitStatus != "0" || !strings.Contains(string(log), "all-there") {
				t.Errorf("the job ended with %q; its log:\n%s", job.ExitStatus, log)
			}
			words := podLog(t, ctx, id)
			if got := strings.Contains(words, "a part of the image's home is hidden"); got == own || !own && !strings.Contains(words, "private/file") && !strings.Contains(words, "private: permission denied") {
				t.Errorf("the pod's log:\n%s", words)
			}
		})
	}
}

// podLog is the log of a job's pod.
func podLog(t *testing.T, ctx context.Context, id string) string {
	t.Helper()
	pods := on.Cluster.Client().CoreV1().Pods(fixture.Namespace)
	list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: contract.LabelJobID + "=" + id})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("the pods of %s: %d, %v", id, len(list.Items), err)
	}
	stream, err := pods.GetLogs(list.Items[0].Name, &corev1.PodLogOptions{Container: contract.AgentContainer}).Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	b, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
