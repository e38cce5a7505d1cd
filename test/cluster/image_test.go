package cluster_test

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/cluster/image"
)

// The image's base is tried here, as a job would use it; what onejob-agent does
// in it is test/e2e's. So stand-ins do for the programs.
func TestAgentImage(t *testing.T) {
	c := cluster.Shared(t, cluster.Config{Nodes: 1})
	path, err := image.Agent(t.Context(), image.Options{StandIns: map[string]string{
		"./cmd/onejob-agent": "./test/cluster/image/stub", "github.com/buildkite/agent/v3": "./test/cluster/image/stub",
	}})
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

	// With the entrypoint and the user that the image has.
	pod = aPod("say", "the entrypoint")
	pod.Containers[0].Image = image.AgentName
	createJob(t, c, ns, "entrypoint", pod)
	if got := finished(t, c, ns, "entrypoint"); got != batchv1.JobComplete {
		t.Errorf("the entrypoint: got %s", got)
	}
	if got := logOf(t, c, ns, podOf(t, c, ns, "entrypoint").Name); got != "the entrypoint" {
		t.Errorf("the entrypoint: got log %q", got)
	}
}

func TestSchedulerImage(t *testing.T) {
	c := cluster.Shared(t, cluster.Config{Nodes: 1})
	path, err := image.Scheduler(t.Context(), image.Options{StandIns: map[string]string{"./cmd/onejob": "./test/cluster/image/stub"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ImportImage(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	ns := namespace(t, c, "restricted")
	pod := aPod("say", "scheduled")
	pod.Containers[0].Image = image.SchedulerName
	createJob(t, c, ns, "scheduler", pod)
	if got := finished(t, c, ns, "scheduler"); got != batchv1.JobComplete {
		t.Errorf("got %s, want Complete", got)
	}
}
