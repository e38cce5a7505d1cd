package cluster_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/stacks"
	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/cluster/image"
)

// standIns for those of the commands that this checkout doesn't have.
func standIns(t *testing.T, commands ...string) image.Options {
	t.Helper()
	options := image.Options{StandIns: map[string]string{}}
	for _, command := range commands {
		if _, err := os.Stat(filepath.Join("..", "..", command, "main.go")); err != nil {
			t.Logf("%s isn't there: the image has a stand-in", command)
			options.StandIns[command] = "./test/cluster/image/stub"
		}
	}
	return options
}

// The image is tried as a job would use it; a job in it is test/endtoend's matter.
func TestAgentImage(t *testing.T) {
	c := cluster.Shared(t, cluster.Config{Nodes: 1})
	options := standIns(t, "./cmd/onejob-agent", "./cmd/onejob-run")
	path, err := image.Agent(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := c.ImportImage(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	t.Logf("imported in %s", time.Since(begin).Round(time.Millisecond))

	// As in a job's pod, but with an uid that no image knows, no gid with rights,
	// and a root that can't be written.
	template, err := kjob.Parse(nil, config.Queue{Name: "default"})
	if err != nil {
		t.Fatal(err)
	}
	kjob, err := kjob.New(stacks.Job{ID: contract.SampleJobID}, 1, template, nil)
	if err != nil {
		t.Fatal(err)
	}
	agent := kjob.Spec.Template.Spec.Containers[0]
	pod := aPod()
	var uid int64 = 1000710000
	pod.SecurityContext.RunAsUser, pod.SecurityContext.RunAsGroup = &uid, &uid
	pod.Volumes = kjob.Spec.Template.Spec.Volumes
	container := &pod.Containers[0]
	container.Image, container.VolumeMounts = image.AgentName, agent.VolumeMounts
	// There is no Secret with a token here.
	container.Env = slices.DeleteFunc(agent.Env, func(e corev1.EnvVar) bool { return e.ValueFrom != nil })
	ns := namespace(t, c, "restricted")
	run := func(name, script string) string {
		t.Helper()
		pod := *pod.DeepCopy()
		pod.Containers[0].Command = []string{"/bin/bash", "-euo", "pipefail", "-c", script}
		createJob(t, c, ns, name, pod)
		end := finished(t, c, ns, name)
		log := logOf(t, c, ns, podOf(t, c, ns, name).Name)
		if end != batchv1.JobComplete {
			t.Errorf("%s: got %s; log:\n%s", name, end, log)
		}
		return log
	}

	run("git", `cd "$BUILDKITE_BUILD_PATH" && git init -q one && cd one
git config user.email a@b && git config user.name c && git commit -q --allow-empty -m first
git clone -q . ../two && git -C ../two log --oneline | grep first
touch ~/file /tmp/file && ! touch /file`)
	// ssh looks its user up before it connects, and takes its files from the home
	// that it finds, whatever $HOME says; the port is one that nobody listens on.
	if log := run("ssh", `mkdir -m 700 "$HOME/.ssh" && printf 'Host nobody.test\nHostName found.test\n' > "$HOME/.ssh/config"
getent passwd "$(id -u)"; ssh -G nobody.test | grep -i ^hostname; ssh -o BatchMode=yes -p 9 127.0.0.1 2>&1 || true`); strings.Contains(log, "No user exists") ||
		!strings.Contains(log, "refused") || !strings.Contains(log, "hostname found.test") {
		t.Errorf("ssh as uid %d: got\n%s", uid, log)
	}

	run("programs", "cd /usr/local/bin && ls -l && ./buildkite-agent --version && ! ldd ./buildkite-agent")

	// With the entrypoint and the user that the image has.
	pod = aPod("--version")
	if len(options.StandIns) > 0 {
		pod = aPod("say", "onejob-agent version stub")
	}
	pod.Containers[0].Image = image.AgentName
	createJob(t, c, ns, "entrypoint", pod)
	end := finished(t, c, ns, "entrypoint")
	if log := logOf(t, c, ns, podOf(t, c, ns, "entrypoint").Name); end != batchv1.JobComplete || !strings.HasPrefix(log, "onejob-agent version ") {
		t.Errorf("the entrypoint: got %s, log %q", end, log)
	}
}

func TestSchedulerImage(t *testing.T) {
	c := cluster.Shared(t, cluster.Config{Nodes: 1})
	options := standIns(t, "./cmd/onejob")
	path, err := image.Scheduler(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ImportImage(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	ns := namespace(t, c, "restricted")
	pod := aPod("--version")
	if len(options.StandIns) > 0 {
		pod = aPod("say", "onejob")
	}
	pod.Containers[0].Image = image.SchedulerName
	createJob(t, c, ns, "scheduler", pod)
	end := finished(t, c, ns, "scheduler")
	if log := logOf(t, c, ns, podOf(t, c, ns, "scheduler").Name); end != batchv1.JobComplete || !strings.Contains(log, "onejob") {
		t.Errorf("got %s, log %q", end, log)
	}
}
