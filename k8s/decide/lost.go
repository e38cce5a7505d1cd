package decide

import (
	"fmt"
	"slices"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// startError is the kubelet's reason for the end of a container that never ran.
const startError = "StartError"

// decideLost is for a pod that is over and whose runner left no word: only
// Buildkite can say whether it had the job.
func decideLost(f Facts) Decision {
	why, silent := Loss(f), f.Pod.Exited && f.Pod.ExitCode == contract.ExitOK
	switch {
	case f.KJob.Succeeded && !f.Pod.Exited && f.Fresh() && f.State.Offered():
		return offeredAgain(f) // exit code 0 says that the end was reported
	case f.KJob.Succeeded && !f.Pod.Exited:
		return Decision{Action: None, Reason: ReasonFinished}
	case !f.Fresh():
		return ask(ReasonLost)
	case silent && f.State.Offered():
		// No runner leaves so before it had the job.
		return finish(ReasonConfig, fmt.Sprintf("attempt %d ended with exit code 0 and no runner's message: the image's entrypoint, or the command in the queue's template, is not onejob-agent (image %s)", f.Attempt, f.Pod.Image))
	case silent:
		return Decision{Action: None, Reason: ReasonFinished}
	case f.State.Offered() && f.atDeadline():
		return deadline(f, why)
	case f.State.Offered() && f.startErrors() >= startTries:
		// The container never ran, in pod after pod: the command or the image.
		return Decision{Action: Finish, Reason: ReasonContainer, ExitStatus: -1,
			Text: fmt.Sprintf("the container can't be started, in %d pods one after the other: %s (image %s: check the command in the queue's template)", f.startErrors(), why, f.Pod.Image)}
	case f.State.Offered() && f.Pod.Broke.Container != "":
		return decideBroke(f)
	case f.State.Offered():
		return attempt(f, lostFor(f), 1, fmt.Sprintf("the pod of attempt %d %s%s", f.Attempt, LostBefore, why))
	case f.State.Held():
		return decideLostHeld(f)
	case f.State.Over() && f.Pod.Started && f.Pod.Why != "" && !f.Unreported:
		// Its runner reported in time, and was killed before it could say so here.
		return stopped(f, ReasonLost)
	default:
		return Decision{Action: None, Reason: ReasonLost}
	}
}

// decideLostHeld is for a pod that is lost while an agent has the job, which was
// its runner unless that says otherwise: no other agent's job is finished.
func decideLostHeld(f Facts) Decision {
	switch {
	case f.Pod.Phase != "" && !f.Pod.mayRun():
		return Decision{Action: None, Reason: ReasonLost}
	case f.Pod.Exited && contract.WithoutJob(f.Pod.ExitCode):
		return Decision{Action: None, Reason: ReasonLost,
			Text: fmt.Sprintf("attempt %d left no message, and exit code %d says that its runner doesn't have the job: another agent has it, or Buildkite ends it when its agent is silent", f.Attempt, f.Pod.ExitCode)}
	case f.Pod.Exited || f.Pod.NodeGone:
		// Its containers are over, so nothing of the job runs any more. Who
		// deletes a Node object says the same of all that was on it.
		status := f.Pod.ExitCode
		if status == 0 {
			status = -1
		}
		return Decision{Action: Finish, Reason: ReasonLostAfter, ExitStatus: status,
			Text: fmt.Sprintf("the pod was lost while the job ran in it; it is not run again: %s", Loss(f))}
	default:
		return Decision{Action: None, Reason: ReasonLostAfter, Topic: topicUnseen,
			Text: fmt.Sprintf("the pod was lost while the job ran in it, and may still be running where it can't be seen: %s", Loss(f))}
	}
}

// notOffered is for an attempt that ended without the job, which somebody has, or
// had: perhaps this very one, whose grant's reply was lost.
func notOffered(f Facts, r Reason) Decision {
	d := Decision{Action: None, Reason: r}
	if m := f.Pod.Message; m != nil && m.MaybeGranted && (f.State.Held() || f.State == stacks.StateFinished) {
		d.Topic, d.Text = TopicMaybeGranted, said(f, "may have had the job without knowing; it is not run again")
	}
	return d
}

// lostFor is the reason of a new attempt after one whose pod was lost.
func lostFor(f Facts) Reason {
	if f.Pod.Why == startError {
		return ReasonContainer
	}
	return ReasonLost
}

// startErrors counts the attempts, this one and those just before it, whose
// container couldn't be started. Lines without codes, of the release before, aren't:
// that costs a pod or two after an upgrade.
func (f Facts) startErrors() (n int) {
	if f.Pod.Why == startError {
		n = 1
		for _, p := range slices.Backward(f.Story) {
			if p.Reason != ReasonContainer {
				break
			}
			n++
		}
	}
	return n
}
