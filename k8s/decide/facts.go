package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// Facts is everything that a decision about a job rests on. Decide asks
// nobody and keeps nothing.
type Facts struct {
	// Now and all other times are by our clock, if nothing else is said.
	Now   time.Time
	State stacks.State
	// StateAt is when State was asked for, and ToldAt when the answer came, both
	// by our clock; zero if it never was.
	StateAt, ToldAt time.Time
	// HeldAt is when it was learned that an agent has the job; zero if that was
	// never seen.
	HeldAt time.Time
	// EndedAt is when we first saw what ended the attempt, by our clock: API
	// server, kubelet and Buildkite have clocks of their own. A State older
	// than it says nothing about the time after.
	EndedAt time.Time
	// OverAt is when we first saw the pod over beside its kjob, by our clock, or
	// when the API server answered again after that; zero if it was not: if the
	// kjob was deleted, or about to be, before it.
	OverAt time.Time
	// Unreported: Buildkite was asked after that and the job wasn't over, so the
	// attempt's runner hadn't reported its end.
	Unreported bool
	// Attempt is the number of the last attempt, 0 if there was none.
	Attempt int
	KJob    KJob
	// Removed is why onejob deleted the kjob; empty if it did not, or has forgotten.
	Removed Reason
	// Story is what became of the attempts before it, and Faults those of their
	// nodes.
	Story  History
	Faults NodeFaults
	// Pod is the last attempt's pod; its zero value means that there is none.
	Pod Pod
	// OtherPodLives is a pod of another attempt that has a node, OtherNode, and
	// is not over; empty if there is none.
	OtherPodLives, OtherNode string
	// Orphan is a pod of a job of which there is no kjob, and of whose deletion
	// nobody who is left was told; its zero value means that there is none.
	Orphan Pod
	// OrphanUnsure: it was left out, as what is seen may be old.
	OrphanUnsure bool
	// LetInAt is when a kjob that was kept out, see KeptOut, was first seen not to be;
	// zero if it never was.
	LetInAt time.Time
	// FailingSince is when the pod began to fail as it does, by our clock;
	// reasons of one kind take turns. Of a pod that is gone while its kjob doesn't
	// end it is no earlier than the API server's last answer after an outage.
	FailingSince time.Time
	// MendedAt is when the API server answered again after an outage, or when a
	// process that had just started found the kjob, whose age it can but guess;
	// zero if there was neither.
	MendedAt time.Time
	Heard
	Policy Policy
}

// Policy is a queue's share of a decision.
type Policy struct {
	MaxAttempts int
	// PendingTimeout is how long a pod may take to start, from when it was let in.
	PendingTimeout time.Duration
	// SuspendedTimeout is how long a kjob, or its pod, may be kept out; 0 for as
	// long as it takes.
	SuspendedTimeout time.Duration
	ImageGrace       time.Duration
	// Grace is the pods' termination grace.
	Grace time.Duration
}

// NoLimit is a pending timeout that is longer than anything waits.
const NoLimit = 100 * 365 * 24 * time.Hour

// KJob is a kjob as decisions see it.
type KJob struct {
	UID         types.UID
	Exists      bool
	Gone        bool // it was there, unfinished, and has been deleted
	Terminating bool
	// DeletedAt is when its deletion was asked for, and Finalizers what keeps it
	// since.
	DeletedAt   time.Time
	Finalizers  string
	Finished    bool // Complete or Failed
	Succeeded   bool
	FailReason  string
	FailMessage string
	Suspended   bool
	// Holder is who suspends kjobs like this one, as far as it says itself: Kueue
	// by its queue, or the controller that manages it.
	Holder    string
	PodSeen   bool   // it had a pod at some time
	Cancelled string // contract.AnnotationCancel
	// SuspendedAt is when it was last suspended, as the Job controller says, and
	// ResumedAt status.startTime: when it was last not suspended.
	CreatedAt, SuspendedAt, ResumedAt, FinishedAt time.Time
	// Deadline is how long it may take from then on; zero if there is none.
	Deadline time.Duration
}

// Pod is a pod as decisions see it.
type Pod struct {
	Name        string
	Phase       corev1.PodPhase // empty: no pod
	Node        string
	Terminating bool
	CreatedAt   time.Time
	// GoneBy is when a terminating pod's grace is over.
	GoneBy time.Time
	// Deleted: the pod is gone from the API server; the rest is its last state.
	Deleted bool
	// Started: the agent container has run, since StartedAt.
	Started   bool
	StartedAt time.Time
	// Exited: the agent container is reported terminated.
	Exited   bool
	ExitCode int
	// EndedAt is when that was, by the node's clock.
	EndedAt time.Time
	// Ended: it is so now. Others may run on beside it: Helper is one that has
	// not ended, and that nobody stops.
	Ended  bool
	Helper string
	// NodeGone: its Node object is gone, or an administrator has declared the
	// node shut down.
	NodeGone bool
	// Why is the kubelet's reason for the container's end, the pod's, or the
	// disruption's: OOMKilled, Evicted, TerminationByKubelet.
	Why, WhyMessage string
	// Broke is the container that failed by itself so that no runner ran; its name is
	// empty if none did.
	Broke Failure
	// Message is what the runner left, nil if nothing was.
	Message *contract.Message
	// Waiting is why a container hasn't started: ImagePullBackOff.
	Waiting, WaitingMessage, Image string
	// Unschedulable is the scheduler's own message, empty if it has placed the pod.
	Unschedulable string
}

// Over reports whether the pod's attempt is: its agent container has ended and
// is never started again, or no container runs or will run. What others put
// beside the agent, as a policy of the cluster does, is not the job: the pod's
// phase waits for that, and no decision does.
func (p Pod) Over() bool {
	return p.Ended || p.terminal() || p.Terminating && p.Node == "" || p.Deleted && p.Node == ""
}

// terminal: all containers have ended, or the pod was given up.
func (p Pod) terminal() bool { return p.Phase == corev1.PodSucceeded || p.Phase == corev1.PodFailed }

// Lingers: the attempt is over, and something else of the pod runs on.
func (p Pod) Lingers() bool { return p.Ended && !p.terminal() }

// stops reports whether the kubelet stops what lingers: of a pod that is deleted
// all, and native sidecars of any pod.
func (p Pod) stops() bool { return p.Terminating || p.Helper == "" }

// Lost reports whether the attempt ended and no runner could say how: the pod is
// over without a message, or it was deleted before it had a node. When a Node
// object is gone, PodGC makes the phase terminal.
func (p Pod) Lost() bool { return p.Over() && p.Message == nil }

// unreported reports whether the pod ended with the job, and its runner could not
// say so to Buildkite.
func (p Pod) unreported() bool {
	return p.Over() && p.Message != nil && !contract.WithoutJob(p.Message.Code())
}

// mayRun reports whether the pod's runner may have got so far as to have the job:
// its status says that it runs some time after it does.
func (p Pod) mayRun() bool { return p.Node != "" && (p.Started || p.Waiting == "") }

// Lives reports whether the pod may be running something.
func (p Pod) Lives() bool { return p.Phase != "" && !p.Over() && !p.Deleted }

// OfJob are by the clocks of Kubernetes, which sights turn into ours.
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
	f.PodSeen = s.Active+s.Failed+s.Succeeded > 0
	if u := s.UncountedTerminatedPods; u != nil {
		f.PodSeen = f.PodSeen || len(u.Failed)+len(u.Succeeded) > 0
	}
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

// OfPod are by those, too.
func OfPod(p *corev1.Pod) Pod {
	if p == nil {
		return Pod{}
	}
	f := Pod{Name: p.Name, Phase: p.Status.Phase, Node: p.Spec.NodeName, Terminating: p.DeletionTimestamp != nil, CreatedAt: p.CreationTimestamp.Time, Why: contract.Word(p.Status.Reason), WhyMessage: contract.Sentence(p.Status.Message)}
	if f.Phase == "" {
		f.Phase = corev1.PodPending
	}
	if f.Terminating {
		f.GoneBy = p.DeletionTimestamp.Time
	}
	for _, c := range p.Status.Conditions {
		switch {
		case c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse:
			f.Unschedulable = contract.Sentence(c.Message)
			if f.Unschedulable == "" {
				f.Unschedulable = contract.Word(c.Reason)
			}
		case c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && f.Why == "":
			f.Why, f.WhyMessage = contract.Word(c.Reason), contract.Sentence(c.Message)
		}
	}
	// PodGC makes the phase terminal itself only for nodes that are no more;
	// that of a pod without a node it leaves alone.
	f.NodeGone = f.Why == "DeletionByPodGC" && f.Phase == corev1.PodFailed
	for _, c := range p.Status.ContainerStatuses {
		if c.Name != contract.AgentContainer && c.State.Terminated == nil {
			f.Helper = contract.Word(c.Name)
		}
	}
	for i, c := range append(append([]corev1.ContainerStatus(nil), p.Status.InitContainerStatuses...), p.Status.ContainerStatuses...) {
		// The agent container doesn't wait for those beside it.
		waitsFor := i < len(p.Status.InitContainerStatuses) || c.Name == contract.AgentContainer
		if w := c.State.Waiting; w != nil && waitsFor && f.Waiting == "" && w.Reason != "" && w.Reason != "PodInitializing" && w.Reason != "ContainerCreating" {
			f.Waiting, f.WaitingMessage, f.Image = contract.Word(w.Reason), contract.Sentence(w.Message), contract.Word(c.Image)
		}
		if c.Name != contract.AgentContainer {
			if end := c.State.Terminated; end != nil && i < len(p.Status.InitContainerStatuses) && f.Broke.Container == "" {
				f.Broke = failureOf(c.Name, end)
			}
			if end := c.State.Terminated; end != nil && end.ExitCode != 0 && f.WhyMessage == "" {
				f.WhyMessage = contract.Sentence(fmt.Sprintf("container %s ended with exit code %d: %s %s", c.Name, end.ExitCode, end.Reason, lastLines(end.Message)))
			}
			continue
		}
		if r := c.State.Running; r != nil {
			f.Started, f.StartedAt, f.Image = true, r.StartedAt.Time, contract.Word(c.Image)
		}
		end := c.State.Terminated
		if end == nil {
			end = c.LastTerminationState.Terminated
		}
		if end == nil {
			continue
		}
		// A container that the kubelet lost sight of is reported with 137 and
		// ContainerStatusUnknown: nobody saw it end.
		f.Started, f.Exited = true, end.Reason != "ContainerStatusUnknown"
		f.Ended = f.Exited && c.State.Terminated != nil
		f.StartedAt, f.EndedAt, f.ExitCode, f.Image = end.StartedAt.Time, end.FinishedAt.Time, int(end.ExitCode), contract.Word(c.Image)
		if f.Why == "" && end.Reason != "Error" && end.Reason != "Completed" {
			f.Why, f.WhyMessage = contract.Word(end.Reason), ""
		}
		if m, err := contract.ParseMessage(end.Message); err == nil {
			m.Phases = believed(m.Phases, end.StartedAt.Time, end.FinishedAt.Time)
			f.Message = &m
		} else if f.WhyMessage == "" {
			f.WhyMessage = contract.Sentence(end.Message)
			f.Broke = failureOf(c.Name, end)
		}
	}
	if f.Started && f.Broke.Container != contract.AgentContainer || f.Phase != corev1.PodFailed || f.Terminating || f.Why != "" {
		f.Broke = Failure{} // a sidecar's end, or what somebody did to the pod
	}
	return f
}

// believed are the phases of a runner's message that can be true, the first of each
// name: a job may have written it. Both clocks are the node's.
func believed(phases []contract.Phase, started, finished time.Time) (out []contract.Phase) {
	longest := finished.Sub(started) + 2*clockGrain
	for _, p := range phases {
		known := slices.ContainsFunc(out, func(o contract.Phase) bool { return o.Name == p.Name })
		if known || p.Seconds < 0 || p.Seconds > longest.Seconds() {
			continue
		}
		early := p.Start.Before(started.Add(-clockGrain))
		late := p.Start.Add(Seconds(p.Seconds)).After(finished.Add(clockGrain))
		if !early && !late {
			out = append(out, p)
		}
	}
	return out
}

// MayHaveHadTheJob is for a pod that is over. A runner's exit code says that it
// had not; without one, only a pod that never got to a node had not.
func (p Pod) MayHaveHadTheJob() bool {
	if p.Message == nil {
		return p.Over() && p.Node != ""
	}
	switch p.Message.Code() {
	case contract.ExitLocked, contract.ExitExhausted, contract.ExitRefused, contract.ExitTerminated, contract.ExitInterrupted, contract.ExitQuit:
		return false
	}
	return true
}

// clockGrain is how much a phase may seem to lie outside of its container's time:
// the kubelet's times are cut to the second.
const clockGrain = time.Second

// Seconds is a runner's number of seconds as a duration.
func Seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
