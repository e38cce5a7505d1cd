package events

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
				at := metav1.NewTime(time.Unix(1e9, 0).Add(time.Duration(i) * tt.every))
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
				at := time.Unix(1e9, 0)
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
