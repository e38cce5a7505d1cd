package decide

import (
	"fmt"
	"slices"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// How often the state of a job is asked for that was given to an agent and isn't
// started: Buildkite takes it back after half a minute. Later something else is wrong.
const (
	acceptedEvery = 3 * time.Second
	acceptedFor   = 2 * time.Minute
	acceptedLate  = time.Minute
)

// startError is the kubelet's reason for the end of a container that never ran.
const startError = "StartError"

// decideLost is for a pod that is over and whose runner left no word: only
// Buildkite can say whether it had the job.
func decideLost(f Facts) Decision {
	switch {
	case f.KJob.Succeeded && !f.Pod.Exited: // exit code 0 says that the end was reported
		if f.offeredSince() {
			return offeredAgain(f)
		}
		return Decision{Action: None, Reason: ReasonFinished}
	case !f.Fresh():
		return ask(ReasonLost)
	case f.State.Offered():
		return decideLostOffered(f)
	case f.Pod.leftInSilence():
		return Decision{Action: None, Reason: ReasonFinished}
	case f.State.Held():
		return decideLostHeld(f)
	case f.State.Over() && f.killedAfterItsReport():
		return stopped(f, ReasonLost)
	default:
		return Decision{Action: None, Reason: ReasonLost}
	}
}

// leftInSilence: exit code 0, and no message.
func (p Pod) leftInSilence() bool { return p.Exited && p.ExitCode == contract.ExitOK }

// killedAfterItsReport: the runner reported in time, and was killed before it could say
// so in its pod.
func (f Facts) killedAfterItsReport() bool {
	return f.Pod.Started && f.Pod.Why != "" && !f.Unreported
}

// decideLostOffered is for a pod that is lost while its job can be had.
func decideLostOffered(f Facts) Decision {
	why := Loss(f)
	switch {
	case f.Pod.leftInSilence():
		// No runner leaves so before it had the job.
		return finish(ReasonConfig, fmt.Sprintf("attempt %d ended with exit code 0 and no runner's message: the image's entrypoint, or the command in the queue's template, is not onejob-agent (image %s)", f.Attempt, f.Pod.Image))
	case f.atDeadline():
		return deadline(f, why)
	case f.startErrors() >= startTries:
		// The container never ran, in pod after pod: the command or the image.
		return Decision{Action: Finish, Reason: ReasonContainer, ExitStatus: -1,
			Text: fmt.Sprintf("the container can't be started, in %d pods one after the other: %s (image %s: check the command in the queue's template)", f.startErrors(), why, f.Pod.Image)}
	case f.Pod.Broke.Container != "":
		return decideBroke(f)
	default:
		return attempt(f, lostFor(f), 1, fmt.Sprintf("the pod of attempt %d %s%s", f.Attempt, LostBefore, why))
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
	case f.State.Unstarted():
		return unstarted(f, ReasonLost, fmt.Sprintf("the pod of attempt %d was lost before the job had begun in it; Buildkite takes the job back for another agent: %s", f.Attempt, Loss(f)))
	case f.Pod.Exited || f.Pod.NodeGone:
		// Its containers are over, so nothing of the job runs any more. Who
		// deletes a Node object says the same of all that was on it.
		status := f.Pod.ExitCode
		if status == 0 {
			status = -1
		}
		return endHeld(f, ReasonLostAfter, status, "the pod was lost while the job ran in it; it is not run again", Loss(f))
	default:
		return Decision{Action: None, Reason: ReasonLostAfter, Topic: topicUnseen,
			Text: fmt.Sprintf("the pod was lost while the job ran in it, and may still be running where it can't be seen: %s", Loss(f))}
	}
}

// endHeld is for a job that an agent has, whose runner is over. A stack's finish says
// of a job that it never ran (docs/protocol.md#stack-finish), so that it is left to
// Buildkite, which loses the agent, unless the queue says otherwise.
func endHeld(f Facts, r Reason, status int, text, why string) Decision {
	if f.Policy.FinishLost {
		return Decision{Action: Finish, Reason: r, ExitStatus: status, Text: text + ": " + why}
	}
	return Decision{Action: None, Reason: r, Text: text + " (Buildkite ends it with -1, within 4 minutes of its agent's last heartbeat): " + why}
}

// unstarted is for a job that was given to an agent, whose runner is over, and that
// isn't started. Nothing ran: Buildkite offers it again when nobody starts it in time,
// and its state tells.
func unstarted(f Facts, r Reason, text string) Decision {
	every := acceptedEvery
	if f.Now.After(f.EndedAt.Add(acceptedFor)) {
		every = acceptedLate
	}
	again := f.StateAt.Add(every)
	if !f.Now.Before(again) {
		return ask(r)
	}
	return Decision{Action: None, Reason: r, Text: text, Again: again}
}

// notOffered is for an attempt that ended without the job, which somebody has, or
// had: perhaps this very one, whose grant's reply was lost.
func notOffered(f Facts, r Reason) Decision {
	d := Decision{Action: None, Reason: r}
	m, taken := f.Pod.Message, f.State.Held() || f.State == stacks.StateFinished
	if m != nil && m.MaybeGranted && taken {
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
