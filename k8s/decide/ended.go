package decide

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// decideEnded is for an attempt whose pod is over.
func decideEnded(f Facts) Decision {
	if f.unknownYet() {
		if again := f.StateAt.Add(acceptedEvery); f.Now.Before(again) {
			return Decision{Action: None, Reason: ReasonUnknown, Again: again}
		}
		return ask(ReasonUnknown)
	}
	m := f.Pod.Message
	if m == nil {
		return decideLost(f)
	}
	// The message is the runner's own account; the container's exit code may be the 137
	// of a kill that came after the report.
	switch m.Code() {
	case contract.ExitOK:
		if f.offeredSince() {
			return offeredAgain(f)
		}
		topic, text := aside(f)
		return Decision{Action: None, Reason: ReasonFinished, Topic: topic, Text: text}
	case contract.ExitRejected:
		// Buildkite decides. If it offers the job again, nobody has it.
		if f.offeredSince() {
			return attempt(f, ReasonRejected, 0, said(f, "was refused the job, but Buildkite offers it again"))
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

// unknownYet: Buildkite was asked after the attempt's end, and may have said what was before
// it knew the job (docs/assumptions.md#job-states). Nothing would ask again.
func (f Facts) unknownYet() bool {
	return f.State == stacks.StateUnknown && f.Fresh() && f.StateAt.Before(f.EndedAt.Add(stateLag))
}

// decideEndedEarly is for a runner that was stopped before it acquired the job.
func decideEndedEarly(f Facts) Decision {
	if f.atDeadline() {
		return offered(f, ReasonDeadline, func() Decision { return deadline(f, said(f, "was stopped")) })
	}
	what := "was stopped before it acquired the job"
	if f.Pod.Why != "" {
		what += " (" + StopReason(f) + ")"
	}
	return offered(f, ReasonStopped, func() Decision { return attempt(f, ReasonStopped, 3, said(f, what)) })
}

// misconfigured is for a runner that can't work with its configuration. No other runner
// could, except if an image tag was reused and the node has the old image.
func misconfigured(f Facts) Decision {
	if f.fault() == faultContract && !f.Faults.had(faultContract) {
		return attempt(f, ReasonConfig, 0, said(f, fmt.Sprintf("on node %s could not run, and its image is of another release than the scheduler; onejob makes one more attempt", f.Pod.Node)))
	}
	return finish(ReasonConfig, said(f, "could not run with its configuration; another pod would fail in the same way"))
}

// decideNotRun is for a runner that had the job and left without reporting its end.
func decideNotRun(f Facts) Decision {
	if !f.Fresh() {
		return ask(ReasonNotRun)
	}
	m := f.Pod.Message
	reason, text := ReasonNotRun, "acquired the job but its end was not reported; onejob does not run it again"
	switch m.Outcome {
	case contract.OutcomeDeclined:
		reason, text = ReasonDeclined, "acquired the job but did not run it; onejob does not run it again"
	case contract.OutcomeUnsupported:
		reason, text = ReasonOtherPod, "did not run the job"
	}
	switch {
	case f.State.Offered() && m.Outcome.Unstarted():
		return attempt(f, reason, 0, said(f, "lost the job before it began: Buildkite took it back"))
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

// exhausted is why an attempt failed for a reason that another attempt may not meet.
func exhausted(f Facts) (Reason, string) {
	switch f.Pod.Message.Outcome {
	case contract.OutcomeTakenBack:
		return ReasonExhausted, "lost the job: it did not start in time, so Buildkite took it back"
	case contract.OutcomeUntrusted:
		return ReasonUntrusted, fmt.Sprintf("on node %s does not trust the endpoint (check the node's clock, the image's CAs, any proxy)", f.Pod.Node)
	case contract.OutcomeUnready:
		return ReasonExhausted, fmt.Sprintf("could not prepare for the job on node %s", f.Pod.Node)
	default:
		return ReasonExhausted, "could not reach Buildkite"
	}
}

// offeredAgain is for a job whose end was reported, and that Buildkite offers.
func offeredAgain(f Facts) Decision {
	return afterLag(f, ReasonFinished, Decision{Action: None, Reason: ReasonOfferAgain, Text: said(f, "reported the job's end, but Buildkite offers the job again; onejob leaves it alone")})
}

// afterLag waits, for a reason, until Buildkite was asked so long after the attempt's end
// that its answer can't be of a moment before it (docs/assumptions.md#job-states). It is d then.
func afterLag(f Facts, waits Reason, d Decision) Decision {
	switch sure := f.EndedAt.Add(stateLag); {
	case !f.StateAt.Before(sure):
		return d
	case f.Now.Before(sure):
		return Decision{Action: None, Reason: waits, Again: sure}
	default:
		return ask(waits)
	}
}

// offered asks for the state if it is old, and calls then only if a runner could still
// acquire the job.
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

// atDeadline: Kubernetes ended the attempt at its active deadline. If it had less than
// half of that time by our clock, Kubernetes' clock was set forward, and the next
// attempt gets the whole time.
func (f Facts) atDeadline() bool {
	return f.KJob.FailReason == batchv1.JobReasonDeadlineExceeded && f.lived() >= f.KJob.Deadline/2
}

// lived is for how long the attempt has been active, by our clock.
func (f Facts) lived() time.Duration {
	ended := f.Now
	if !f.EndedAt.IsZero() {
		ended = f.EndedAt
	}
	return ended.Sub(Later(f.KJob.CreatedAt, f.KJob.ResumedAt))
}

// earlyDeadline says that Kubernetes ended the attempt at an active deadline that is far off
// by our clock; empty otherwise.
func (f Facts) earlyDeadline() string {
	if f.KJob.FailReason != batchv1.JobReasonDeadlineExceeded || f.atDeadline() {
		return ""
	}
	return fmt.Sprintf("; by onejob's clock that was after %s of %s, so check the clock of Kubernetes' controller manager", f.lived().Round(time.Second), f.KJob.Deadline)
}

// deadline ends a job that nobody acquired during the whole active deadline: the next
// attempt would take as long.
func deadline(f Facts, why string) Decision {
	return finish(ReasonDeadline, fmt.Sprintf("Kubernetes ended attempt %d at its active deadline (activeDeadlineSeconds in the queue's template) before it acquired the job: %s", f.Attempt, why))
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
