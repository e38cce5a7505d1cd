package decide

import (
	"fmt"

	"github.com/onejob-dev/onejob/stacks"
)

// decideLive is for a kjob without a pod yet, or with one that is pending or running.
func decideLive(f Facts) Decision {
	switch {
	case f.State.Over():
		return decideOutlived(f)
	case f.takenElsewhere():
		return Decision{Action: Delete, Reason: ReasonTaken, Unplaced: true}
	case f.unknown():
		// Buildkite was asked and doesn't know the job: no pod will get it.
		return Decision{Action: Delete, Reason: ReasonUnknown}
	case f.State.Waiting() && !f.Pod.complete():
		return decideNotYet(f)
	case f.KJob.Suspended && f.hadPod():
		return suspendedAfterStart
	case f.KJob.Cancelled != "":
		return decideCancelled(f)
	case f.State.Held():
		return decideHeld(f)
	case f.State.Offered():
		return decideOffered(f)
	case f.Pod.Runs():
		return Decision{Action: None}
	default:
		return decidePending(f)
	}
}

// suspendedAfterStart: on resume the Job controller would make a second pod.
var suspendedAfterStart = Decision{Action: Delete, Reason: ReasonSuspended, Text: "the Kubernetes Job was suspended after its pod was created; onejob deletes it, because resuming it would start a second pod"}

// decideNotYet is for a pod whose job waits again, for a limit or a dependency.
// Buildkite offers the job again later. A runner with a node finds the job locked.
func decideNotYet(f Facts) Decision {
	if f.Pod.Node == "" {
		return Decision{Action: Delete, Reason: ReasonNotYet, Unplaced: true}
	}
	return Decision{Action: None, Reason: ReasonNotYet}
}

// takenElsewhere: an agent has the job, and it isn't the attempt's. A pod with a node
// may have the job although its status doesn't show it yet, so it is left alone.
func (f Facts) takenElsewhere() bool {
	return f.State.Held() && !f.Pod.Started && f.Pod.Node == ""
}

// unknown: Buildkite has said so, and no runner has the job.
func (f Facts) unknown() bool {
	return f.State == stacks.StateUnknown && f.believed() && !f.Pod.complete()
}

// hadPod: there is a pod, or there was one.
func (f Facts) hadPod() bool { return f.Pod.Phase != "" || f.KJob.PodSeen }

// decideOutlived is for a pod that is there while its job is over.
func decideOutlived(f Facts) Decision {
	neverRan := !f.Pod.complete()
	if soon := f.EndedAt.Add(startLag); neverRan && f.mayHaveRunAlready() && f.Now.Before(soon) {
		return Decision{Action: None, Again: soon}
	}
	if neverRan || f.overWithoutAnAgent() {
		return Decision{Action: Delete, Reason: ReasonOver}
	}
	// This is normal for a moment: the runner reports the end and then leaves.
	if end := f.EndedAt.Add(f.Policy.Grace + f.Policy.Hold + outliveGrace); f.Now.Before(end) {
		return Decision{Action: None, Again: end}
	}
	return Decision{Action: Delete, Reason: ReasonOutlived, Text: "the job is over but its pod still ran; onejob deletes the pod"}
}

// mayHaveRunAlready: this pod may have run the job in less time than its status takes
// to show that it started.
func (f Facts) mayHaveRunAlready() bool {
	return f.State == stacks.StateFinished && f.Pod.mayRun()
}

// overWithoutAnAgent: the job was over before any agent had it.
func (f Facts) overWithoutAnAgent() bool {
	return f.State != stacks.StateFinished && f.HeldAt.IsZero()
}

// decideHeld is for a pod that has a node or has started, while an agent has the job:
// most likely the pod's own.
func decideHeld(f Facts) Decision {
	switch {
	case f.Pod.Terminating:
		// The runner cancels the job, or lets it run on, and reports. If its node is
		// cut off, nothing more can be said.
		return stopped(f, ReasonStopped)
	case !f.Pod.Started && f.Pod.Waiting != "":
		return decideTaken(f)
	default:
		return Decision{Action: None}
	}
}

// decideOffered is for a kjob whose job Buildkite offers.
func decideOffered(f Facts) Decision {
	switch {
	case f.Pod.Terminating:
		return decideStopping(f)
	case f.Pod.Runs():
		return decideIdle(f)
	case f.Pod.Unbegun && f.startErrors() < startTries:
		return decideUnbegun(f)
	case !f.Podless():
		return decidePending(f)
	}
	// An attempt has one pod. The Job controller has counted it, and may have lost
	// sight of the kjob, which then stays as it is for ever.
	if end := f.FailingSince.Add(stuckGrace); f.Now.Before(end) {
		return Decision{Action: None, Again: end}
	}
	return Decision{Action: Delete, Reason: ReasonUnended, Unplaced: true, Text: fmt.Sprintf("the pod of attempt %d is gone but its Kubernetes Job does not end; onejob deletes it", f.Attempt)}
}

// decideCancelled is for a kjob that is marked as cancelled and whose job isn't over.
// The mark must stay until Buildkite knows of it, because a deletion that no watch saw
// would take the mark along.
func decideCancelled(f Facts) Decision {
	switch {
	case f.State.Held():
		// The runner is stopped, cancels the job and reports.
		return Decision{Action: Delete, Reason: ReasonCancelled, Text: cancelledBy(f)}
	case !f.believed():
		return ask(ReasonCancelled)
	case f.State.Offered():
		return finish(ReasonCancelled, cancelledBy(f))
	default: // Buildkite doesn't know it
		return Decision{Action: Delete, Reason: ReasonCancelled}
	}
}

func cancelledBy(f Facts) string { return "cancelled in Kubernetes by " + f.KJob.Cancelled }

// decideIdle is for a pod that runs while Buildkite still offers its job. Only its log
// tells why, and its active deadline is hours away.
func decideIdle(f Facts) Decision {
	switch late := f.Pod.StartedAt.Add(f.Policy.PendingTimeout); {
	case f.Now.Before(late):
		return Decision{Action: None, Again: f.unlessNever(late)}
	case f.StateAt.Before(late):
		return ask(ReasonPending)
	default:
		return Decision{Action: None, Reason: ReasonPending, Topic: topicIdle, Waiting: true,
			Text: fmt.Sprintf("pod %s has been running for more than %s but has not acquired the job. Check its log; if there is nothing from onejob-agent, the template runs another command (image %s)", f.Pod.Name, f.Policy.PendingTimeout, f.Pod.Image)}
	}
}

// decideTaken is for a pod that waits on its node, for an image perhaps, while an agent
// has the job: most likely another agent. But if the node is cut off from the API
// server, the pod's status is old, and its runner may have the job. It doesn't if the
// kubelet has reported since then that the pod still waits.
func decideTaken(f Facts) Decision {
	switch known := f.HeldAt.Add(startLag); {
	case f.StuckAt.After(f.HeldAt.Add(statusLag)):
		return Decision{Action: Delete, Reason: ReasonTaken}
	case f.Now.Before(known):
		return Decision{Action: None, Reason: ReasonTaken, Again: Earlier(known, f.Now.Add(TakenEvery))}
	default:
		return Decision{Action: None, Reason: ReasonTaken, Text: fmt.Sprintf("another agent seems to have the job; pod %s waits on node %s. onejob keeps the pod until its node reports again (image %s)", f.Pod.Name, f.Pod.Node, f.Pod.Image)}
	}
}

// decideStopping is for a pod that was told to stop before it acquired the job. On a
// dead node it stays until somebody deletes the node. It may still run, and there is
// never a second pod beside it. The job doesn't fail because of that, whatever the
// pending timeout, because Buildkite still offers it.
func decideStopping(f Facts) Decision {
	switch late := f.Pod.GoneBy.Add(statusLag); {
	case f.Now.Before(late):
		return Decision{Action: None, Again: late}
	case !f.atDeadline():
		return waiting(ReasonStopped, fmt.Sprintf("waiting for the pod to end: it was told to stop before it acquired the job; %s. Reason: %s", deadNode(f.Pod.Node), StopReason(f)))
	case !f.believed():
		return ask(ReasonDeadline)
	default:
		return deadline(f, StopReason(f))
	}
}
