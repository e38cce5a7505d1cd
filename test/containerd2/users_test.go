//go:build containerd2

package containerd2

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/test/cluster/image"
	"github.com/onejob-dev/onejob/test/fixture"
)

type object = map[string]any

// asRoot is a step whose command runs as root in its container, which Pod Security's level
// restricted, the namespace's, takes of a pod with users of its own alone.
func asRoot(command string) object {
	return object{"command": command, "plugins": []any{object{"kubernetes": object{"podSpec": object{"containers": []any{
		object{"image": image.BusyboxName, "securityContext": object{"runAsUser": 0, "runAsNonRoot": false}},
	}}}}}}
}

// mapped is the line of /proc/self/uid_map: root inside, the user on the node, how many.
var mapped = regexp.MustCompile(`\b0\s+(\d+)\s+65536\b`)

// TestUsersOfItsOwn: root in a job's container is nobody on the node, to whom neither the
// runner's processes nor the node's belong; the workspace is the runner's and the command's.
func TestUsersOfItsOwn(t *testing.T) {
	for _, queue := range []string{users, usersMounted} {
		t.Run(queue, func(t *testing.T) {
			t.Parallel()
			ctx, sim := within(t), on.Simulator
			build := create(t, queue, asRoot(`cat /proc/self/uid_map; exec sleep 4711`))
			id := build.JobIDs[0]
			pod := podOf(t, ctx, id, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
			var as []int
			podOf(t, ctx, id, func(p *corev1.Pod) bool {
				as = usersOf(t, pod, "sleep 4711")
				return len(as) > 0
			})
			if slices.Contains(as, 0) || slices.Min(as) < 65536 {
				t.Errorf("on the node the command is of the users %v", as)
			}
			for _, uid := range usersOf(t, pod, "onejob-agent") {
				if uid < 65536 || uid == as[0] {
					t.Errorf("on the node the runner is of the user %d, the command of %d", uid, as[0])
				}
			}
			if err := sim.CancelBuild(build.Number); err != nil {
				t.Fatal(err)
			}
			if err := sim.Wait(ctx, func() bool { b, _ := sim.Build(build.Number); return b.Done() }); err != nil {
				t.Fatalf("%v\n%s", err, table())
			}
			log, _ := sim.Log(id)
			if m := mapped.FindSubmatch(log); m == nil || string(m[1]) != strconv.Itoa(as[0]) {
				t.Errorf("on the node the command is of %d, and by its own log:\n%s", as[0], log)
			}
		})
	}
}

// TestWorkspaceOfBoth: what the runner's user has written in the workspace, root of another
// container reads, which has no capabilities in a namespace of the level restricted; what
// root writes into /tmp the other reads.
func TestWorkspaceOfBoth(t *testing.T) {
	t.Parallel()
	ctx, sim := within(t), on.Simulator
	root := object{"runAsUser": 0, "runAsNonRoot": false}
	step := object{"command": "true", "artifact_paths": "out/*", "plugins": []any{object{"kubernetes": object{"podSpec": object{"containers": []any{
		object{"name": "one", "image": image.BusyboxName, "command": []any{"mkdir out && echo by-one > out/file"}},
		object{"name": "two", "image": image.BusyboxName, "command": []any{"test $(id -u) = 0 && test $(cat out/file) = by-one && echo by-root > /tmp/file"}, "securityContext": root},
		object{"name": "three", "image": image.BusyboxName, "command": []any{"test $(id -u) = 1000 && test $(cat /tmp/file) = by-root && echo read-$((40+2))"}},
	}}}}}}
	build := create(t, users, step)
	if err := sim.Wait(ctx, func() bool { b, _ := sim.Build(build.Number); return b.Done() }); err != nil {
		t.Fatalf("%v\n%s", err, table())
	}
	id := build.JobIDs[0]
	job, _ := sim.Job(id)
	log, _ := sim.Log(id)
	if job.ExitStatus != "0" || !strings.Contains(string(log), "read-42") || !strings.Contains(string(log), "Uploading artifact") {
		t.Errorf("it ended with %q:\n%s", job.ExitStatus, log)
	}
	if p := podOf(t, ctx, id, isOver); p.Status.Phase != corev1.PodSucceeded || p.Spec.HostUsers == nil || *p.Spec.HostUsers {
		t.Errorf("the pod is %s, hostUsers %v", p.Status.Phase, p.Spec.HostUsers)
	}
}

// TestRootIsRefusedElsewhere: a queue whose pods share the node's users takes no root.
func TestRootIsRefusedElsewhere(t *testing.T) {
	t.Parallel()
	ctx, sim := within(t), on.Simulator
	build := create(t, copied, asRoot("id -u"))
	if err := sim.Wait(ctx, func() bool { b, _ := sim.Build(build.Number); return b.Done() }); err != nil {
		t.Fatalf("%v\n%s", err, table())
	}
	if job, _ := sim.Job(build.JobIDs[0]); job.SignalReason != "stack_error" {
		t.Errorf("root in the namespace %s: %+v", fixture.Namespace, job)
	}
}

// usersOf are the users, as the node counts them, of the pod's processes with these words on
// their command line.
func usersOf(t *testing.T, pod *corev1.Pod, words string) (uids []int) {
	t.Helper()
	processes, err := on.Cluster.PodProcesses(pod.UID)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if !strings.Contains(strings.Join(p.Argv, " "), words) {
			continue
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
		if err != nil {
			continue // gone by now
		}
		_, rest, _ := strings.Cut(string(status), "\nUid:\t")
		uid, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			t.Fatal(err)
		}
		uids = append(uids, uid)
	}
	return uids
}
