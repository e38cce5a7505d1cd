package decide

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/onejob-dev/onejob/contract"
)

// decideEnded is for an attempt whose pod is over.
func decideEnded(f Facts) Decision {
	m := f.Pod.Message
	if m == nil {
		return decideLost(f)
	}
	// The message is the runner's word; a container's own code may be the 137
	// of a kill that came after the report.
	switch m.Code() {
	case contract.ExitOK:
		if f.offeredSince() {
			return offeredAgain(f)
		}
		topic, text := aside(f)
		return Decision{Action: None, Reason: ReasonFinished, Topic: topic, Text: text}
	case contract.ExitRejected:
		// Buildkite's affair. Should it offer the job again, nobody holds it.
		if f.offeredSince() {
			return attempt(f, ReasonRejected, 0, said(f, "was refused the job, which is offered again"))
		}
		return Decision{Action: None, Reason: ReasonRejected, Topic: maybeGranted(m), Text: said(f, "was refused the job")}
	case contract.ExitLocked:
		return offered(f, ReasonLocked, func() Decision { return attempt(f, ReasonLocked, 0, said(f, "found the job locked")) })
	case contract.ExitExhausted:
		r, what := exhausted(f)
		return offered(f, r, func() Decision { return attempt(f, r, 0, said(f, what)) })
	case contract.ExitRefused:
		return offered(f, ReasonRefused, func() Decision { return attempt(f, ReasonRefused, 0, said(f, "had its token refused")) })
	case contract.ExitTerminated, contract.ExitInterrupted, contract.ExitQuit:
		return decideEndedEarly(f)
	case contract.ExitConfig:
		return offered(f, ReasonConfig, func() Decision { return misconfigured(f) })
	default: // 70, and codes that a newer runner may have
		return decideNotRun(f)
	}
}

// offeredSince: Buildkite offers the job, and was asked after the attempt's end.
func (f Facts) offeredSince() bool { return f.Fresh() && f.State.Offered() }

// decideEndedEarly is for a runner that was stopped before it had the job.
func decideEndedEarly(f Facts) Decision {
	if f.atDeadline() {
		return offered(f, ReasonDeadline, func() Decision { return deadline(f, said(f, "was stopped")) })
	}
	what := "was stopped before it had the job"
	if f.Pod.Why != "" {
		what += " (" + StopReason(f) + ")"
	}
	return offered(f, ReasonStopped, func() Decision { return attempt(f, ReasonStopped, 3, said(f, what)) })
}

// misconfigured is what comes after a runner that can't work with what it was given. No
// other could, unless a tag is used again and the node has the old image.
func misconfigured(f Facts) Decision {
	if f.fault() == faultContract && !f.Faults.had(faultContract) {
		return attempt(f, ReasonConfig, 0, said(f, fmt.Sprintf("on node %s could not run, as its image is of another release than the scheduler; one more attempt is made", f.Pod.Node)))
	}
	return finish(ReasonConfig, said(f, "could not run with the configuration it was given, and no other pod could"))
}

// decideNotRun is for a runner that had the job, and left without its end reported.
func decideNotRun(f Facts) Decision {
	if !f.Fresh() {
		return ask(ReasonNotRun)
	}
	m := f.Pod.Message
	reason, text := ReasonNotRun, "had the job, but it was not run to a reported end; it is not run again"
	switch m.Outcome {
	case contract.OutcomeDeclined:
		reason, text = ReasonDeclined, "had the job and did not run it; it is not run again"
	case contract.OutcomeUnsupported:
		reason, text = ReasonOtherPod, "did not run the job"
	}
	switch {
	case f.State.Offered() && m.Outcome.Unstarted():
		return attempt(f, reason, 0, said(f, "had the job taken back before it had begun"))
	case f.State.Unstarted():
		return unstarted(f, reason, said(f, text))
	case f.State.Held():
		status := -1
		if m.ExitStatus != nil {
			status = *m.ExitStatus
		}
		return endHeld(f, reason, status, fmt.Sprintf("attempt %d %s", f.Attempt, text), m.Reason)
	}
	return Decision{Action: None, Reason: reason, Text: said(f, text)}
}

// exhausted is why an attempt came to nothing for what another may find otherwise.
func exhausted(f Facts) (Reason, string) {
	switch f.Pod.Message.Outcome {
	case contract.OutcomeTakenBack:
		return ReasonExhausted, "had the job taken back by Buildkite, as it could not be started in time"
	case contract.OutcomeUntrusted:
		return ReasonUntrusted, fmt.Sprintf("on node %s does not trust the endpoint (check the node's clock, the image's CAs, any proxy)", f.Pod.Node)
	case contract.OutcomeUnready:
		return ReasonExhausted, fmt.Sprintf("could not be made ready for the job on node %s", f.Pod.Node)
	default:
		return ReasonExhausted, "could not reach Buildkite"
	}
}

func offeredAgain(f Facts) Decision {
	return Decision{Action: None, Reason: ReasonOfferAgain, Text: said(f, "reported the job's end, but Buildkite offers it again: left alone")}
}

// offered asks, and goes on only if a runner could still acquire the job.
func offered(f Facts, r Reason, then func() Decision) Decision {
	switch {
	case !f.Fresh():
		return ask(r)
	case f.State.Offered():
		return then()
	default:
		return notOffered(f, r)
	}
}

// atDeadline: Kubernetes ended the attempt at its active deadline. If it had not
// even half of its time by our clock, Kubernetes' was set forward, and the next
// attempt has all of it.
func (f Facts) atDeadline() bool {
	ended := f.Now
	if !f.EndedAt.IsZero() {
		ended = f.EndedAt
	}
	lived := ended.Sub(Later(f.KJob.CreatedAt, f.KJob.ResumedAt))
	return f.KJob.FailReason == batchv1.JobReasonDeadlineExceeded && lived >= f.KJob.Deadline/2
}

// deadline is the end of a job that nobody acquired in all the time that its
// kjob may take: the next one would take as long.
func deadline(f Facts, why string) Decision {
	return finish(ReasonDeadline, fmt.Sprintf("Kubernetes ended attempt %d at its active deadline (activeDeadlineSeconds in the queue's template) before it had the job: %s", f.Attempt, why))
}

// RefusedFirst: the one runner that there was for the job was refused it, and had no
// grant whose reply was lost.
func (f Facts) RefusedFirst() bool {
	m := f.Pod.Message
	return f.Attempt == 1 && m != nil && m.Code() == contract.ExitRejected && !m.MaybeGranted
}

// TakenUnplaced: an agent has the job of a pod that is the only one there was for it, and
// has no node yet.
func (f Facts) TakenUnplaced() bool {
	return f.Attempt == 1 && f.KJob.Live() && !f.Pod.OverOrGone() && f.takenElsewhere()
}
