package operate

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// look is what was read of a job at one time: its last kjob, nil if there is none, with
// its pod and the pod's Events, and the pods of all its kjobs.
type look struct {
	asked, now time.Time // when Buildkite was asked, and after all was read
	policy     decide.Policy
	kjob       *batchv1.Job
	pod        *corev1.Pod
	events     []corev1.Event
	pods       []corev1.Pod
	admission  string // what Kueue says of the kjob
}

// facts are the facts that a scheduler would have that saw all this from the beginning,
// as far as Kubernetes still shows it.
func (l look) facts(s Story) decide.Facts {
	var t decide.Timeline
	seen := decide.Seen{Policy: l.policy}
	for i := range l.pods {
		p := &l.pods[i]
		of := decide.OfPod(p)
		seen.Pods = append(seen.Pods, decide.AttemptPod{Pod: &of, KJob: kjob.OwnerUID(p), Attempt: kjob.AttemptOf(p)})
	}
	if k := l.kjob; k != nil {
		seen.KJob = decide.AttemptKJob{Number: kjob.AttemptOf(k), KJob: decide.OfJob(k),
			Story: decide.ParseHistory(k.Annotations[contract.AnnotationStory]), Faults: decide.ParseNodeFaults(k.Annotations[contract.AnnotationNodeFaults])}
		heard := events.Heard(l.events, l.now)
		heard.Admission = l.admission
		t.Hear(decide.Facts{KJob: seen.KJob.KJob, Pod: decide.OfPod(l.pod)}.Subject(), heard)
	}
	since := l.since()
	if s.StateError == "" {
		t.Learn(s.State, l.asked, since) // an agent that has it has had it as long, for all that is known
		t.Learn(s.State, l.asked, l.now)
	}
	seen.Now = since
	t.See(seen)
	seen.Now = l.now
	return t.See(seen)
}

// since is when the present situation began: when the attempt ended or, if it goes on,
// when Kubernetes first warned. It is never after Buildkite was asked, whatever the
// clocks say.
func (l look) since() time.Time {
	since := l.asked
	if l.kjob == nil {
		return since
	}
	if end := endOf(l.kjob, l.pod); !end.IsZero() {
		return decide.Earlier(since, end)
	}
	if decide.OfPod(l.pod).Over() {
		return since
	}
	for _, e := range l.events {
		if e.Type == corev1.EventTypeWarning && !e.FirstTimestamp.IsZero() {
			since = decide.Earlier(since, e.FirstTimestamp.Time)
		}
	}
	return since
}

// endOf is when an attempt ended, zero if it hasn't.
func endOf(k *batchv1.Job, p *corev1.Pod) (end time.Time) {
	for _, c := range k.Status.Conditions {
		switch c.Type {
		case batchv1.JobComplete, batchv1.JobFailed:
			if c.Status == corev1.ConditionTrue {
				end = c.LastTransitionTime.Time
			}
		}
	}
	if p != nil {
		for _, c := range p.Status.ContainerStatuses {
			if t := c.State.Terminated; t != nil && c.Name == contract.AgentContainer {
				end = t.FinishedAt.Time
			}
		}
	}
	return end
}
