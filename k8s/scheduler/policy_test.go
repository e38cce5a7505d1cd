package scheduler

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/stacks"
)

// What is written as 0 is no limit, and no grace.
func TestPolicyOfZero(t *testing.T) {
	p := PolicyOf(configuredQueue(t, "  pending-timeout: 0s\n  image-grace: 0s\n"), time.Minute)
	now := time.Now()
	f := decide.Facts{
		Now: now, State: stacks.StateReserved, StateAt: now, ToldAt: now, Attempt: 1, Policy: p,
		KJob: decide.KJob{UID: "k", Exists: true, CreatedAt: now.Add(-1000 * time.Hour), PodSeen: true},
		Pod:  decide.Pod{Name: "p", Phase: corev1.PodPending, Unschedulable: "0/3 nodes"},
	}
	if d := decide.On(f); d.Action != decide.None || !d.Waiting || !d.Again.IsZero() {
		t.Errorf("a pod that waits for a node, without a limit: %+v", d)
	}
	f.KJob.CreatedAt, f.FailingSince, f.EventsAt = now.Add(-time.Second), now, now
	f.Pod = decide.Pod{Name: "p", Phase: corev1.PodPending, Node: "node", Waiting: "ErrImagePull", WaitingMessage: "not found", Image: "a:b"}
	if d := decide.On(f); d.Action != decide.Finish || d.Reason != decide.ReasonImage {
		t.Errorf("an image that can't be pulled, without a grace: %+v", d)
	}
}
