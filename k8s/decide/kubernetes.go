package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// OfJob returns the facts of a kjob, with times by Kubernetes' clocks; the cache's
// sights turn them into ours.
func OfJob(k *batchv1.Job) KJob {
	if k == nil {
		return KJob{}
	}
	f := KJob{
		UID: k.UID, Exists: true, Terminating: k.DeletionTimestamp != nil, CreatedAt: k.CreationTimestamp.Time,
		Suspended: k.Spec.Suspend != nil && *k.Spec.Suspend, Cancelled: contract.Sentence(k.Annotations[contract.AnnotationCancel]),
	}
	if f.Terminating {
		f.DeletedAt, f.Finalizers = k.DeletionTimestamp.Time, contract.Sentence(strings.Join(k.Finalizers, ", "))
	}
	if d := k.Spec.ActiveDeadlineSeconds; d != nil {
		f.Deadline = time.Duration(*d) * time.Second
	}
	f.Holder = holderOf(k)
	s := &k.Status
	pods := int(s.Active + s.Failed + s.Succeeded)
	if u := s.UncountedTerminatedPods; u != nil {
		pods += len(u.Failed) + len(u.Succeeded)
	}
	f.PodSeen = pods > 0
	if s.StartTime != nil {
		f.ResumedAt = s.StartTime.Time
	}
	for _, c := range s.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete:
			f.Finished, f.Succeeded, f.FinishedAt = true, true, c.LastTransitionTime.Time
		case batchv1.JobFailed:
			f.Finished, f.FailReason, f.FailMessage, f.FinishedAt = true, contract.Word(c.Reason), contract.Sentence(c.Message), c.LastTransitionTime.Time
		case batchv1.JobSuspended:
			f.SuspendedAt = c.LastTransitionTime.Time
		case batchv1.JobFailureTarget:
			f.FailReason, f.FailMessage = contract.Word(c.Reason), contract.Sentence(c.Message)
		}
	}
	return f
}

// OfPod returns the facts of a pod, with times by Kubernetes' clocks too.
func OfPod(p *corev1.Pod) Pod {
	if p == nil {
		return Pod{}
	}
	f := Pod{
		Name: p.Name, Phase: cmp.Or(p.Status.Phase, corev1.PodPending), Node: p.Spec.NodeName, Terminating: p.DeletionTimestamp != nil,
		CreatedAt: p.CreationTimestamp.Time, Why: contract.Word(p.Status.Reason), WhyMessage: contract.Sentence(p.Status.Message),
	}
	if f.Terminating {
		f.GoneBy = p.DeletionTimestamp.Time
	}
	for _, c := range p.Status.Conditions {
		f.addCondition(c)
	}
	// PodGC sets a terminal phase only if the pod's node no longer exists. It doesn't
	// for a pod without a node.
	f.NodeGone = f.Why == "DeletionByPodGC" && f.Phase == corev1.PodFailed
	for _, c := range p.Status.InitContainerStatuses {
		if end := c.State.Terminated; end != nil && f.Broke.Container == "" {
			f.Broke = failureOf(c.Name, end)
		}
		f.addWait(c)
		f.addContainer(c)
	}
	for _, c := range p.Status.ContainerStatuses {
		if c.Name == contract.AgentContainer {
			f.addWait(c) // it doesn't wait for those beside it
		} else if c.State.Terminated == nil {
			f.Helper = contract.Word(c.Name)
		}
		f.addContainer(c)
	}
	f.addCommand(p)
	for _, c := range p.Status.ContainerStatuses {
		f.addUsed(c, f.Apart)
	}
	if !f.brokeByItself() {
		f.Broke = Failure{}
	}
	return f
}

// brokeByItself: the pod is over because a container failed, not because somebody did
// something to the pod, and not because a sidecar ended.
func (p *Pod) brokeByItself() bool {
	if p.Started && p.Broke.Container != contract.AgentContainer {
		return false
	}
	return p.Phase == corev1.PodFailed && !p.Terminating && p.Why == ""
}

func (p *Pod) addCondition(c corev1.PodCondition) {
	switch {
	case c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse:
		p.Unschedulable = cmp.Or(contract.Sentence(c.Message), contract.Word(c.Reason))
	case c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue:
		p.because(c.Reason, c.Message)
	}
}

// because keeps the first reason for the pod's end.
func (p *Pod) because(reason, message string) {
	if p.Why == "" {
		p.Why, p.WhyMessage = contract.Word(reason), contract.Sentence(message)
	}
}

// addWait records why a container waits, if the agent's container waits for that one or
// is it: the first reason that isn't merely a matter of time.
func (p *Pod) addWait(c corev1.ContainerStatus) {
	w := c.State.Waiting
	if w == nil || p.Waiting != "" {
		return
	}
	switch w.Reason {
	case "", "PodInitializing", "ContainerCreating":
	default:
		p.Waiting, p.WaitingMessage, p.Image = contract.Word(w.Reason), contract.Sentence(w.Message), contract.Word(c.Image)
	}
}

func (p *Pod) addContainer(c corev1.ContainerStatus) {
	if c.Name == contract.AgentContainer {
		p.addAgent(c)
		return
	}
	end := c.State.Terminated
	if end != nil && end.ExitCode != 0 {
		p.explain(fmt.Sprintf("container %s ended with exit code %d: %s %s", c.Name, end.ExitCode, end.Reason, lastLines(end.Message)))
	}
}

// explain keeps the first text about the pod's end.
func (p *Pod) explain(message string) {
	if p.WhyMessage == "" {
		p.WhyMessage = contract.Sentence(message)
	}
}

// addAgent records the kubelet's status of the agent container.
func (p *Pod) addAgent(c corev1.ContainerStatus) {
	if r := c.State.Running; r != nil {
		p.Started, p.StartedAt, p.Image = true, r.StartedAt.Time, contract.Word(c.Image)
	}
	end := c.State.Terminated
	if end == nil {
		end = c.LastTerminationState.Terminated
	}
	if end == nil {
		return
	}
	// A container that the kubelet lost sight of is reported with 137 and
	// ContainerStatusUnknown: nobody saw it end.
	p.Started, p.Exited = true, end.Reason != "ContainerStatusUnknown"
	p.Ended = p.Exited && c.State.Terminated != nil
	p.StartedAt, p.EndedAt, p.ExitCode, p.Image = end.StartedAt.Time, end.FinishedAt.Time, int(end.ExitCode), contract.Word(c.Image)
	switch end.Reason {
	case "Error", "Completed":
	default:
		p.because(end.Reason, "")
	}
	m, err := contract.ParseMessage(end.Message)
	if err != nil {
		if p.WhyMessage == "" {
			p.Broke = failureOf(c.Name, end)
		}
		p.explain(end.Message)
		return
	}
	m.Phases = believed(m.Phases, end.StartedAt.Time, end.FinishedAt.Time)
	p.Message = &m
}

// believed are the phases of a runner's message that can be true, the first of each
// name; the job may have written the message. Both clocks are the node's.
func believed(phases []contract.Phase, started, finished time.Time) (out []contract.Phase) {
	longest := finished.Sub(started) + 2*clockGrain
	for _, p := range phases {
		known := slices.ContainsFunc(out, func(o contract.Phase) bool { return o.Name == p.Name })
		early := p.Start.Before(started.Add(-clockGrain))
		late := p.Start.Add(Seconds(p.Seconds)).After(finished.Add(clockGrain))
		switch {
		case known, early, late, p.Seconds < 0, p.Seconds > longest.Seconds():
		default:
			out = append(out, p)
		}
	}
	return out
}

// clockGrain is how far a phase may lie outside of its container's time, because the
// kubelet's times are cut to the second.
const clockGrain = time.Second

// Seconds is a runner's number of seconds as a duration.
func Seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
