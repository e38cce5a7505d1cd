package decide

import (
	"fmt"

	"github.com/onejob-dev/onejob/contract"
)

// decideDeleted is for a kjob that was deleted before its end.
func decideDeleted(f Facts) Decision {
	if f.endedByItself() {
		return decideEnded(f)
	}
	r, text := deletedWhy(f)
	heldSince := f.Fresh() && f.State.Held()
	if heldSince && f.Pod.diedWithTheJob() {
		return heldYet(f, r, text)
	}
	d := offered(f, r, func() Decision {
		switch f.Removed {
		case ReasonSuspended:
			return attempt(f, ReasonLost, 1, fmt.Sprintf("the pod of attempt %d %sits Kubernetes Job was suspended", f.Attempt, LostBefore)) // see suspendedAway
		case ReasonNotYet:
			return attempt(f, ReasonNotYet, f.Attempt, "Buildkite had held the job back and now offers it again")
		case ReasonContainer:
			return attempt(f, ReasonContainer, 1, fmt.Sprintf("the pod of attempt %d could not %s", f.Attempt, f.notStarted()))
		case ReasonUnended:
			return attempt(f, lostFor(f), 1, fmt.Sprintf("the pod of attempt %d %s%s", f.Attempt, LostBefore, Loss(f)))
		}
		return attempt(f, r, 0, fmt.Sprintf("the Kubernetes Job of attempt %d was deleted before it acquired the job", f.Attempt))
	})
	if d.Action == None && f.stoppedTheJob() {
		d.Topic, d.Text = "", text
	}
	return d
}

// notStarted is what a pod that was deleted for that could not do, as far as it still says
// why.
func (f Facts) notStarted() string {
	switch p := f.Pod; {
	case p.OfCommand:
		return "run the command: " + p.WaitingMessage
	case p.Waiting != "":
		return fmt.Sprintf("start on node %s: %s: %s", p.Node, p.Waiting, p.WaitingMessage)
	default:
		return fmt.Sprintf("start on node %s", p.Node)
	}
}

// endedByItself: the deletion of its kjob didn't end the attempt. It was over before,
// or its runner wasn't told to stop; or it had the job, and Buildkite offers the job
// again.
func (f Facts) endedByItself() bool {
	m := f.Pod.Message
	switch {
	case f.Removed == ReasonHelper:
		return true
	case m == nil:
		return false
	case m.Received == "", !f.OverAt.IsZero():
		return true
	}
	return f.State.Offered() && hadTheJob(m)
}

// hadTheJob: the runner ran it, or should have.
func hadTheJob(m *contract.Message) bool {
	return m.Code() == contract.ExitOK || !contract.WithoutJob(m.Code())
}

// stoppedTheJob: the job runs, or was stopped because of the deletion. A job that was
// over before needs no text.
func (f Facts) stoppedTheJob() bool {
	m := f.Pod.Message
	switch {
	case f.Removed == ReasonOver:
		return false
	case f.State.Held() && f.Pod.mayRun():
		return true
	}
	return m != nil && m.Code() == contract.ExitOK
}

// decideTerminating is for a kjob that is being deleted and still exists: in a
// foreground deletion it waits for its pod, whose node may be dead; otherwise for the
// owner of its finalizer. Until it is gone there is no other attempt.
func decideTerminating(f Facts) Decision {
	r, text := deletedWhy(f)
	late := f.KJob.DeletedAt.Add(f.Policy.Grace + outliveGrace)
	switch {
	case f.State.Held() && f.Pod.mayRun():
		return heldYet(f, r, text)
	case f.Now.Before(late):
		return Decision{Action: None, Again: late}
	case !f.State.Offered():
		return Decision{Action: None}
	}
	what := "its finalizers are " + f.KJob.Finalizers
	if f.Pod.LivesOnANode() {
		what = fmt.Sprintf("pod %s is still there; %s", f.Pod.Name, deadNode(f.Pod.Node))
	}
	return waiting(r, fmt.Sprintf("waiting for the deleted Kubernetes Job of attempt %d to go: %s", f.Attempt, what))
}

// decideOrphan is for a pod whose kjob was deleted while none of the present schedulers
// was there to see it. Buildkite may end its job because the agent is silent, and that
// says nothing about Kubernetes.
func decideOrphan(f Facts) Decision {
	p := f.Orphan
	reported := p.Message != nil && !p.unreported()
	switch {
	case f.State.Over(), !p.Started, reported, p.staysOn():
		return Decision{Action: None}
	}
	f.Pod = p
	r, text := deletedWhy(f)
	return heldYet(f, r, text)
}

// staysOn: nothing stops the pod.
func (p Pod) staysOn() bool { return !p.Terminating && !p.OverOrGone() }

// deletedWhy is the text for a job whose kjob is deleted while it runs: its runner
// reports that it was stopped, but not why.
func deletedWhy(f Facts) (Reason, string) {
	if f.KJob.Cancelled != "" {
		return ReasonCancelled, cancelledBy(f)
	}
	return ReasonDeleted, "the Kubernetes Job was deleted while the job ran in its pod"
}

// heldYet reports text if an agent has the job now, and finishes the job if that agent
// was the pod's runner and died before it could report.
func heldYet(f Facts, r Reason, text string) Decision {
	switch {
	case !f.believed():
		return ask(r)
	case !f.State.Held():
		return Decision{Action: None}
	case f.Pod.unreported():
		d := decideEnded(f)
		if d.Text != "" {
			d.Text = text + "; " + d.Text
		}
		return d
	case f.Pod.Lost():
		switch d := decideLostHeld(f); {
		case d.Action == Ask, f.State.Unstarted():
			return d
		case d.Reason == ReasonLostAfter && d.Topic != topicUnseen:
			d.Text = text + "; " + d.Text
			return d
		case d.Reason == ReasonLost: // its runner wasn't the one
			return Decision{Action: None}
		}
	}
	return Decision{Action: None, Reason: r, Text: text}
}
