package k8s

import (
	"fmt"
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
				at := metav1.NewTime(t0.Add(time.Duration(i) * tt.every))
				es = append(es, corev1.Event{Reason: reason, Count: tt.count, Source: corev1.EventSource{Component: "kubelet"}, LastTimestamp: at})
			}
			if got := pullingOf(es); got != tt.want {
				t.Errorf("pulling: got %t, want %t", got, tt.want)
			}
		})
	}
}
