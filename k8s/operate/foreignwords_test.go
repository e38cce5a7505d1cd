package operate

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

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

// FuzzForeignWords takes what others write the whole way: a termination message, what
// the kubelet and an Event say, a name of Buildkite's, to the job's page, a Kubernetes
// Event and an operator's terminal.
func FuzzForeignWords(f *testing.F) {
	f.Add([]byte(`{"contract":1,"outcome":"rejected","exit_code":27,"reason":"\u0000"}`), "a\x1b[2Jb", 0)
	f.Add([]byte(`{"contract":1,"outcome":"x\u001b[2J\u001b]52;c;Y3VybA==\u0007","exit_code":70,"phases":[{"name":"\u202e","start":"9000-01-01T00:00:00Z","seconds":1e300}]}`), "\u202egpj", 1)
	f.Add([]byte("x\x00\xff\u009b31m\n"), strings.Repeat("é\u2028", 5000), 2)
	f.Add([]byte(`{"contract":1,"outcome":"finished","received":"\u001b","signal":"\u0000","tries":{"\u0000":3}}`), "\xff", 3)
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
		waiting := corev1.ContainerStatus{Name: "sidecar", Image: words, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: words}}}
		ended := corev1.ContainerStatus{Name: contract.AgentContainer, Image: words, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 137, Reason: words, Message: string(message), StartedAt: now, FinishedAt: now}}}
		event := corev1.Event{Type: corev1.EventTypeWarning, Reason: "FailedCreate", Message: words, Source: corev1.EventSource{Component: "job-controller"}, LastTimestamp: now}
		for _, statuses := range [][]corev1.ContainerStatus{nil, {waiting}, {ended}} {
			pod := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending, Reason: words, Message: words, ContainerStatuses: statuses,
				Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: words}}}}
			if len(statuses) > 0 && statuses[0].State.Terminated != nil {
				pod.Status.Phase, pod.Spec.NodeName = corev1.PodFailed, "node"
			}
			facts := decide.Facts{Now: time.Unix(1e9, 0), State: states[uint(state)%4], StateAt: time.Unix(1e9, 0), ToldAt: time.Unix(1e9, 0), EndedAt: time.Unix(1e9, 0), Attempt: 1, KJob: decide.OfJob(k), Pod: decide.OfPod(pod),
				Story: decide.ParseHistory(words), Policy: decide.Policy{MaxAttempts: 1 + state&4}, Heard: events.Heard([]corev1.Event{events.TakeIn(event)}, time.Unix(1e9, 0))}
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
