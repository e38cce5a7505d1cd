package decide

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// Action is what is to be done about a job.
type Action string

// The actions. There is at most one at a time: what follows from it is decided
// from the facts that it made.
const (
	// None: nothing, until something changes or Decision.Again.
	None Action = "none"
	// Ask: learn the job's state from Buildkite, then decide again.
	Ask Action = "ask"
	// Attempt: a new kjob, not before Decision.NotBefore.
	Attempt Action = "attempt"
	// Finish: end the job at Buildkite, for no runner will.
	Finish Action = "finish"
	// Delete: delete the kjob, with its UID as precondition; its pod gets its
	// termination grace.
	Delete Action = "delete"
)

// Reason is why, in one word for metrics and Events.
type Reason string

// The reasons.
const (
	ReasonFinished   Reason = "finished"
	ReasonRejected   Reason = "rejected"
	ReasonLocked     Reason = "locked"
	ReasonNotRun     Reason = "not_run"
	ReasonDeclined   Reason = "declined"
	ReasonOtherPod   Reason = "unsupported"
	ReasonExhausted  Reason = "exhausted"
	ReasonUntrusted  Reason = "untrusted"
	ReasonRefused    Reason = "token_refused"
	ReasonConfig     Reason = "bad_config"
	ReasonStopped    Reason = "stopped"
	ReasonLost       Reason = "pod_lost"
	ReasonLostAfter  Reason = "pod_lost_running"
	ReasonDeadline   Reason = "deadline"
	ReasonDeleted    Reason = "kjob_deleted"
	ReasonCancelled  Reason = "cancelled"
	ReasonUnended    Reason = "kjob_unended"
	ReasonOver       Reason = "job_over"
	ReasonTaken      Reason = "job_taken"
	ReasonUnknown    Reason = "job_unknown"
	ReasonNotYet     Reason = "job_waiting"
	ReasonSuspended  Reason = "suspended"
	ReasonImage      Reason = "image"
	ReasonContainer  Reason = "container"
	ReasonPending    Reason = "pending"
	ReasonAdmission  Reason = "admission"
	ReasonNotCreated Reason = "not_created"
	ReasonNoPod      Reason = "no_pod"
	ReasonOutlived   Reason = "outlived"
	ReasonHelper     Reason = "helper_left"
	ReasonGaveUp     Reason = "gave_up"
	ReasonOfferAgain Reason = "offered_again"
	ReasonLeft       Reason = "queue_left"
	ReasonUnmatched  Reason = "unmatched"
)

// Decision is what Decide returns.
type Decision struct {
	Action Action
	Reason Reason
	// Text is for the job's page: the detail of a Finish, else a notification
	// that is sent when it is new.
	Text string
	// Topic is what Text is about.
	Topic Topic
	// Waiting: Text is what the job waits for.
	Waiting bool
	// NotBefore is for Attempt.
	NotBefore time.Time
	// ExitStatus is for Finish.
	ExitStatus int
	// Why is for Delete: what the Event says beside the reason.
	Why string
	// Unplaced is for Delete: only if no pod of the kjob has a node.
	Unplaced bool
	// Again is when the same facts may mean something else; zero is never.
	Again time.Time
}

// The times of decisions. A podless kjob is normal for a moment, and so is a pod
// with a node of which nothing is heard; a state is believed for StateFresh when
// something can't be taken back.
const (
	podlessGrace   = 30 * time.Second
	quietGrace     = time.Minute
	containerGrace = time.Minute // a kubelet has a Secret's or a ConfigMap's content late
	mountGrace     = 2 * time.Minute
	startTries     = 3
	NoticeAfter    = 10 * time.Second
	outliveGrace   = time.Minute
	statusLag      = 15 * time.Second
	startLag       = time.Minute // a kubelet that starts many pods tells late of each
	StateFresh     = 5 * time.Second
	backoffBase    = 5 * time.Second
	backoffMax     = 2 * time.Minute
	notBeforeMax   = time.Hour
)

// On says what is to be done about a job, given all that is known. It is
// the one place where an attempt is followed by another; the exit codes in
// contract say after which ends.
func On(f Facts) Decision {
	switch {
	case f.Attempt == 0:
		return decideOrphan(f)
	case f.KJob.Gone:
		return decideDeleted(f)
	case !f.KJob.Exists:
		return Decision{Action: None}
	case f.KJob.Terminating && !f.KJob.Finished:
		return decideTerminating(f)
	case f.KJob.Suspended && !f.KJob.Finished && (f.Pod.Over() || f.Pod.Deleted):
		// It would wait for a resume, and then get a second pod.
		return Decision{Action: Delete, Reason: ReasonSuspended, Text: "the Kubernetes Job was suspended after its pod had started"}
	case f.KJob.Finished:
		return decideEnded(f)
	case f.Pod.Over(), f.Pod.Deleted:
		return decideStuck(f)
	default:
		return decideLive(f)
	}
}

// Fresh reports whether the state was learned after the attempt had ended.
func (f Facts) Fresh() bool { return !f.StateAt.IsZero() && !f.StateAt.Before(f.EndedAt) }

// believed reports whether the state is new enough for what can't be taken back.
// How long Buildkite took to tell it doesn't count: where that is longer than
// StateFresh, nothing could ever be decided.
func (f Facts) believed() bool { return !f.ToldAt.IsZero() && f.Now.Sub(f.ToldAt) <= StateFresh }

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
		if f.Fresh() && f.State.Offered() {
			return offeredAgain(f)
		}
		topic, text := aside(f)
		return Decision{Action: None, Reason: ReasonFinished, Topic: topic, Text: text}
	case contract.ExitRejected:
		// Buildkite's affair. Should it offer the job again, nobody holds it.
		if f.Fresh() && f.State.Offered() {
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
		if f.atDeadline() {
			return offered(f, ReasonDeadline, func() Decision { return deadline(f, said(f, "was stopped")) })
		}
		what := "was stopped before it had the job"
		if f.Pod.Why != "" {
			what += " (" + StopReason(f) + ")"
		}
		return offered(f, ReasonStopped, func() Decision { return attempt(f, ReasonStopped, 3, said(f, what)) })
	case contract.ExitConfig:
		return offered(f, ReasonConfig, func() Decision {
			if f.fault() == faultContract && !f.Faults.had(faultContract) {
				// A tag that is used again, and a node that has the old image.
				return attempt(f, ReasonConfig, 0, said(f, fmt.Sprintf("on node %s could not run, as its image is of another release than the scheduler; one more attempt is made", f.Pod.Node)))
			}
			return finish(ReasonConfig, said(f, "could not run with the configuration it was given, and no other pod could"))
		})
	default: // 70, and codes that a newer runner may have
		if !f.Fresh() {
			return ask(ReasonNotRun)
		}
		return decideNotRun(f)
	}
}

// decideNotRun is for a runner that had the job, and left without its end reported.
func decideNotRun(f Facts) Decision {
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

// decideLive is for a kjob whose pod is still to come, pending or running.
func decideLive(f Facts) Decision {
	neverRan := !f.Pod.Started
	switch {
	case f.State == stacks.StateFinished && neverRan && f.Pod.Node != "" && f.Pod.Waiting == "" && f.Now.Before(f.EndedAt.Add(startLag)):
		// This very pod may have run it, in less time than its status takes.
		return Decision{Action: None, Again: f.EndedAt.Add(startLag)}
	case f.State.Over() && (neverRan || f.State != stacks.StateFinished && f.HeldAt.IsZero()):
		return Decision{Action: Delete, Reason: ReasonOver} // before any agent had it
	case f.State.Over():
		// Normal for a moment: the runner reports, then takes its leave.
		if end := f.EndedAt.Add(f.Policy.Grace + outliveGrace); f.Now.Before(end) {
			return Decision{Action: None, Again: end}
		}
		return Decision{Action: Delete, Reason: ReasonOutlived, Text: "the job is over, but its pod went on and is being deleted"}
	case f.State.Held() && neverRan && f.Pod.Node == "":
		// Another agent has it. A pod with a node may be the one that has it,
		// its status still on the way: it is left to find out for itself.
		return Decision{Action: Delete, Reason: ReasonTaken, Unplaced: true}
	case f.State == stacks.StateUnknown && f.believed() && neverRan:
		// Buildkite was asked and doesn't know the job: no pod will get it.
		return Decision{Action: Delete, Reason: ReasonUnknown}
	case f.State.Waiting() && neverRan && f.Pod.Node == "":
		// It is offered again when what it waits for is there.
		return Decision{Action: Delete, Reason: ReasonNotYet, Unplaced: true}
	case f.State.Waiting() && neverRan:
		return Decision{Action: None, Reason: ReasonNotYet} // its runner finds the job locked
	case f.KJob.Suspended && (f.Pod.Phase != "" || f.KJob.PodSeen):
		// On resume the Job controller would make a second pod.
		return Decision{Action: Delete, Reason: ReasonSuspended, Text: "the Kubernetes Job was suspended after its pod had started"}
	case f.KJob.Cancelled != "":
		return decideCancelled(f)
	case f.State.Held() && f.Pod.Terminating:
		// The runner cancels the job, or lets it go on, and reports. Should its
		// node be cut off, this is all that can be said.
		return stopped(f, ReasonStopped)
	case f.State.Offered() && f.Pod.Terminating:
		return decideStopping(f)
	case f.State.Held() && neverRan && f.Pod.Waiting != "":
		return decideTaken(f)
	case f.State.Offered() && f.Pod.Started:
		return decideIdle(f)
	case f.State.Held() || f.Pod.Started:
		return Decision{Action: None}
	case f.State.Offered() && f.Podless():
		// An attempt has one pod. The Job controller, that has counted it, may
		// have lost sight of its kjob, which then stays as it is for ever.
		if end := f.FailingSince.Add(stuckGrace); f.Now.Before(end) {
			return Decision{Action: None, Again: end}
		}
		return Decision{Action: Delete, Reason: ReasonUnended, Unplaced: true, Text: fmt.Sprintf("the pod of attempt %d is gone, and its Kubernetes Job doesn't end", f.Attempt)}
	default:
		return decidePending(f)
	}
}

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

// How often the Events of a pod that waits are read: WarningsEvery as a rule, and
// TakenEvery while they decide whether another agent has its job.
const (
	WarningsEvery = 20 * time.Second
	TakenEvery    = 10 * time.Second
)
