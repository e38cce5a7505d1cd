package endtoend

import (
	"context"
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

// importForeign brings images that know nothing of onejob to the nodes: one with no
// shell but busybox's, and one without any is there already.
func importForeign(ctx context.Context) error {
	path, err := image.Busybox(ctx)
	if err != nil {
		return err
	}
	paths, err := image.Examples(ctx)
	if err != nil {
		return err
	}
	for _, path := range append(paths, path) {
		if err := on.Cluster.ImportImage(ctx, path); err != nil {
			return err
		}
	}
	return on.Cluster.TagImage(ctx, image.StubName, "example.test/static:1")
}

// TestImage: a step's command runs in the step's image, in the shipped pod, whatever
// the image has; what it says, does and ends with is what Buildkite gets.
func TestImage(t *testing.T) {
	for _, tt := range []struct {
		name, image, command, repo string
		env                        map[string]string
		artifacts, cancel          string
		exit, signal, reason       string
		says                       []string
		never                      string
	}{
		{name: "passes", image: image.BusyboxName, command: "echo in-$OF_THE_IMAGE; busybox | head -1; id -u; pwd", exit: "0", says: []string{"in-yes", "BusyBox v1.", "1000", "/builds/"}},
		{name: "fails", image: image.BusyboxName, command: "echo before; exit 3", exit: "3", says: []string{"before"}},
		// As in a pod with one container: it is the stock bootstrap's word for that.
		{name: "is ended by a signal", image: image.BusyboxName, command: "kill -9 $$", exit: "255", says: []string{"signal: killed"}},
		{name: "in order", image: image.BusyboxName, command: "i=0; while test $i -lt 3000; do i=$((i+1)); echo line-$i; done", exit: "0", says: []string{"line-1\r", "line-1500\r", "line-2999\r", "line-3000\r"}},
		{name: "has the checkout", image: image.BusyboxName, repo: "promises", command: "cat README && test -w . && echo can-be-written && : > made && ls", exit: "0", says: []string{"What the jobs of promises_test.go check out", "can-be-written", "made"}},
		{name: "has the agent", image: image.BusyboxName, artifacts: "out.txt", command: "buildkite-agent meta-data set word from-the-image && buildkite-agent meta-data get word && echo x > out.txt && buildkite-agent annotate hello", exit: "0", says: []string{"from-the-image", "Uploading artifact"}},
		{name: "has the job's files", image: image.BusyboxName, command: "grep -q BUILDKITE_JOB_ID $BUILDKITE_ENV_FILE && echo has-the-env-file", exit: "0", says: []string{"has-the-env-file\r"}},
		{name: "fails with artifacts", image: image.BusyboxName, artifacts: "out.txt", command: "echo x > out.txt; exit 3", exit: "3", says: []string{"Uploading artifact"}},
		{name: "has a home", image: image.BusyboxName, command: "cd && pwd && echo x > file && echo y > /tmp/file && cat file", exit: "0", says: []string{"/home/onejob", "x"}},
		{name: "has no token", image: image.BusyboxName, command: "env; cat /proc/[0-9]*/environ | tr '\\0' '\\n'; ls /proc; find / -xdev -name '*token*'; cat /var/run/secrets/kubernetes.io/serviceaccount/token || echo no-account", exit: "0", says: []string{"BUILDKITE_JOB_ID", "no-account"}, never: simulator.DefaultAgentToken},
		{name: "of Debian", image: "localhost/onejob-home:dev", command: "git config user.name || echo not-the-image-s-home; bash -c 'echo $BASH_VERSION'", exit: "0", says: []string{"not-the-image-s-home", "5."}},
		{name: "without a shell", image: image.StubName, command: "/stub say 'no shell here'", exit: "0", says: []string{"no shell here"}},
		{name: "without a shell, fails", image: image.StubName, command: "/stub exit 6", exit: "6"},
		{name: "without a shell or the program", image: image.StubName, command: "make", exit: "127", says: []string{"make: there is no such program in this image, and no shell"}},
		{name: "cancelled", image: image.BusyboxName, command: "trap 'echo told; exit 9' TERM; echo begun; while :; do sleep 0.1; done", cancel: "begun", says: []string{"begun", "told"}},
		{name: "the pod's own", image: "localhost/onejob-agent:dev", command: "test -x /usr/local/bin/onejob-agent && echo one-container", exit: "0", says: []string{"one-container"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			sim, request := on.Simulator, simulator.BuildRequest{}
			step := map[string]any{"command": tt.command, "image": tt.image}
			if tt.artifacts != "" {
				step["artifact_paths"] = tt.artifacts
			}
			if tt.repo == "" {
				step["env"] = noCheckout()
			} else {
				request.Repo = on.URL + "git/" + tt.repo + ".git"
			}
			build := create(t, request, step)
			id := build.JobIDs[0]
			if tt.cancel != "" {
				if err := sim.Wait(ctx, func() bool { log, _ := sim.Log(id); return strings.Contains(string(log), tt.cancel+"\r") }); err != nil {
					t.Fatalf("%v\n%s", err, table())
				}
				if err := sim.CancelBuild(build.Number); err != nil {
					t.Fatal(err)
				}
			}
			if err := sim.Wait(ctx, func() bool { b, _ := sim.Build(build.Number); return b.Done() }); err != nil {
				t.Fatalf("%v\n%s", err, table())
			}
			job, _ := sim.Job(id)
			log, _ := sim.Log(id)
			if tt.cancel != "" {
				if job.State != simulator.StateCanceled {
					t.Errorf("the job is %s", job.State)
				}
			} else if job.ExitStatus != tt.exit || job.Signal != tt.signal || job.SignalReason != tt.reason {
				t.Errorf("it ended with %s/%s/%s, want %s/%s/%s", job.ExitStatus, job.Signal, job.SignalReason, tt.exit, tt.signal, tt.reason)
			}
			rest := string(log)
			for _, want := range tt.says {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Errorf("the log doesn't say %q after what comes before it", want)
				}
				rest = after
			}
			if tt.never != "" && strings.Contains(string(log), tt.never) {
				t.Errorf("the log has %q", tt.never)
			}
			containers(t, ctx, id, tt.name == "the pod's own")
			if t.Failed() {
				t.Logf("the log:\n%s", log)
			}
		})
	}
}

// containers wants that a job's pod ended by itself, soon and well, with the containers
// that it should have, and the token in the runner's alone.
func containers(t *testing.T, ctx context.Context, id string, one bool) {
	t.Helper()
	var pod corev1.Pod
	until(t, ctx, "the pod is over", func() bool {
		list, err := on.Cluster.Client().CoreV1().Pods(fixture.Namespace).List(ctx, metav1.ListOptions{LabelSelector: contract.LabelJobID + "=" + id})
		if err != nil || len(list.Items) != 1 {
			return false
		}
		pod = list.Items[0]
		return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	})
	if pod.Status.Phase != corev1.PodSucceeded {
		t.Errorf("the pod is %s: %+v", pod.Status.Phase, pod.Status.ContainerStatuses)
	}
	if got := len(pod.Spec.Containers) == 1; got != one {
		t.Errorf("the pod has %d containers", len(pod.Spec.Containers))
	}
	// Of others the last: some end before it by themselves. One that is waited for until the
	// pod's grace is over takes 60 seconds.
	var agent, last time.Time
	for _, c := range pod.Status.ContainerStatuses {
		end := c.State.Terminated
		if end == nil {
			t.Fatalf("%s: %+v", c.Name, c.State)
		}
		if c.Name == contract.AgentContainer {
			agent = end.FinishedAt.Time
		} else if end.FinishedAt.After(last) {
			last = end.FinishedAt.Time
		}
	}
	if d := agent.Sub(last); !one && d.Abs() > 3*time.Second {
		t.Errorf("the containers ended %s apart", d)
	}
	keyless(t, pod.Spec)
}
