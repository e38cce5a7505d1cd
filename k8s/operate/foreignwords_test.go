package operate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/stacks"
)

// unprintable is what is wrong with a text that leaves for a reader, empty if
// nothing is.
func unprintable(s string, most int) string {
	switch {
	case !utf8.ValidString(s):
		return "it is no UTF-8"
	case len(s) > most:
		return fmt.Sprintf("it has %d bytes, more than %d", len(s), most)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "it isn't printable"
	}
	return ""
}

// FuzzForeignWords takes what others write the whole way: a termination message of each kind
// of container, what the kubelet and Events say, names of Buildkite's, to the job's page, a
// Kubernetes Event and what operators are shown. FuzzTerminal in cmd/onejob goes on from there
// to the terminal, with Kueue's words, and FuzzTraceWords in k8s/scheduler to traces.
func FuzzForeignWords(f *testing.F) {
	f.Add([]byte(`{"contract":1,"outcome":"rejected","exit_code":27,"reason":"\u0000"}`), "a\x1b[2Jb", 0)
	f.Add([]byte(`{"contract":1,"outcome":"x\u001b[2J\u001b]52;c;Y3VybA==\u0007","exit_code":70,"phases":[{"name":"\u202e","start":"9000-01-01T00:00:00Z","seconds":1e300}]}`), "\u202egpj", 1)
	f.Add([]byte("x\x00\xff\u009b31m\n"), strings.Repeat("é\u2028", 5000), 2)
	f.Add([]byte(`{"contract":1,"outcome":"finished","received":"\u001b","signal":"\u0000","tries":{"\u0000":3}}`), "\xff", 3)
	f.Add([]byte(`{"contract":1,"use":{"memory_peak":9000000000000000000,"cpu_seconds":1e300}}`), "\x1b]0;x\a", 8)
	var tpl *kjob.Template
	f.Fuzz(func(t *testing.T, message []byte, words string, state int) {
		if tpl == nil {
			c, err := config.Parse([]byte("queues:\n- name: default\n"), "builds")
			if err != nil {
				t.Fatal(err)
			}
			if tpl, err = kjob.Parse(nil, c.Queues[0]); err != nil {
				t.Fatal(err)
			}
		}
		states := []stacks.State{stacks.StateReserved, stacks.StateRunning, stacks.StateFinished, stacks.StateUnknown}
		k, err := kjob.New(stacks.Job{ID: contract.SampleJobID, Pipeline: words, Branch: words, Step: words, Build: 1}, 1, tpl, nil)
		if err != nil {
			t.Fatal(err)
		}
		k.Annotations[contract.AnnotationCancel], k.Annotations[contract.AnnotationStory] = words, words
		k.Annotations[contract.AnnotationStep], k.Annotations[contract.AnnotationJobURL] = words, words
		now := metav1.NewTime(time.Unix(1e9, 0))
		k.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue, Reason: words, Message: words}}
		waits := func(name, reason string) corev1.ContainerStatus {
			return corev1.ContainerStatus{Name: name, Image: words, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: words}}}
		}
		ends := func(name, reason, text string) corev1.ContainerStatus {
			return corev1.ContainerStatus{Name: name, Image: words, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: 137, Reason: reason, Message: text, StartedAt: metav1.NewTime(now.Add(-time.Minute)), FinishedAt: now}}}
		}
		runs := corev1.ContainerStatus{Name: contract.AgentContainer, Image: words, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}}
		event := corev1.Event{Type: corev1.EventTypeWarning, Reason: "FailedCreate", Message: words, Source: corev1.EventSource{Component: "job-controller"}, LastTimestamp: now}
		audit := corev1.Event{Type: corev1.EventTypeWarning, Reason: words, Message: words, Source: corev1.EventSource{Component: words}, LastTimestamp: now}
		for _, of := range []struct{ init, containers []corev1.ContainerStatus }{
			{},
			{containers: []corev1.ContainerStatus{waits("sidecar", "ErrImagePull")}},
			{containers: []corev1.ContainerStatus{waits(contract.AgentContainer, "ErrImagePull")}},
			{containers: []corev1.ContainerStatus{waits(contract.AgentContainer, words)}},
			{init: []corev1.ContainerStatus{waits("db", words)}},
			{init: []corev1.ContainerStatus{ends("db", words, words)}},
			{init: []corev1.ContainerStatus{ends(contract.StepInit, words, string(message))}},
			{containers: []corev1.ContainerStatus{ends(contract.AgentContainer, words, string(message))}},
			{containers: []corev1.ContainerStatus{ends(contract.AgentContainer, "StartError", words)}},
			{containers: []corev1.ContainerStatus{runs, waits(contract.CommandContainer, words)}},
			{containers: []corev1.ContainerStatus{runs, ends(contract.CommandContainer, "StartError", words)}},
			{containers: []corev1.ContainerStatus{runs, ends(contract.CommandContainer, words, string(message)), ends("sidecar", words, words)}},
			{containers: []corev1.ContainerStatus{ends(contract.AgentContainer, "Completed", string(message)), ends(contract.CommandContainer, "OOMKilled", string(message))}},
		} {
			pod := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending, Reason: words, Message: words, InitContainerStatuses: of.init, ContainerStatuses: of.containers,
				Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: words}, {Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: words, Message: words}}}}
			pod.Annotations = map[string]string{contract.AnnotationImage: words}
			if all := slices.Concat(of.init, of.containers); len(all) > 0 && all[0].State.Terminated != nil {
				pod.Status.Phase, pod.Spec.NodeName = corev1.PodFailed, "node"
			}
			if state&8 != 0 {
				pod.Status.Reason, pod.Status.Message, pod.Status.Conditions = "", "", nil
			}
			facts := decide.Facts{Now: time.Unix(1e9, 0), State: states[uint(state)%4], StateAt: time.Unix(1e9, 0), ToldAt: time.Unix(1e9, 0), EndedAt: time.Unix(1e9, 0), Attempt: 1, KJob: decide.OfJob(k), Pod: decide.OfPod(pod),
				Story: decide.ParseHistory(words), Policy: decide.Policy{MaxAttempts: 1 + state&4}, Heard: events.Heard([]corev1.Event{events.TakeIn(event), events.TakeIn(audit)}, time.Unix(1e9, 0))}
			facts.KJob.Finished = facts.Pod.Phase == corev1.PodFailed
			bare := facts
			bare.Pod = decide.Pod{}
			for _, f := range []decide.Facts{facts, bare} {
				d := decide.On(f)
				for what, leaves := range map[string]struct {
					text string
					most int
				}{
					"finish": {contract.Line(d.Text, stacks.MaxDetail), stacks.MaxDetail}, "notification": {contract.Line(d.Text, stacks.MaxNotification), stacks.MaxNotification},
					"what is inside": {d.Text, 100 << 10},
				} {
					if wrong := unprintable(leaves.text, leaves.most); wrong != "" {
						t.Errorf("%s: %s: %q", what, wrong, leaves.text)
					}
				}
				if wrong := unprintable(events.New("builds", "onejob-x", "", true, events.Notice, d.Text, d).Message, 1024); wrong != "" {
					t.Errorf("the Event: %s", wrong)
				}
			}
			row := rowOf(k, pod, k)
			var teller teller
			if pod.Status.Phase == corev1.PodFailed {
				teller.tellPod(pod)
			}
			for _, line := range teller.story.Lines {
				if wrong := unprintable(line.What, 8<<10); wrong != "" {
					t.Errorf("the story's line: %s: %q", wrong, line.What)
				}
			}
			for name, v := range textsOf(t, row) {
				if wrong := unprintable(v, 8<<10); wrong != "" {
					t.Errorf("the row's %s: %s: %q", name, wrong, v)
				}
			}
		}
	})
}

// textsOf are the texts of a value, by their names in JSON.
func textsOf(t *testing.T, v any) map[string]string {
	b, err := json.Marshal(v)
	var all map[string]any
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for name, v := range all {
		if s, ok := v.(string); ok {
			out[name] = s
		}
	}
	return out
}
