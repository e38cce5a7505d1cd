package decide

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// Facts is everything that a decision about a job rests on.
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
	// OverAt is when we first saw the pod over while its kjob existed, by our clock, or
	// when the API server answered again after that. It is zero if we didn't: the kjob
	// was deleted before, or is being deleted.
	OverAt time.Time
	// Unreported: after that Buildkite said that the job wasn't over, so the attempt's
	// runner hadn't reported its end.
	Unreported bool
	// Attempt is the number of the last attempt, 0 if there was none.
	Attempt int
	// Inherited: another process made it, as far as is known, or only its pod was found.
	Inherited bool
	KJob      KJob
	// Removed is why onejob deleted the kjob; empty if it did not, or has forgotten.
	Removed Reason
	// Story is the history of the earlier attempts, and Faults are those of their
	// nodes.
	Story  History
	Faults NodeFaults
	// Pod is the last attempt's pod; its zero value means that there is none.
	Pod Pod
	// OtherPodLives is a pod of another attempt that has a node, OtherNode, and
	// is not over; empty if there is none.
	OtherPodLives, OtherNode string
	// Orphan is a pod of a job without a kjob, whose deletion no present scheduler saw;
	// its zero value means that there is none.
	Orphan Pod
	// OrphanUnsure: a pod was left out because the cache may be out of date.
	OrphanUnsure bool
	// LetInAt is when a kjob that was kept out, see KeptOut, was first seen not to be;
	// zero if it never was.
	LetInAt time.Time
	// FailingSince is when the pod began to fail in the present way, by our clock;
	// reasons of one kind count as the same way. For a pod that is gone while its kjob
	// doesn't end, it is not before the API server's last answer after an outage.
	FailingSince time.Time
	// MendedAt is when the API server answered again after an outage, or when a process
	// that had just started found the kjob and could only guess its age; zero if
	// neither happened.
	MendedAt time.Time
	Heard
	Policy Policy
}

// Policy is a queue's share of a decision.
type Policy struct {
	MaxAttempts int
	// PendingTimeout is how long a pod may take to start after it was admitted.
	PendingTimeout time.Duration
	// SuspendedTimeout is how long a kjob, or its pod, may be kept out; 0 for as
	// long as it takes.
	SuspendedTimeout time.Duration
	ImageGrace       time.Duration
	// FinishLost: a job that an agent has and whose pod is over is finished at
	// Buildkite with a stack's error, although that says that it never ran.
	FinishLost bool
	// Grace is the pods' termination grace.
	Grace time.Duration
	// Hold is how long a runner may stay when its job is over.
	Hold time.Duration
	// Mounted: commands have onejob's programs of an image volume.
	Mounted bool
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
	// Holder is who suspends this kjob, as far as the kjob says it: a queue of Kueue,
	// or the controller that manages it.
	Holder    string
	PodSeen   bool   // it had a pod at some time
	Cancelled string // contract.AnnotationCancel
	// SuspendedAt is when it was last suspended, as the Job controller says, and
	// ResumedAt status.startTime: when it was last not suspended.
	CreatedAt, SuspendedAt, ResumedAt, FinishedAt time.Time
	// Deadline is how long it may take from then on; zero if there is none.
	Deadline time.Duration
}

// Live: it is there, and hasn't finished.
func (k KJob) Live() bool { return k.Exists && !k.Finished }

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
	// Ended: it is terminated now. Other containers may run on: Helper is one that has
	// not ended and that nobody stops.
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
	// ToCome: the runner waits for the command's container before it takes the job.
	ToCome bool
	// Unbegun: the command's container couldn't be started: most likely the agent's came up
	// late, and hadn't brought the programs.
	Unbegun bool
	// OutOfMemory is the command's container and its image, if it ran out of that.
	OutOfMemory string
	// Used are containers that have ended, with what they used. Apart: the job's commands
	// have containers of their own.
	Used  []Used
	Apart bool
	// Waiting is why a container hasn't started: ImagePullBackOff. OfCommand: a command's.
	Waiting, WaitingMessage, Image string
	OfCommand                      bool
	// Unschedulable is the scheduler's own message, empty if it has placed the pod.
	Unschedulable string
}

// Over reports whether the attempt is over: its agent container has ended and is never
// started again, or no container runs or will run. Containers that others put beside
// the agent, such as a cluster's policy, are not the job. The pod's phase waits for
// them, but no decision does.
func (p Pod) Over() bool {
	switch {
	case p.Ended, p.terminal():
		return true
	case p.Terminating, p.Deleted:
		return p.Node == ""
	}
	return false
}

// OverOrGone: nothing of it can take the job any more.
func (p Pod) OverOrGone() bool { return p.Over() || p.Deleted }

// terminal: all containers have ended, or the pod was given up.
func (p Pod) terminal() bool { return p.Phase == corev1.PodSucceeded || p.Phase == corev1.PodFailed }

// Lingers: the attempt is over, and another container of the pod runs on.
func (p Pod) Lingers() bool { return p.Ended && !p.terminal() }

// stops reports whether the kubelet stops the lingering containers: all of a deleted
// pod, and native sidecars of any pod.
func (p Pod) stops() bool { return p.Terminating || p.Helper == "" }

// Lost reports whether the attempt ended and no runner could say how: the pod is
// over without a message, or it was deleted before it had a node. When a Node
// object is gone, PodGC makes the phase terminal.
func (p Pod) Lost() bool { return p.Over() && p.Message == nil }

// unreported reports whether the pod ended with the job, and its runner could not
// say so to Buildkite.
func (p Pod) unreported() bool {
	if p.Message == nil {
		return false
	}
	return p.Over() && !contract.WithoutJob(p.Message.Code())
}

// diedWithTheJob reports whether the pod ended without a report, and its runner had
// the job, or may have had it.
func (p Pod) diedWithTheJob() bool {
	if p.Lost() {
		return p.mayRun()
	}
	return p.unreported()
}

// mayRun reports whether the pod's runner may have acquired the job. The pod's status
// shows that it runs some time after it does.
func (p Pod) mayRun() bool {
	if p.Node == "" {
		return false
	}
	return p.complete() || p.Waiting == ""
}

// complete: its runner could have taken the job, as all containers have started.
func (p Pod) complete() bool { return p.Started && !p.ToCome }

// Runs: and if it hasn't yet, it can. Of a pod that is complete, only the command's container
// has anything to wait for: it ended too early.
func (p Pod) Runs() bool { return p.complete() && p.Waiting == "" }

// Lives reports whether the pod may be running something.
func (p Pod) Lives() bool { return p.Phase != "" && !p.OverOrGone() }

// LivesOnANode: it may be running something, and has a node.
func (p Pod) LivesOnANode() bool { return p.Node != "" && p.Lives() }

// MayHaveHadTheJob reports whether a pod that is over may have acquired the job. A
// runner's exit code can say that it didn't; without one, only a pod that never had a
// node surely didn't.
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
