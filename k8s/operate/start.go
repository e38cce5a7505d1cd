package operate

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// startOf is how an attempt came to its start, from its pod and that pod's Events.
func startOf(k *batchv1.Job, p *corev1.Pod, es []corev1.Event) decide.Start {
	pod := decide.OfPod(p)
	s := decide.Start{
		Attempt: kjob.AttemptOf(k), Waited: kjob.Waited(k), Made: k.CreationTimestamp.Time, Admitted: decide.AdmittedAt(k),
		Pod: p.CreationTimestamp.Time, Running: pod.StartedAt, Acquired: decide.AcquiredAt(pod), Pulls: events.Pulls(es),
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue {
			s.Scheduled = c.LastTransitionTime.Time
		}
	}
	return s
}
