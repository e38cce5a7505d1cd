package cluster_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

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

// The image is tried as a job would use it; a job in it is test/e2e's matter.
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

	// An uid that no image knows, no gid with rights, a root that can't be written, and emptyDirs.
	pod := aPod()
	var uid int64 = 1000710000
	pod.SecurityContext.RunAsUser, pod.SecurityContext.RunAsGroup = &uid, &uid
	limit := resource.MustParse("64Mi")
	container := &pod.Containers[0]
	container.Image = image.AgentName
	for name, at := range map[string]string{"home": "/home/onejob", "builds": "/builds", "tmp": "/tmp"} {
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &limit},
		}})
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: at})
	}
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
test "$HOME" = /home/onejob && touch ~/file /tmp/file && ! touch /file`)
	// ssh looks its user up before it connects; the port is one that nobody listens on.
	if log := run("ssh", `getent passwd "$(id -u)"; ssh -G nobody.test | grep -i identityfile; ssh -o BatchMode=yes -p 9 127.0.0.1 2>&1 || true`); strings.Contains(log, "No user exists") ||
		!strings.Contains(log, "refused") || !strings.Contains(log, ":/home/onejob:") {
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
