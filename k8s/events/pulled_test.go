package events

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/k8s/decide"
)

// The kubelet's sentences, as the oldest and the newest supported Kubernetes write them.
// Those of others, and what is in none of them, count for nothing.
func TestPulls(t *testing.T) {
	at := metav1.NewTime(time.Unix(1e9, 0))
	var got []decide.Pull
	for _, e := range []struct{ who, reason, message string }{
		{"kubelet", "Pulled", `Successfully pulled image "docker.io/library/golang:1.26" in 31.2s (31.25s including waiting). Image size: 1200000000 bytes.`},
		{"kubelet", "Pulled", `Successfully pulled image "a" in 812ms (1m2.5s including waiting)`},
		{"kubelet", "Pulled", `Container image "b" already present on machine`},
		{"kubelet", "Pulled", `Container image "c" already present on machine and can be accessed by the pod`},
		{"kubelet", "Pulled", `Successfully pulled image "d" in a while`},
		{"kubelet", "Pulled", `Successfully pulled image "e" in 1s (99999999h including waiting). Image size: 1 bytes.`},
		{"kubelet", "Pulled", `I pulled image "f" in 1s (1s including waiting). Image size: 1 bytes.`},
		{"kubelet", "Pulling", `Pulling image "g"`},
		{"somebody", "Pulled", `Successfully pulled image "h" in 1s (1s including waiting). Image size: 1 bytes.`},
	} {
		got = append(got, Pulls([]corev1.Event{{Reason: e.reason, Message: e.message, Source: corev1.EventSource{Component: e.who}, LastTimestamp: at}})...)
	}
	want := []decide.Pull{
		{Image: "docker.io/library/golang:1.26", At: at.Time, Took: 31250 * time.Millisecond, Bytes: 1_200_000_000},
		{Image: "a", At: at.Time, Took: 62500 * time.Millisecond},
		{Image: "b", At: at.Time, Cached: true}, {Image: "c", At: at.Time, Cached: true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	one := corev1.Event{Reason: "Pulled", Message: `Container image "b" already present on machine`, Source: corev1.EventSource{Component: "kubelet"}}
	if n := len(Pulls(slices.Repeat([]corev1.Event{one}, 1000))); n != mostPulls {
		t.Errorf("%d of a thousand Events are taken", n)
	}
}

func FuzzPulls(f *testing.F) {
	f.Add(`Successfully pulled image "a" in 812ms (1m2.5s including waiting). Image size: 12 bytes.`)
	f.Add(`Container image "b" already present on machine`)
	f.Fuzz(func(t *testing.T, message string) {
		e := TakeIn(corev1.Event{Reason: "Pulled", Message: message, Source: corev1.EventSource{Component: "kubelet"}, LastTimestamp: metav1.NewTime(time.Unix(1e9, 0))})
		pulls := Pulls([]corev1.Event{e})
		made := metav1.NewTime(time.Unix(1e9-60, 0)).Time
		text := decide.Start{Made: made, Scheduled: made, Running: made.Add(time.Hour), Pulls: pulls}.Text()
		if len(text) > 256 {
			t.Errorf("%q", text)
		}
		for _, p := range pulls {
			if p.Took < 0 || p.Took > maxPull || p.Bytes < 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}
