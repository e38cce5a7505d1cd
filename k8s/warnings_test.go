package k8s

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
)

func TestPulling(t *testing.T) {
	for _, tt := range []struct {
		events []string // of a pod, oldest first
		every  time.Duration
		count  int32 // of each
		want   bool
	}{
		{nil, time.Second, 1, false},
		{[]string{"Scheduled"}, time.Second, 1, false},
		{[]string{"Pulling"}, time.Second, 1, true},
		{[]string{"Pulling", "Failed", "Failed"}, time.Second, 1, false},
		{[]string{"Pulling", "Failed", "BackOff"}, time.Second, 1, false},
		{[]string{"Failed", "BackOff", "Pulling"}, 0, 1, false}, // the order of what happens in one second isn't known
		{[]string{"Failed", "BackOff", "Pulling"}, time.Second, 1, true},
		{[]string{"Failed", "BackOff", "Pulling", "Pulled"}, time.Second, 1, true},
		{[]string{"Failed", "BackOff", "Pulling"}, time.Second, 8, true},
		{[]string{"Failed", "BackOff", "Pulling"}, time.Second, 9, false}, // the kubelet has no Events left to say more
	} {
		t.Run(fmt.Sprint(tt.events, tt.every, tt.count), func(t *testing.T) {
			var es []corev1.Event
			for i, reason := range tt.events {
				at := metav1.NewTime(t0.Add(time.Duration(i) * tt.every))
				es = append(es, corev1.Event{Reason: reason, Count: tt.count, Source: corev1.EventSource{Component: "kubelet"}, LastTimestamp: at})
			}
			if got := pullingOf(es); got != tt.want {
				t.Errorf("pulling: got %t, want %t", got, tt.want)
			}
		})
	}
}

// A Warning stays for an hour; of a volume it means nothing when an image is
// pulled.
func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		name   string
		events []string // of a pod, one a second
		same   bool     // all in one second
		want   []string
	}{
		{"none", nil, false, nil},
		{"newest first", []string{"FailedScheduling", "FailedMount"}, false, []string{"FailedMount", "FailedScheduling"}},
		{"a pull since", []string{"FailedAttachVolume", "FailedMount", "FailedCreatePodSandBox", "Pulling"}, false, nil},
		{"an image that was there", []string{"FailedMount", "Pulled", "Created"}, false, nil},
		{"a pull in the same second", []string{"Pulling", "FailedMount"}, true, nil},
		{"a new sandbox", []string{"Pulling", "FailedCreatePodSandBox"}, false, []string{"FailedCreatePodSandBox"}},
		{"others", []string{"FailedScheduling", "Evicted", "Pulling", "Failed"}, false, []string{"Failed", "Evicted", "FailedScheduling"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var es []corev1.Event
			for i, reason := range tt.events {
				at := t0
				if !tt.same {
					at = at.Add(time.Duration(i) * time.Second)
				}
				kind := corev1.EventTypeWarning
				if reason == "Pulling" || reason == "Pulled" || reason == "Created" {
					kind = corev1.EventTypeNormal
				}
				es = append(es, corev1.Event{Type: kind, Reason: reason, LastTimestamp: metav1.NewTime(at)})
			}
			var got []string
			for _, w := range warningsOf(es) {
				got = append(got, w.Reason)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// The Events of a kjob without a pod are read now and then, and once more before
// its job is finished for that: their words are all that its reader gets.
func TestLastWordsAreNew(t *testing.T) {
	const id = contract.JobID("01a20178-40c6-7700-b66b-9921d0c7c6a5")
	for _, tt := range []struct {
		action Action
		read   time.Duration // ago
		want   bool
	}{
		{None, warningsEvery / 2, false},
		{None, 2 * warningsEvery, true},
		{Finish, warningsEvery / 2, true},
		{Finish, stateFresh / 2, false},
	} {
		q := newQueue(New(Options{}), &settings{Queue: Queue{Name: "default"}}, &store{link: &link{}}, nil, nil)
		now := time.Now()
		f := Facts{Now: now, KJob: KJob{Exists: true, CreatedAt: now.Add(-time.Hour)}, Heard: Heard{EventsAt: now.Add(-tt.read)}}
		q.memo(id).heard = f.Heard
		if got := q.wantsWarnings(id, Decision{Action: tt.action, Reason: ReasonNoPod}, f); got != tt.want {
			t.Errorf("%s, read %s ago: reads again: %t, want %t", tt.action, tt.read, got, tt.want)
		}
		q.work.ShutDown()
	}
}
