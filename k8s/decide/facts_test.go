package decide

import (
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
)

// What a job writes of its phases is believed once, and within its container's time.
func TestForgedPhases(t *testing.T) {
	at := func(s float64) time.Time { return t0.Add(Seconds(s)) }
	phases := []contract.Phase{
		{Name: "register", Start: at(-0.5), Seconds: 1}, // the kubelet's seconds
		{Name: "acquire", Start: at(-3600), Seconds: 3601},
		{Name: "acquire", Start: at(8000 * 365 * 86400), Seconds: 1e300},
		{Name: "acquire", Start: at(1), Seconds: -1},
		{Name: "acquire", Start: at(1), Seconds: 12},
		{Name: "acquire", Start: at(1), Seconds: 1e300},
		{Name: "acquire", Start: time.Time{}, Seconds: 1},
		{Name: "acquire", Start: at(2), Seconds: 3},
		{Name: "acquire", Start: at(3), Seconds: 4},
		{Name: "leave", Start: at(10), Seconds: 0.9},
	}
	got := believed(phases, t0, t0.Add(10*time.Second))
	if want := []contract.Phase{phases[0], phases[7], phases[9]}; !slices.Equal(got, want) {
		t.Errorf("believed %v, want %v", got, want)
	}
	if got := believed(phases, time.Time{}, time.Time{}); len(got) > 1 {
		t.Errorf("of a container without times: %v", got)
	}
}

// What counts is the agent container, whatever else is in the pod.
func TestPodFactsBesideOthers(t *testing.T) {
	type containers = []corev1.ContainerStatus
	runs := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	ended := func(code int32, reason string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}}
	}
	waits := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}
	creating := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}
	always := corev1.ContainerStatus{Name: "mesh", State: runs}
	agent := func(s corev1.ContainerState) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: contract.AgentContainer, State: s}
	}
	for _, tt := range []struct {
		name       string
		phase      corev1.PodPhase
		init, main containers
		deleted    bool
		over, lost bool
		lingers    bool
		stops      bool
		helper     string
		waiting    string
	}{
		{name: "both run", main: containers{agent(runs), {Name: "proxy", State: runs}}, helper: "proxy"},
		{name: "the agent has ended", main: containers{agent(ended(75, "Error")), {Name: "proxy", State: runs}}, over: true, lost: true, lingers: true, helper: "proxy"},
		{name: "the agent has ended, and comes last", main: containers{{Name: "proxy", State: runs}, agent(ended(0, "Completed"))}, over: true, lost: true, lingers: true, helper: "proxy"},
		{name: "the agent was killed", main: containers{agent(ended(137, "OOMKilled")), {Name: "proxy", State: runs}}, over: true, lost: true, lingers: true, helper: "proxy"},
		{name: "the agent's end was not seen", main: containers{agent(ended(137, "ContainerStatusUnknown")), {Name: "proxy", State: runs}}, helper: "proxy"},
		{name: "the agent runs again", main: containers{{Name: contract.AgentContainer, State: runs, LastTerminationState: ended(1, "Error")}, {Name: "proxy", State: runs}}, helper: "proxy"},
		{name: "the other has ended", main: containers{agent(runs), {Name: "proxy", State: ended(1, "Error")}}},
		{name: "the other never starts", main: containers{agent(ended(0, "Completed")), {Name: "proxy", State: waits}}, over: true, lost: true, lingers: true, helper: "proxy"},
		{name: "the other waits, and comes first", phase: corev1.PodPending, main: containers{{Name: "proxy", State: waits}, agent(creating)}, helper: "proxy"},
		{name: "the agent waits", phase: corev1.PodPending, main: containers{{Name: "proxy", State: runs}, agent(waits)}, helper: "proxy", waiting: "ImagePullBackOff"},
		{name: "a native sidecar waits", phase: corev1.PodPending, init: containers{{Name: "mesh", State: waits}}, main: containers{agent(creating)}, waiting: "ImagePullBackOff"},
		{name: "a native sidecar", init: containers{always}, main: containers{agent(ended(0, "Completed"))}, over: true, lost: true, lingers: true, stops: true},
		{name: "deleted", deleted: true, main: containers{agent(ended(0, "Completed")), {Name: "proxy", State: runs}}, over: true, lost: true, lingers: true, stops: true, helper: "proxy"},
		{name: "all have ended", phase: corev1.PodFailed, main: containers{agent(ended(0, "Completed")), {Name: "proxy", State: ended(137, "Error")}}, over: true, lost: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "node"}, Status: corev1.PodStatus{Phase: corev1.PodRunning, InitContainerStatuses: tt.init, ContainerStatuses: tt.main}}
			if tt.phase != "" {
				o.Status.Phase = tt.phase
			}
			if tt.deleted {
				o.DeletionTimestamp = &metav1.Time{Time: t0}
			}
			p := OfPod(o)
			if p.Over() != tt.over || p.Lost() != tt.lost || p.Lives() == tt.over || p.Lingers() != tt.lingers || p.Lingers() && p.stops() != tt.stops || p.Helper != tt.helper || p.Waiting != tt.waiting {
				t.Errorf("over %v, lost %v, lingers %v, stops %v, helper %q, waiting %q; want %+v", p.Over(), p.Lost(), p.Lingers(), p.stops(), p.Helper, p.Waiting, tt)
			}
		})
	}
}

// Who holds a kjob, as it says itself.
func TestHolder(t *testing.T) {
	for _, tt := range []struct {
		name, queue, managedBy, want string
	}{
		{"nobody", "", "", ""},
		{"the Job controller itself", "", batchv1.JobControllerName, ""},
		{"Kueue's queue", "ci", "", "queue ci of Kueue"},
		{"another controller", "", "kueue.x-k8s.io/multikueue", "managed by kueue.x-k8s.io/multikueue"},
		{"both", "ci", "kueue.x-k8s.io/multikueue", "queue ci of Kueue"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &batchv1.Job{}
			if tt.queue != "" {
				k.Labels = map[string]string{"kueue.x-k8s.io/queue-name": tt.queue}
			}
			if tt.managedBy != "" {
				k.Spec.ManagedBy = &tt.managedBy
			}
			if got := OfJob(k).Holder; got != tt.want {
				t.Errorf("held by %q, want %q", got, tt.want)
			}
		})
	}
}

// Which container failed by itself, so that another pod would fail the same way.
func TestBroke(t *testing.T) {
	end := func(name string, code int32, reason, message string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}}}
	}
	initializing := corev1.ContainerStatus{Name: contract.AgentContainer, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}}
	message := string((&contract.Message{Outcome: contract.OutcomeExhausted, ExitCode: 75}).Encode())
	for _, tt := range []struct {
		name string
		init corev1.ContainerStatus
		main corev1.ContainerStatus
		but  func(*corev1.Pod)
		want Failure
	}{
		{name: "an init container", init: end("fetch", 3, "Error", "a\n\nb\nc\x1b[0m\nd\n"), main: initializing, want: Failure{"fetch", 3, "b | c [0m | d"}},
		{name: "it was too large", init: end("fetch", 137, "OOMKilled", ""), main: initializing, want: Failure{"fetch", 137, ""}},
		{name: "it was killed", init: end("fetch", 137, "Error", ""), main: initializing},
		{name: "it was told to stop", init: end("fetch", 143, "Error", ""), main: initializing},
		{name: "nobody saw its end", init: end("fetch", 137, "ContainerStatusUnknown", ""), main: initializing},
		{name: "its program isn't there", init: end("fetch", 128, "StartError", "no such file"), main: initializing, want: Failure{"fetch", 128, "no such file"}},
		{name: "its pod was evicted", init: end("fetch", 3, "Error", ""), main: initializing, but: func(p *corev1.Pod) { p.Status.Reason = "Evicted" }},
		{name: "its pod was deleted", init: end("fetch", 3, "Error", ""), main: initializing, but: func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: t0} }},
		{name: "it ended well", init: end("fetch", 0, "Completed", ""), main: initializing},
		{name: "a sidecar, at the end", init: end("mesh", 2, "Error", ""), main: end(contract.AgentContainer, 75, "Error", message)},
		{name: "a sidecar, when the agent container was killed", init: end("mesh", 2, "Error", ""), main: end(contract.AgentContainer, 137, "Error", "")},
		{name: "no runner", init: end("fetch", 0, "Completed", ""), main: end(contract.AgentContainer, 127, "Error", "not found"), want: Failure{contract.AgentContainer, 127, "not found"}},
		{name: "a runner without a word", init: end("fetch", 0, "Completed", ""), main: end(contract.AgentContainer, 75, "Error", "")},
		{name: "a runner with one", init: end("fetch", 0, "Completed", ""), main: end(contract.AgentContainer, 75, "Error", message)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "node"}, Status: corev1.PodStatus{Phase: corev1.PodFailed,
				InitContainerStatuses: []corev1.ContainerStatus{tt.init}, ContainerStatuses: []corev1.ContainerStatus{tt.main}}}
			if tt.but != nil {
				tt.but(o)
			}
			if got := OfPod(o).Broke; got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}
