//go:build containerd2

package containerd2

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/test/cluster/image"
)

// TestPrograms: a step's own image, and what a plugin describes, run as well with programs
// that are mounted as with those that are copied, whoever the pod's users are.
func TestPrograms(t *testing.T) {
	two := object{"kubernetes": object{"podSpec": object{"containers": []any{
		object{"name": "one", "image": image.BusyboxName, "command": []any{"echo from-one > file"}},
		object{"name": "two", "image": image.BusyboxName, "command": []any{"cat file; exit 4"}},
	}}}}
	for _, tt := range []struct {
		name, image, command string
		plugin               object
		exit                 string
		says                 []string
	}{
		{name: "passes", image: image.BusyboxName, command: "busybox | head -1; buildkite-agent --version; onejob-step --version", exit: "0", says: []string{"BusyBox v1.", "buildkite-agent version", "onejob-step"}},
		{name: "fails", image: image.BusyboxName, command: "echo before; exit 3", exit: "3", says: []string{"before"}},
		{name: "has the agent", image: image.BusyboxName, command: "buildkite-agent meta-data set word from-the-image && buildkite-agent meta-data get word && buildkite-agent annotate hello", exit: "0", says: []string{"from-the-image"}},
		{name: "without a shell", image: image.StubName, command: "/stub say 'no shell here'", exit: "0", says: []string{"no shell here"}},
		{name: "several containers", command: "echo never", plugin: two, exit: "4", says: []string{"from-one"}},
	} {
		for _, queue := range []string{copied, mounted, users, usersMounted} {
			t.Run(tt.name+", "+queue, func(t *testing.T) {
				t.Parallel()
				ctx := within(t)
				step := object{"command": tt.command}
				if tt.image != "" {
					step["image"] = tt.image
				}
				if tt.plugin != nil {
					step["plugins"] = []any{tt.plugin}
				}
				build := create(t, queue, step)
				id := build.JobIDs[0]
				if err := on.Simulator.Wait(ctx, func() bool { b, _ := on.Simulator.Build(build.Number); return b.Done() }); err != nil {
					t.Fatalf("%v\n%s", err, table())
				}
				job, _ := on.Simulator.Job(id)
				log, _ := on.Simulator.Log(id)
				if job.ExitStatus != tt.exit {
					t.Errorf("it ended with %q, want %s", job.ExitStatus, tt.exit)
				}
				for _, want := range tt.says {
					if !strings.Contains(string(log), want) {
						t.Errorf("the log doesn't say %q", want)
					}
				}
				if t.Failed() {
					t.Logf("the log:\n%s", log)
				}
				pod := podOf(t, ctx, id, isOver)
				if pod.Status.Phase != corev1.PodSucceeded {
					t.Errorf("the pod is %s: %+v", pod.Status.Phase, pod.Status.ContainerStatuses)
				}
				byVolume := slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == contract.StepPrograms && v.Image != nil })
				if want := queue == mounted || queue == usersMounted; byVolume != want {
					t.Errorf("an image volume: %t, want %t", byVolume, want)
				}
			})
		}
	}
}

// TestProgramsAreAlone: of the agent's image the command has the programs' folder, which
// nobody can write to.
func TestProgramsAreAlone(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	// The log has the command, too: only what it makes of itself is its output.
	build := create(t, mounted, object{"image": image.BusyboxName, "command": `echo x > /onejob/bin/more || echo not-$((40+1))
rm -f /onejob/bin/onejob-step || echo not-$((40+2))
test -x /onejob/bin/onejob-step && echo there-$((40+3))
test -e /onejob/bin/../usr/local/bin || test -e /onejob/bin/etc || echo alone-$((40+4))`})
	id := build.JobIDs[0]
	if err := on.Simulator.Wait(ctx, func() bool { b, _ := on.Simulator.Build(build.Number); return b.Done() }); err != nil {
		t.Fatalf("%v\n%s", err, table())
	}
	log, _ := on.Simulator.Log(id)
	for _, want := range []string{"not-41", "not-42", "there-43", "alone-44"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the log doesn't say %q:\n%s", want, log)
		}
	}
}
