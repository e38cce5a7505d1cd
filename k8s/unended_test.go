package k8s

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestDecideEarlier(t *testing.T) {
	pods := func(uid types.UID, phases ...corev1.PodPhase) (of []*seenPod) {
		for _, phase := range phases {
			of = append(of, &seenPod{Pod: Pod{Phase: phase, Node: "node"}, kjobUID: uid})
		}
		return of
	}
	const over, runs = corev1.PodFailed, corev1.PodRunning
	lingers := func(helper string) []*seenPod {
		return []*seenPod{{Pod: Pod{Phase: runs, Node: "node", Ended: true, Helper: helper}, kjobUID: "k"}}
	}
	for _, tt := range []struct {
		name      string
		suspended bool
		pods      []*seenPod
		ago       time.Duration
		want      Reason // of its deletion
		unplaced  bool
		again     bool
	}{
		{"suspended", true, pods("k", runs), 0, ReasonSuspended, false, false},
		{"its pod runs", false, pods("k", runs), time.Hour, "", false, false},
		{"one of its pods runs", false, pods("k", over, runs), time.Hour, "", false, false},
		{"one of its pods runs, the other is over", false, pods("k", runs, over), time.Hour, "", false, false},
		{"its pod is over", false, pods("k", over), endGrace - time.Second, "", false, true},
		{"its pod has been over for long", false, pods("k", over), endGrace, ReasonUnended, false, false},
		{"its agent container is over, another one isn't", false, lingers("proxy"), 0, ReasonHelper, false, false},
		{"its agent container is over, and the kubelet stops another one", false, lingers(""), 0, "", false, true},
		{"no pod", false, nil, unendedGrace - time.Second, "", false, true},
		{"no pod for long", false, nil, unendedGrace, ReasonUnended, true, false},
		{"only another's pod", false, pods("other", runs), unendedGrace, ReasonUnended, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &seenKjob{seenObject: seenObject{ObjectMeta: metav1.ObjectMeta{UID: "k"}}, KJob: KJob{UID: "k", Suspended: tt.suspended}}
			got := decideEarlier(k, tt.pods, tt.ago)
			if (got.Action == Delete) != (tt.want != "") || got.Reason != tt.want || got.Unplaced != tt.unplaced || got.Again.IsZero() == tt.again {
				t.Errorf("got %+v, want %+v", got, tt)
			}
		})
	}
}
