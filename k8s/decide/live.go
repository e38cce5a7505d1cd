package decide

import (
	"fmt"

	"github.com/onejob-dev/onejob/stacks"
)

// decideLive is for a kjob whose pod is still to come, pending or running.
func decideLive(f Facts) Decision {
	switch {
	case f.State.Over():
		return decideOutlived(f)
	case f.takenElsewhere():
		return Decision{Action: Delete, Reason: ReasonTaken, Unplaced: true}
	case f.unknown():
		// Buildkite was asked and doesn't know the job: no pod will get it.
		return Decision{Action: Delete, Reason: ReasonUnknown}
	case f.State.Waiting() && !f.Pod.Started:
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
var suspendedAfterStart = Decision{Action: Delete, Reason: ReasonSuspended, Text: "the Kubernetes Job was suspended after its pod had started"}

// decideNotYet is for a pod whose job waits again, for a limit or a dependency. It is
// offered again when what it waits for is there. A runner that has a node finds it locked.
func decideNotYet(f Facts) Decision {
	if f.Pod.Node == "" {
		return Decision{Action: Delete, Reason: ReasonNotYet, Unplaced: true}
	}
	return Decision{Action: None, Reason: ReasonNotYet}
}

// takenElsewhere: an agent has the job, and it isn't the attempt's. A pod with a node
// may be the one that has it, its status still on the way: it is left to find out for
// itself.
func (f Facts) takenElsewhere() bool {
	return f.State.Held() && !f.Pod.Started && f.Pod.Node == ""
}

// unknown: Buildkite has said so, and no runner has the job.
func (f Facts) unknown() bool {
	return f.State == stacks.StateUnknown && f.believed() && !f.Pod.Started
}

// hadPod: there is a pod, or there was one.
func (f Facts) hadPod() bool { return f.Pod.Phase != "" || f.KJob.PodSeen }

// decideOutlived is for a pod that is there while its job is over.
func decideOutlived(f Facts) Decision {
	neverRan := !f.Pod.Started
	if soon := f.EndedAt.Add(startLag); neverRan && f.mayHaveRunAlready() && f.Now.Before(soon) {
		return Decision{Action: None, Again: soon}
	}
	if neverRan || f.overWithoutAnAgent() {
		return Decision{Action: Delete, Reason: ReasonOver}
	}
	// Normal for a moment: the runner reports, then takes its leave.
	if end := f.EndedAt.Add(f.Policy.Grace + outliveGrace); f.Now.Before(end) {
		return Decision{Action: None, Again: end}
	}
	return Decision{Action: Delete, Reason: ReasonOutlived, Text: "the job is over, but its pod went on and is being deleted"}
}

// mayHaveRunAlready: this very pod may have run the job, in less time than its status
// takes.
func (f Facts) mayHaveRunAlready() bool {
	return f.State == stacks.StateFinished && f.Pod.mayRun()
}

// overWithoutAnAgent: the job was over before any agent had it.
func (f Facts) overWithoutAnAgent() bool {
	return f.State != stacks.StateFinished && f.HeldAt.IsZero()
}

// decideHeld is for a pod with a node, or that has started, while an agent has the job:
// most likely its own.
func decideHeld(f Facts) Decision {
	switch {
	case f.Pod.Terminating:
		// The runner cancels the job, or lets it go on, and reports. Should its
		// node be cut off, this is all that can be said.
		return stopped(f, ReasonStopped)
	case !f.Pod.Started && f.Pod.Waiting != "":
		return decideTaken(f)
	default:
		return Decision{Action: None}
	}
}

// decideOffered is for a kjob whose job can be had.
func decideOffered(f Facts) Decision {
	switch {
	case f.Pod.Terminating:
		return decideStopping(f)
	case f.Pod.Runs():
		return decideIdle(f)
	case !f.Podless():
		return decidePending(f)
	}
	// An attempt has one pod. The Job controller, that has counted it, may
	// have lost sight of its kjob, which then stays as it is for ever.
	if end := f.FailingSince.Add(stuckGrace); f.Now.Before(end) {
		return Decision{Action: None, Again: end}
	}
	return Decision{Action: Delete, Reason: ReasonUnended, Unplaced: true, Text: fmt.Sprintf("the pod of attempt %d is gone, and its Kubernetes Job doesn't end", f.Attempt)}
}

// decideCancelled is for a kjob that is marked to go, whose job isn't over. The
// mark stays until Buildkite knows of it: a deletion that no watch saw takes it
// along.
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

// decideIdle is for a pod that runs while its job can be had: nothing but its log
// tells why, and its active deadline is hours away.
func decideIdle(f Facts) Decision {
	switch late := f.Pod.StartedAt.Add(f.Policy.PendingTimeout); {
	case f.Now.Before(late):
		return Decision{Action: None, Again: f.unlessNever(late)}
	case f.StateAt.Before(late):
		return ask(ReasonPending)
	default:
		return Decision{Action: None, Reason: ReasonPending, Topic: topicIdle, Waiting: true,
			Text: fmt.Sprintf("pod %s has been running for more than %s, and its runner has not taken the job: its log says why, if its command is onejob-agent's (image %s)", f.Pod.Name, f.Policy.PendingTimeout, f.Pod.Image)}
	}
}

// decideTaken is for a pod that has a node, where it waits for an image, while an
// agent has the job: another one, most likely. Should the node be cut off from
// the API server, the pod's status is of then, and its runner may be the one. It
// isn't if the kubelet has said since then that the pod still waits.
func decideTaken(f Facts) Decision {
	switch known := f.HeldAt.Add(startLag); {
	case f.StuckAt.After(f.HeldAt.Add(statusLag)):
		return Decision{Action: Delete, Reason: ReasonTaken}
	case f.Now.Before(known):
		return Decision{Action: None, Reason: ReasonTaken, Again: Earlier(known, f.Now.Add(TakenEvery))}
	default:
		return Decision{Action: None, Reason: ReasonTaken, Text: fmt.Sprintf("an agent has the job, and it seems to be another than that of pod %s, which has not started on node %s (image %s): "+
			"the pod's Kubernetes Job is left until its node says that it still waits, or the job is over", f.Pod.Name, f.Pod.Node, f.Pod.Image)}
	}
}

// decideStopping is for a pod that was told to stop before it had the job. On a
// node that is dead it stays until somebody says so of the node; it may be
// running yet, and there is never a second one beside it. No build fails for
// that, whatever the pending timeout: the job can be had.
func decideStopping(f Facts) Decision {
	switch late := f.Pod.GoneBy.Add(statusLag); {
	case f.Now.Before(late):
		return Decision{Action: None, Again: late}
	case !f.atDeadline():
		return waiting(ReasonStopped, fmt.Sprintf("waiting for the pod to go, which was told to stop before it had the job: %s (%s)", StopReason(f), deadNode(f.Pod.Node)))
	case !f.believed():
		return ask(ReasonDeadline)
	default:
		return deadline(f, StopReason(f))
	}
}
