package decide

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// after is a container that ran for that long and left text.
func after(ran time.Duration, why, text string) corev1.ContainerState {
	s := endsWith(0, why, text)
	s.Terminated.StartedAt, s.Terminated.FinishedAt = metav1.NewTime(t0.Add(-ran)), metav1.NewTime(t0)
	return s
}

// ranWith is the message of a runner whose container used that.
func ranWith(u *contract.Use) string {
	status := 0
	return string(contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &status, Use: u}.Encode())
}

func stepWith(t *testing.T, u contract.Use) string {
	b, err := json.Marshal(contract.UseMessage{Contract: contract.Version, Use: &u})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func alone(s corev1.ContainerState) *corev1.Pod {
	return &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n"}, Status: corev1.PodStatus{
		Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{{Name: contract.AgentContainer, State: s}},
	}}
}

// A page gets a line about what its job used when it matters, and none otherwise.
func TestVerdictOnUse(t *testing.T) {
	const minute, gib = time.Minute, 1 << 30
	apart := func(ran time.Duration, u contract.Use) *corev1.Pod {
		return withCommand(after(ran, "Completed", ranWith(&contract.Use{ThrottledSeconds: 50, CPULimit: .1})), after(ran, "Completed", stepWith(t, u)))
	}
	for _, tt := range []struct {
		name string
		pod  *corev1.Pod
		says string
	}{
		{"little", alone(after(minute, "Completed", ranWith(&contract.Use{MemoryPeak: gib, MemoryLimit: 2 * gib, CPUSeconds: 20, CPULimit: 1, ThrottledSeconds: 4}))), ""},
		{"nothing is known", alone(after(minute, "Completed", ranWith(nil))), ""},
		{"throttled", alone(after(minute, "Completed", ranWith(&contract.Use{CPULimit: .5, ThrottledSeconds: 24}))),
			"the job was throttled 40 % of the time by its CPU limit of 0.5 (container agent): raise limits.cpu, or leave it out"},
		{"throttled, but short", alone(after(4*time.Second, "Completed", ranWith(&contract.Use{CPULimit: .5, ThrottledSeconds: 3}))), ""},
		{"its clock is wrong", alone(after(-minute, "Completed", ranWith(&contract.Use{CPULimit: .5, ThrottledSeconds: 30}))), ""},
		{"it claims too much", alone(after(minute, "Completed", ranWith(&contract.Use{CPULimit: .5, ThrottledSeconds: 1e12}))), ""},
		{"it claims a little too much", alone(after(minute, "Completed", ranWith(&contract.Use{CPULimit: .5, ThrottledSeconds: 70}))), ""},
		{"files in memory only", alone(after(minute, "Completed", ranWith(&contract.Use{MemoryPeak: 2 * gib, MemoryLimit: 2 * gib}))), ""},
		{"short of memory", alone(after(minute, "Completed", ranWith(&contract.Use{MemoryPeak: 2040109466, MemoryLimit: 2 * gib, MemoryStalled: 6}))),
			"the job used 1.9 GiB of 2 GiB of memory at its peak, and waited for memory 10 % of the time (container agent): raise limits.memory"},
		{"a process was killed, and the kubelet doesn't say so", alone(after(minute, "Completed", ranWith(&contract.Use{MemoryPeak: 2 * gib, MemoryLimit: 2 * gib, OOMKills: 1}))),
			"a process of the job was killed for memory at 2 GiB (container agent): raise limits.memory"},
		{"in the command's container", apart(minute, contract.Use{CPULimit: 2, ThrottledSeconds: 30}), "throttled 50 % of the time by its CPU limit of 2 (container command)"},
		{"only the runner was throttled", apart(minute, contract.Use{CPULimit: 2}), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.pod.Status.Phase = corev1.PodSucceeded
			d := On(aKJob().State(stacks.StateFinished).Ended().but(func(f *Facts) { f.Pod = OfPod(tt.pod) }).Facts)
			if d.Action != None || d.Reason != ReasonFinished || (d.Text == "") != (tt.says == "") || !strings.Contains(d.Text, tt.says) {
				t.Errorf("%v %v %q, want %q", d.Action, d.Reason, d.Text, tt.says)
			}
			if len(d.Text) >= 256 {
				t.Errorf("%d bytes don't fit into a notification", len(d.Text))
			}
		})
	}
}

// Each container has its own, and what a stranger or a liar writes is left out or cut.
func TestUsedByContainers(t *testing.T) {
	p := withCommand(after(time.Minute, "Completed", ranWith(&contract.Use{MemoryPeak: 1, Disk: 5})), after(time.Minute, "Completed", stepWith(t, contract.Use{MemoryPeak: 2})))
	p.Status.ContainerStatuses = append(p.Status.ContainerStatuses,
		corev1.ContainerStatus{Name: "command-second", State: after(time.Second, "Completed", stepWith(t, contract.Use{MemoryPeak: 3}))},
		corev1.ContainerStatus{Name: "command-third", State: after(time.Second, "OOMKilled", "terminated")},
		corev1.ContainerStatus{Name: "sidecar", State: after(time.Second, "Completed", stepWith(t, contract.Use{MemoryPeak: 4}))},
		corev1.ContainerStatus{Name: "istio-proxy", State: after(time.Second, "OOMKilled", "terminated")},
		corev1.ContainerStatus{Name: "runs", State: runs},
	)
	pod := OfPod(p)
	if len(pod.Used) != 4 || len(pod.UsedBy()) != 3 || !pod.UsedBy()[2].OutOfMemory {
		t.Fatalf("%+v", pod.Used)
	}
	if u := pod.UsedBy()[1]; u.Container != "command-second" || u.Use.MemoryPeak != 3 || u.Seconds != 1 {
		t.Errorf("%+v", u)
	}
	if by := pod.UsedBy(); by[0].Use.Disk != 5 || by[1].Use.Disk != 0 || pod.Used[1].Use.Disk != 0 {
		t.Errorf("the pod's volumes count %+v, want once", by)
	}
	p.Annotations = nil // not a pod of ours
	if got := OfPod(p).UsedBy(); len(got) != 1 || got[0].Container != contract.AgentContainer {
		t.Errorf("%+v", got)
	}
}

// What no container can have used is a lie, and none of it counts: a job can write its message.
// The kubelet's times and limits are the measure.
func TestForgedUse(t *testing.T) {
	const gib = 1 << 30
	told := &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi"), corev1.ResourceCPU: resource.MustParse("500m")}}
	for _, tt := range []struct {
		name   string
		use    contract.Use
		limits *corev1.ResourceRequirements
		ok     bool
	}{
		{"all of it", contract.Use{MemoryPeak: 2 * gib, MemoryLimit: 2 * gib, CPUSeconds: 30, CPULimit: .5, ThrottledSeconds: 60, MemoryStalled: 60, CPUStalled: 60, IOStalled: 60}, nil, true},
		{"all CPUs of a large node", contract.Use{MemoryPeak: 1, CPUSeconds: 60 * 256}, nil, true},
		{"a little over its CPU limit", contract.Use{CPUSeconds: 35, CPULimit: .5}, told, true},
		{"more memory than its own limit", contract.Use{MemoryPeak: 3 * gib, MemoryLimit: 2 * gib}, nil, false},
		{"more than the limit that Kubernetes tells", contract.Use{MemoryPeak: 3 * gib, MemoryLimit: 1 << 44}, told, false},
		{"a limit of one byte", contract.Use{MemoryPeak: 1 << 44, MemoryLimit: 1}, nil, false},
		{"more CPU time than any node has", contract.Use{CPUSeconds: 1e8}, nil, false},
		{"more CPU time than its limit gives", contract.Use{CPUSeconds: 600, CPULimit: .5}, nil, false},
		{"than the limit that Kubernetes tells", contract.Use{CPUSeconds: 600, CPULimit: 64}, told, false},
		{"throttled for longer than it ran", contract.Use{CPULimit: .5, ThrottledSeconds: 90}, nil, false},
		{"stalled for longer than it ran", contract.Use{MemoryStalled: 90}, nil, false},
		{"waiting for disks for longer than it ran", contract.Use{IOStalled: 90, MemoryPeak: 1}, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			own := alone(after(time.Minute, "Completed", ranWith(&tt.use)))
			own.Status.ContainerStatuses[0].Resources = tt.limits
			apart := withCommand(after(time.Minute, "Completed", ranWith(&contract.Use{Disk: 1})), after(time.Minute, "Completed", stepWith(t, tt.use)))
			apart.Status.ContainerStatuses[1].Resources = tt.limits
			for name, pod := range map[string]Pod{"the runner's": OfPod(own), "a command's": OfPod(apart)} {
				if got := len(pod.UsedBy()) > 0; got != tt.ok {
					t.Errorf("%s: believed %t, want %t: %+v", name, got, tt.ok, pod.UsedBy())
				}
			}
		})
	}
	limited := alone(after(time.Minute, "OOMKilled", ranWith(&contract.Use{MemoryPeak: 1 << 44, MemoryLimit: 1 << 44, CPUSeconds: 1e9, CPULimit: 99})))
	limited.Status.ContainerStatuses[0].Resources = told
	want := Used{Container: contract.AgentContainer, Seconds: 60, OutOfMemory: true, Use: contract.Use{MemoryLimit: 2 * gib, CPULimit: .5}}
	if got := OfPod(limited).UsedBy(); len(got) != 1 || got[0] != want {
		t.Errorf("what the kubelet says of it counts: got %+v, want %+v", got, want)
	}
}

// The time that a container stayed for people to look into it isn't the job's.
func TestUsedWithoutTheHold(t *testing.T) {
	m := contract.Message{Outcome: contract.OutcomeFinished, Held: 50, Use: &contract.Use{MemoryPeak: 1}}
	command := after(time.Minute, "Completed", stepWith(t, contract.Use{MemoryPeak: 2}))
	p := withCommand(after(time.Minute, "Completed", string(m.Encode())), command)
	early := after(15*time.Second, "Completed", stepWith(t, contract.Use{MemoryPeak: 2}))
	early.Terminated.StartedAt, early.Terminated.FinishedAt = metav1.NewTime(t0.Add(-time.Minute)), metav1.NewTime(t0.Add(-55*time.Second))
	p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: "command-early", State: early})
	for i, want := range []float64{10, 10, 5} {
		if u := OfPod(p).Used[i]; u.Seconds != want {
			t.Errorf("%s: %v s, want %v", u.Container, u.Seconds, want)
		}
	}
}

// The limit is the API server's where it tells one.
func TestKilledAtItsLimit(t *testing.T) {
	two := &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")}}
	p := alone(endsWith(137, "OOMKilled", ""))
	p.Status.Phase, p.Status.ContainerStatuses[0].Resources = corev1.PodFailed, two
	if got, want := Loss(Facts{Pod: OfPod(p)}), "OOMKilled at 2 GiB (raise limits.memory), exit code 137"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	m := contract.Message{Outcome: contract.OutcomeFinished}
	p = withCommand(endsWith(0, "Completed", string(m.Encode())), endsWith(0, "OOMKilled", ""))
	p.Status.ContainerStatuses[1].Resources = two
	_, text := aside(Facts{Pod: OfPod(p)})
	if want := "(OOMKilled at 2 GiB, container command, image node:22)"; !strings.Contains(text, want) || !strings.HasSuffix(text, "raise limits.memory") {
		t.Errorf("%q, want %q", text, want)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1000: "1000 bytes", 1 << 10: "1 KiB", 1536: "1.5 KiB", 128 << 20: "128 MiB", 2040109466: "1.9 GiB", 2 << 30: "2 GiB", 1 << 50: "1 PiB", 1 << 62: "4096 PiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

// A runner that stays is left alone for as long as its queue allows.
func TestOverButHeld(t *testing.T) {
	held := func(hold, since time.Duration) Decision {
		return On(aKJob().State(stacks.StateFinished).Ended().but(func(f *Facts) {
			f.Pod, f.Policy.Hold, f.EndedAt = OfPod(alone(runs)), hold, t0.Add(-since)
			f.Pod.Phase, f.KJob.Finished, f.KJob.Succeeded = corev1.PodRunning, false, false
		}).Facts)
	}
	if d := held(time.Hour, 59*time.Minute); d.Action != None {
		t.Errorf("it is %v, %v", d.Action, d.Reason)
	}
	if d := held(0, 59*time.Minute); d.Action != Delete || d.Reason != ReasonOutlived {
		t.Errorf("without a hold: %v, %v", d.Action, d.Reason)
	}
	if d := held(time.Hour, 3*time.Hour); d.Action != Delete || d.Reason != ReasonOutlived {
		t.Errorf("for longer than the queue allows: %v, %v", d.Action, d.Reason)
	}
}
