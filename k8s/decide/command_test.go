package decide

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// withCommand is the pod of a step with an image of its own, whose runner runs.
func withCommand(agent, command corev1.ContainerState) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{contract.AnnotationImage: "node:22"}}, Spec: corev1.PodSpec{NodeName: "node"},
		Status: corev1.PodStatus{
			Phase: corev1.PodPending,
			ContainerStatuses: []corev1.ContainerStatus{
				{Name: contract.AgentContainer, Image: "agent:v1", State: agent},
				{Name: contract.CommandContainer, Image: "node:22", State: command},
			},
		},
	}
}

var (
	runs    = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(t0.Add(-30 * time.Second))}}
	waitsOn = func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "the kubelet's words"}}
	}
	endsWith = func(code int32, reason, message string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}}
	}
)

// TestCommandContainer: while the runner waits for the command's container, its pod is one
// that starts, with all that is said and done about such a pod. Once the container was
// there, the runner knows better.
func TestCommandContainer(t *testing.T) {
	for _, tt := range []struct {
		name           string
		agent, command corev1.ContainerState
		state          stacks.State
		failingFor     time.Duration
		want           Action
		says           string
	}{
		{"both run", runs, runs, stacks.StateReserved, 0, None, ""},
		{"is made", runs, waitsOn("ContainerCreating"), stacks.StateReserved, 0, None, "waiting to start: node node is preparing its containers (a large image takes time)"},
		{"its image can't be pulled, for a minute", runs, waitsOn("ImagePullBackOff"), stacks.StateReserved, time.Minute, None, "waiting to start: ImagePullBackOff (image node:22): "},
		{"its image can't be pulled", runs, waitsOn("ImagePullBackOff"), stacks.StateReserved, 3 * time.Minute, Finish, "the pod can't start: ImagePullBackOff (image node:22): "},
		{"its image has a bad name", runs, waitsOn("InvalidImageName"), stacks.StateReserved, time.Second, Finish, "the pod can't start: InvalidImageName (image node:22): "},
		{"can't be run", runs, endsWith(128, "StartError", "exec format error"), stacks.StateReserved, 2 * time.Minute, Delete, "container command ended with exit code 128 before it had the command: StartError exec format error"},
		{"was begun before the runner, whose image can't be pulled", waitsOn("ImagePullBackOff"), endsWith(128, "StartError", "no such file"), stacks.StateReserved, time.Minute, None, "waiting to start: ImagePullBackOff (image agent:v1): "},
		{"fails by itself", runs, endsWith(1, "Error", "onejob-step: no room"), stacks.StateReserved, 2 * time.Minute, Delete, "ended with exit code 1 before it had the command: Error onejob-step: no room"},
		{"has ended well", runs, endsWith(0, "Completed", ""), stacks.StateReserved, 2 * time.Minute, None, ""},
		{"was killed while the job runs", runs, endsWith(137, "OOMKilled", ""), stacks.StateRunning, 2 * time.Minute, None, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := aKJob().State(tt.state).but(func(f *Facts) {
				f.Pod = OfPod(withCommand(tt.agent, tt.command))
				f.FailingSince, f.EventsAt = t0.Add(-tt.failingFor), t0
			}).Facts
			if d := On(f); d.Action != tt.want || !strings.Contains(d.Text, tt.says) || tt.says == "" && d.Text != "" {
				t.Errorf("%v %q, want %v %q", d.Action, d.Text, tt.want, tt.says)
			}
		})
	}
}

// TestCommandNotStarted: a pod whose command can't be started gets a successor, until three
// in a row were like that.
func TestCommandNotStarted(t *testing.T) {
	broken := OfPod(withCommand(runs, endsWith(128, "StartError", "no such file")))
	f := aKJob().State(stacks.StateReserved).but(func(f *Facts) {
		f.Pod, f.FailingSince, f.EventsAt = broken, t0.Add(-2*time.Minute), t0
	}).Facts
	if d := On(f); d.Action != Delete || d.Reason != ReasonContainer {
		t.Errorf("%+v, want it deleted", d)
	}
	gone := f
	gone.KJob.Gone, gone.KJob.Exists, gone.Removed, gone.EndedAt, gone.StateAt, gone.ToldAt = true, false, ReasonContainer, t0, t0, t0
	gone.Pod.Deleted = true
	d := On(gone)
	if d.Action != Attempt || d.Reason != ReasonContainer || !strings.Contains(d.Text, "could not run the command: container command ended with exit code 128") {
		t.Errorf("%+v, want another attempt", d)
	}
	f.Attempt = 3
	f.Story = History{{Reason: ReasonContainer, Attempt: 1}, {Reason: ReasonContainer, Attempt: 2}}
	if d := On(f); d.Action != Finish || d.Reason != ReasonContainer {
		t.Errorf("%+v, want the end", d)
	}
	// One in a pod of a release before, whose programs an init container brought.
	old := withCommand(runs, endsWith(128, "StartError", "no such file"))
	old.Annotations = nil
	old.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: contract.StepInit, State: endsWith(0, "Completed", "")}}
	if !OfPod(old).Unbegun {
		t.Error("a pod of a release before is another's")
	}
}

// TestMountedPrograms: where the programs come by an image volume, a command that can't be
// started says what its node needs. What else keeps a pod from starting does not.
func TestMountedPrograms(t *testing.T) {
	const fix = "programs: image-volume needs containerd 2.2 or CRI-O 1.33 on node node; upgrade it, or set programs: copy. "
	for _, tt := range []struct {
		name           string
		mounted        bool
		agent, command corev1.ContainerState
		action         Action
		says           string
		told           bool
	}{
		{"a runtime that knows no such volume", true, runs, waitsOn("CreateContainerError"), Delete, "the pod can't start: CreateContainerError: " + fix + "the kubelet's words", true},
		{"one that ignores the sub-path", true, runs, endsWith(128, "StartError", "no such file"), Delete, "makes another: " + fix + "container command ended with exit code 128", true},
		{"programs that are copied", false, runs, waitsOn("CreateContainerError"), Delete, "(check the queue's token-secret", false},
		{"a Secret that is missing", true, runs, waitsOn("CreateContainerConfigError"), Finish, "(check the queue's token-secret", false},
		{"the runner's container", true, waitsOn("CreateContainerError"), waitsOn("ContainerCreating"), Delete, "(check the queue's token-secret", false},
		{"an image that can't be pulled", true, runs, waitsOn("ImagePullBackOff"), Finish, "check that it exists", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := On(aKJob().State(stacks.StateReserved).but(func(f *Facts) {
				f.Pod, f.Policy.Mounted = OfPod(withCommand(tt.agent, tt.command)), tt.mounted
				f.FailingSince, f.EventsAt = t0.Add(-3*time.Minute), t0
			}).Facts)
			if d.Action != tt.action || !strings.Contains(d.Text, tt.says) || strings.Contains(d.Text, fix) != tt.told {
				t.Errorf("%v %q, want %v %q", d.Action, d.Text, tt.action, tt.says)
			}
		})
	}
}

// TestJobOverBeforeItsCommand: a runner that waits for a container which doesn't come is
// stopped at once when the job is over, and has nothing to explain. One whose container was
// killed has its time to leave.
func TestJobOverBeforeItsCommand(t *testing.T) {
	for _, tt := range []struct {
		name    string
		command corev1.ContainerState
		state   stacks.State
		want    Action
	}{
		{"finished by the scheduler", waitsOn("ImagePullBackOff"), stacks.StateFinished, Delete},
		{"cancelled", waitsOn("ContainerCreating"), stacks.StateCanceled, Delete},
		{"forgotten", waitsOn("ContainerCreating"), stacks.StateUnknown, Delete},
		{"killed as it ended", endsWith(137, "OOMKilled", ""), stacks.StateFinished, None},
		{"ended", endsWith(0, "Completed", ""), stacks.StateFinished, None},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := On(aKJob().State(tt.state).but(func(f *Facts) {
				f.Pod, f.EndedAt = OfPod(withCommand(runs, tt.command)), t0.Add(-30*time.Second)
			}).Facts)
			if d.Action != tt.want || d.Text != "" {
				t.Errorf("%v %v %q, want %v", d.Action, d.Reason, d.Text, tt.want)
			}
		})
	}
}

// TestCommandOutOfMemory: the job's page says which container it was.
func TestCommandOutOfMemory(t *testing.T) {
	m := contract.Message{Contract: contract.Version, Outcome: contract.OutcomeFinished, Reason: "the job ended with exit status 137"}
	p := withCommand(endsWith(0, "Completed", string(m.Encode())), endsWith(0, "OOMKilled", ""))
	p.Status.Phase = corev1.PodSucceeded
	d := On(aKJob().State(stacks.StateFinished).Ended().but(func(f *Facts) { f.Pod = OfPod(p) }).Facts)
	if want := "OOMKilled, container command, image node:22); the limit is the step's or the queue's template's"; d.Reason != ReasonFinished || !strings.Contains(d.Text, want) {
		t.Errorf("%v %q, want %q", d.Reason, d.Text, want)
	}
}

// A container of that name that somebody else put there is like any other.
func TestForeignCommandContainer(t *testing.T) {
	p := withCommand(runs, waitsOn("ImagePullBackOff"))
	delete(p.Annotations, contract.AnnotationImage)
	if got := OfPod(p); got.ToCome || got.Waiting != "" {
		t.Errorf("%+v", got)
	}
}

// Only the command's container has processes of the job: a mesh's sidecar that ran out of
// memory has killed none.
func TestSidecarOutOfMemory(t *testing.T) {
	status := 0
	m := contract.Message{Contract: contract.Version, Outcome: contract.OutcomeFinished, ExitStatus: &status, Reason: "the job ended with exit status 0"}
	p := withCommand(endsWith(0, "Completed", string(m.Encode())), endsWith(0, "Completed", ""))
	sidecar := endsWith(137, "OOMKilled", "")
	p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: "istio-proxy", Image: "proxy", State: sidecar})
	p.Status.Phase = corev1.PodFailed
	d := On(aKJob().State(stacks.StateFinished).Ended().but(func(f *Facts) { f.Pod = OfPod(p) }).Facts)
	if d.Reason != ReasonFinished || d.Text != "" {
		t.Errorf("%v %q, want nothing said", d.Reason, d.Text)
	}
}

// W-24: each command container counts by whatever name the step gave it, the first that
// can't start is told with its image, and the pod is one that starts until all are there.
func TestSeveralCommandContainers(t *testing.T) {
	for _, tt := range []struct {
		name        string
		first, next corev1.ContainerState
		want        Action
		says        string
	}{
		{"all run", runs, runs, None, ""},
		{"the first is made", waitsOn("ContainerCreating"), runs, None, "waiting to start: node node is preparing its containers"},
		{"the next is made", runs, waitsOn("ContainerCreating"), None, "waiting to start: node node is preparing its containers"},
		{"the first can't be pulled", waitsOn("ImagePullBackOff"), runs, Finish, "the pod can't start: ImagePullBackOff (image node:22): "},
		{"the next can't be pulled", runs, waitsOn("ImagePullBackOff"), Finish, "the pod can't start: ImagePullBackOff (image golang:1): "},
		{"the next fails by itself", runs, endsWith(1, "Error", "onejob-step: no room"), Delete, "container command-test ended with exit code 1 before it had the command: Error onejob-step: no room"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := withCommand(runs, tt.first)
			p.Status.ContainerStatuses[1].Name = "command-lint"
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: "command-test", Image: "golang:1", State: tt.next})
			f := aKJob().State(stacks.StateReserved).but(func(f *Facts) {
				f.Pod = OfPod(p)
				f.FailingSince, f.EventsAt = t0.Add(-3*time.Minute), t0
			}).Facts
			if d := On(f); d.Action != tt.want || !strings.Contains(d.Text, tt.says) || tt.says == "" && d.Text != "" {
				t.Errorf("%v %q, want %v %q", d.Action, d.Text, tt.want, tt.says)
			}
		})
	}
}

// W-24: a container that a patch added keeps no job from running, and from ending.
func TestContainerByPatchThatCantStart(t *testing.T) {
	p := withCommand(runs, runs)
	p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: "proxy", Image: "envoy:1", State: waitsOn("ImagePullBackOff")})
	for _, state := range []stacks.State{stacks.StateReserved, stacks.StateRunning} {
		d := On(aKJob().State(state).but(func(f *Facts) { f.Pod, f.EventsAt = OfPod(p), t0 }).Facts)
		if d.Action != None || d.Text != "" {
			t.Errorf("%s: %v %q", state, d.Action, d.Text)
		}
	}
	if got := OfPod(p); got.Helper != "proxy" {
		t.Errorf("once the job is over, nobody stops %q", got.Helper)
	}
}

// What containers said at their end is in two of our sentences, and can be taken out.
func TestWithoutOutput(t *testing.T) {
	const output = "zz $1 \"quoted\""
	pod := OfPod(withCommand(runs, endsWith(1, "Error", output)))
	unbegun := On(aKJob().State(stacks.StateReserved).but(func(f *Facts) {
		f.Pod, f.FailingSince, f.EventsAt = pod, t0.Add(-2*time.Minute), t0
	}).Facts).Text
	broke := On(aKJob().Attempt(2).Lost().State(stacks.StateReserved).but(func(f *Facts) {
		f.Pod.Broke = Failure{"fetch", 3, output}
		f.Faults = NodeFaults{{"node-1", "exit/fetch/3"}}
	}).Facts).Text
	for _, text := range []string{unbegun, broke} {
		if !strings.Contains(text, output) {
			t.Errorf("it isn't quoted: %q", text)
		}
		if got := WithoutOutput(text+"\nnext", "left $1 out"); strings.Contains(got, "zz") || strings.Contains(got, "quoted") || !strings.HasSuffix(got, "left $1 out\nnext") {
			t.Errorf("got %q", got)
		}
	}
}
