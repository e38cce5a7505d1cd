package decide

import (
	"fmt"
	"slices"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// How often the state is read of a job that an agent was given and hasn't started.
// Buildkite takes it back after half a minute; later something else is wrong.
const (
	acceptedEvery = 3 * time.Second
	acceptedFor   = 2 * time.Minute
	acceptedLate  = time.Minute
)

// startError is the kubelet's reason for the end of a container that never ran.
const startError = "StartError"

// decideLost is for a pod that is over and whose runner left no message: only Buildkite
// can say whether it had the job.
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

// decideLostOffered is for a pod that is lost while Buildkite offers its job.
func decideLostOffered(f Facts) Decision {
	why := Loss(f)
	switch {
	case f.Pod.leftInSilence():
		// No runner exits like this before it acquired the job.
		return finish(ReasonConfig, fmt.Sprintf("attempt %d ended with exit code 0 and no termination message, so it did not run onejob-agent. Check the image's entrypoint and the command in the queue's template (image %s)", f.Attempt, f.Pod.Image))
	case f.atDeadline():
		return deadline(f, why)
	case f.startErrors() >= startTries:
		// The container never ran, in pod after pod: the command or the image.
		return Decision{Action: Finish, Reason: ReasonContainer, ExitStatus: -1,
			Text: fmt.Sprintf("the container could not be started in %d pods in a row: %s%s (image %s: check the command in the queue's template)", f.startErrors(), f.mountedPrograms(), why, f.Pod.Image)}
	case f.Pod.Broke.Container != "":
		return decideBroke(f)
	default:
		return attempt(f, lostFor(f), 1, fmt.Sprintf("the pod of attempt %d %s%s", f.Attempt, LostBefore, why))
	}
}

// decideLostHeld is for a pod that is lost while an agent has the job. That agent was
// the pod's runner, unless the pod shows that it wasn't: another agent's job is never
// finished.
func decideLostHeld(f Facts) Decision {
	switch {
	case f.Pod.Phase != "" && !f.Pod.mayRun():
		return Decision{Action: None, Reason: ReasonLost}
	case f.Pod.Exited && contract.WithoutJob(f.Pod.ExitCode):
		return Decision{Action: None, Reason: ReasonLost,
			Text: fmt.Sprintf("attempt %d left no message, and its exit code %d means that it did not acquire the job: another agent has the job, or Buildkite ends it when its agent stays silent", f.Attempt, f.Pod.ExitCode)}
	case f.State.Unstarted():
		return unstarted(f, ReasonLost, fmt.Sprintf("the pod of attempt %d was lost before the job began; Buildkite takes the job back and offers it again: %s", f.Attempt, Loss(f)))
	case f.Pod.Exited || f.Pod.NodeGone:
		// Its containers are over, so nothing of the job runs any more. A person who
		// deletes a Node object says the same about everything on that node.
		status := f.Pod.ExitCode
		if status == 0 {
			status = -1
		}
		return endHeld(f, ReasonLostAfter, status, "the pod was lost while the job ran in it; onejob does not run the job again", Loss(f))
	default:
		return Decision{Action: None, Reason: ReasonLostAfter, Topic: topicUnseen,
			Text: fmt.Sprintf("the pod was lost while the job ran in it; nobody saw it end, so it may still run: %s", Loss(f))}
	}
}

// endHeld is for a job that an agent has and whose runner is over. A stack's finish
// says that a job never ran (docs/protocol.md#stack-finish). So Buildkite is left to
// end the job when it loses the agent, unless the queue says otherwise.
func endHeld(f Facts, r Reason, status int, text, why string) Decision {
	if f.Policy.FinishLost {
		d := Decision{Action: Finish, Reason: r, ExitStatus: status, Text: text + ": " + why}
		if f.Inherited { // the scheduler before may just have finished it with another result
			return afterLag(f, r, d)
		}
		return d
	}
	return Decision{Action: None, Reason: r, Text: text + " (Buildkite ends it with -1 within 4 minutes of the last heartbeat): " + why}
}

// unstarted is for a job that was given to an agent but not started, and whose runner
// is over. Nothing ran. Buildkite offers the job again when nobody starts it in time,
// and its state shows that.
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

// notOffered is for an attempt that ended without the job, while an agent has or had
// it: perhaps this attempt, if the reply that granted it was lost.
func notOffered(f Facts, r Reason) Decision {
	d := Decision{Action: None, Reason: r}
	m, taken := f.Pod.Message, f.State.Held() || f.State == stacks.StateFinished
	if m != nil && m.MaybeGranted && taken {
		d.Topic, d.Text = TopicMaybeGranted, said(f, "may have acquired the job without knowing it; onejob does not run the job again")
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

// startErrors counts the consecutive attempts, with this one, whose container couldn't
// be started. Lines of older releases have no code and don't count; that costs a pod or
// two after an upgrade.
func (f Facts) startErrors() (n int) {
	if f.Pod.Why == startError || f.Pod.Unbegun {
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
