package decide

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// t0 is now in the tables; an attempt that ended did so a second ago.
var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// factsBuilder makes Facts read like a sentence.
type factsBuilder struct{ Facts }

// aKJob is one whose pod is pending, made a minute ago; Buildkite's state isn't
// known.
func aKJob() factsBuilder {
	return factsBuilder{Facts{
		Now: t0, Attempt: 1, KJob: KJob{Exists: true, PodSeen: true, CreatedAt: t0.Add(-time.Minute)}, Pod: Pod{Name: "p", Phase: corev1.PodPending},
		Policy: Policy{MaxAttempts: 10, PendingTimeout: 15 * time.Minute, ImageGrace: 2 * time.Minute, Grace: time.Minute},
	}}
}

func (b factsBuilder) but(f func(*Facts)) factsBuilder { f(&b.Facts); return b }

// State was learned just now, StateBefore before the attempt ended.
func (b factsBuilder) State(s stacks.State) factsBuilder {
	return b.but(func(f *Facts) { f.State, f.StateAt, f.ToldAt = s, t0, t0 })
}
func (b factsBuilder) StateBefore(s stacks.State) factsBuilder {
	return b.but(func(f *Facts) { f.State, f.StateAt, f.ToldAt = s, t0.Add(-2*time.Second), t0.Add(-2*time.Second) })
}
func (b factsBuilder) Attempt(n int) factsBuilder { return b.but(func(f *Facts) { f.Attempt = n }) }

func (b factsBuilder) Running() factsBuilder {
	return b.but(func(f *Facts) {
		f.Pod.Phase, f.Pod.Node, f.Pod.Started, f.Pod.StartedAt = corev1.PodRunning, "node", true, t0.Add(-30*time.Second)
	})
}
func (b factsBuilder) Ended() factsBuilder {
	return b.but(func(f *Facts) { f.EndedAt, f.OverAt = t0.Add(-time.Second), t0.Add(-time.Second) })
}

// Exits ends the pod with the runner's word, and the kjob with it.
func (b factsBuilder) Exits(code int) factsBuilder {
	return b.Running().Ended().but(func(f *Facts) {
		f.Pod.Phase, f.Pod.Exited, f.Pod.ExitCode, f.KJob.Finished = corev1.PodFailed, true, code, true
		f.Pod.Message = &contract.Message{Contract: contract.Newest, ExitCode: code, Reason: "the runner's words"}
	})
}

// Lost ends the pod without one.
func (b factsBuilder) Lost() factsBuilder {
	return b.Running().Ended().but(func(f *Facts) {
		f.Pod.Phase, f.Pod.Exited, f.Pod.ExitCode, f.Pod.Why = corev1.PodFailed, true, 137, "OOMKilled"
	})
}
func (b factsBuilder) Gone() factsBuilder {
	return b.GoneBut().but(func(f *Facts) { f.Pod, f.KJob.PodSeen = Pod{}, false })
}

// GoneBut is a kjob that was deleted, and of which the pod is known yet; it ended
// for that.
func (b factsBuilder) GoneBut() factsBuilder {
	return b.Ended().but(func(f *Facts) { f.KJob.Exists, f.KJob.Gone, f.OverAt = false, true, time.Time{} })
}
func (b factsBuilder) Podless() factsBuilder {
	return b.but(func(f *Facts) { f.Pod, f.KJob.PodSeen = Pod{}, false })
}
func (b factsBuilder) Waiting(reason, message string, since time.Duration) factsBuilder {
	return b.but(func(f *Facts) {
		f.Pod.Node, f.Pod.Waiting, f.Pod.WaitingMessage, f.Pod.Image, f.FailingSince = "node", reason, message, "reg/x:1", t0.Add(-since)
		f.EventsAt = t0
	})
}
func (b factsBuilder) Age(d time.Duration) factsBuilder {
	return b.but(func(f *Facts) { f.KJob.CreatedAt = t0.Add(-d) })
}

func TestDecide(t *testing.T) {
	const scheduled, reserved, running, finished, canceled = stacks.StateScheduled, stacks.StateReserved, stacks.StateRunning, stacks.StateFinished, stacks.StateCanceled
	soon, later := t0.Add(-time.Second), func(d time.Duration) time.Time { return t0.Add(d - time.Second) }
	late := func(f *Facts) { f.KJob.FailReason = "DeadlineExceeded" }
	early := func(f *Facts) { f.KJob.FailReason, f.KJob.Deadline = "DeadlineExceeded", time.Hour }
	stopping := func(goneBy time.Time) func(*Facts) {
		return func(f *Facts) {
			f.Pod.Terminating, f.Pod.GoneBy, f.Pod.Why, f.Pod.WhyMessage = true, goneBy, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"
		}
	}
	noImageGrace := func(f *Facts) { f.Policy.ImageGrace = 0 }
	onNode := func(f *Facts) { f.Pod.Node = "node" }
	code := func(n int) func(*Facts) { return func(f *Facts) { f.Pod.ExitCode, f.Pod.Why = n, "" } }
	ran := func(f *Facts) { f.Pod.Message.Outcome = contract.OutcomeFinished }
	other := func(f *Facts) { f.OtherPodLives, f.OtherNode = "p-1", "n7" }
	notStarted := History{{ReasonContainer, 1, t0, "x"}, {ReasonContainer, 2, t0, "y"}}
	since := func(d time.Duration) func(*Facts) { return func(f *Facts) { f.Pod.StartedAt = t0.Add(-d) } }
	unended := func(f *Facts) { f.KJob.Finished = false }
	gonePod := func(f *Facts) { f.KJob.Finished, f.Pod.Deleted = false, true }
	ago := func(d time.Duration) func(*Facts) {
		return func(f *Facts) { f.EndedAt, f.OverAt = t0.Add(-d), t0.Add(-d) }
	}
	// As runners have written it: of the releases before contract.OutcomeContract each said 1.
	release := func(o contract.Outcome, n int) func(*Facts) {
		return func(f *Facts) { f.Pod.Message.Outcome, f.Pod.Message.Contract = o, n }
	}
	older, first, newer := release(contract.OutcomeContract, contract.Newest-1), release(contract.OutcomeConfig, 1), release(contract.OutcomeContract, contract.Newest+1)
	inherited := func(f *Facts) { f.Inherited = true }
	sigterm := func(f *Facts) { f.Pod.Message.Received = "SIGTERM" }
	before := func(f *Facts) { f.OverAt = f.EndedAt }
	removed := func(r Reason) func(*Facts) { return func(f *Facts) { f.Removed = r } }
	marked := func(f *Facts) { f.KJob.Cancelled = "ada: wrong branch" }
	terminating := func(since time.Duration) func(*Facts) {
		return func(f *Facts) {
			f.KJob.Terminating, f.KJob.DeletedAt, f.KJob.Finalizers = true, t0.Add(-since), "foregroundDeletion"
		}
	}
	orphan := func(but func(*Pod)) factsBuilder {
		p := Pod{Name: "p", Phase: corev1.PodRunning, Node: "node", Started: true, Terminating: true}
		if but != nil {
			but(&p)
		}
		return factsBuilder{Facts{Now: t0, Orphan: p}}
	}
	killed := func(code int) func(*Pod) {
		return func(p *Pod) { p.Phase, p.Terminating, p.Exited, p.ExitCode = corev1.PodFailed, false, true, code }
	}
	events := func(age time.Duration) func(*Facts) { return func(f *Facts) { f.EventsAt = t0.Add(-age) } }
	deaf := func(d time.Duration) func(*Facts) { return func(f *Facts) { f.DeafAt, f.DeafFor = t0, d } }
	mended := func(d time.Duration) func(*Facts) { return func(f *Facts) { f.MendedAt = t0.Add(-d) } }
	broke := func(f *Facts) {
		f.Pod.Broke, f.Pod.Started, f.Pod.Exited, f.Pod.Why = Failure{"fetch", 3, "no such host"}, false, false, ""
	}
	failedBefore := func(why string) func(*Facts) {
		return func(f *Facts) { f.Faults = NodeFaults{{"node-1", why}} }
	}
	neverRan := func(f *Facts) { f.Pod.Waiting = "PodInitializing" }
	overQuota := func(f *Facts) { f.Warnings = []Warning{{"FailedCreate", "exceeded quota: q"}} }
	suspend := func(f *Facts) { f.KJob.Suspended = true }
	suspendedBefore := func(n int) func(*Facts) {
		return func(f *Facts) {
			for i := 1; i < f.Attempt; i++ {
				r := ReasonSuspended
				if i > n {
					r = ReasonLost
				}
				// As the annotation hands it on, from one attempt to the next.
				f.Story = ParseHistory(f.Story.With(Past{Reason: r, Attempt: i, At: t0, Text: "it ended"}).Annotation())
			}
		}
	}
	mayWait := func(d time.Duration) func(*Facts) { return func(f *Facts) { f.Policy.SuspendedTimeout = d } }
	pulling := func(f *Facts) { f.Pulling = true }
	type want struct {
		action Action
		reason Reason
		at     time.Time // of an Attempt
		again  time.Time // if not zero
		status int       // of a Finish
		says   string
		not    string // in what it says
		silent bool
	}
	for _, tt := range []struct {
		name  string
		facts factsBuilder
		want  want
	}{
		{"nothing there", factsBuilder{}, want{action: None}},
		{"terminating", aKJob().State(reserved).but(terminating(time.Minute)).but(onNode), want{action: None}},
		{"terminating on and on", aKJob().State(reserved).but(terminating(2 * time.Minute)).but(onNode), want{action: None, reason: ReasonDeleted, says: "waiting for the deleted Kubernetes Job of attempt 1 to go: pod p is still there; if node node is gone for good"}},
		{"terminating on and on without a pod", aKJob().Podless().State(reserved).but(terminating(time.Hour)), want{action: None, reason: ReasonDeleted, says: "to go: its finalizers are foregroundDeletion"}},
		{"terminating on and on, and the job is over", aKJob().State(canceled).but(terminating(time.Hour)).but(onNode), want{action: None}},
		{"terminating while its job runs", aKJob().Running().State(running).but(terminating(0)), want{action: None, reason: ReasonDeleted, says: "deleted while the job ran in its pod"}},
		{"terminating while its job runs, state old", aKJob().Running().State(running).but(terminating(0)).but(func(f *Facts) { f.ToldAt = t0.Add(-time.Minute) }), want{action: Ask, reason: ReasonDeleted}},
		{"terminating, and killed while its job ran", aKJob().Lost().State(running).but(terminating(0)).but(finishLost), want{action: Finish, reason: ReasonLostAfter, status: 137, says: "deleted while the job ran in its pod; the pod was lost while the job ran in it"}},
		{"terminating, and its job was not reported", aKJob().Exits(70).State(running).but(unended).but(terminating(0)).but(finishLost), want{action: Finish, reason: ReasonNotRun, status: -1, says: "deleted while the job ran in its pod; attempt 1 acquired the job but its end was not reported"}},
		{"terminating and marked while its job runs", aKJob().Running().State(running).but(terminating(0)).but(marked), want{action: None, reason: ReasonCancelled, says: "by ada: wrong branch"}},
		{"terminating, and another agent has the job", aKJob().Waiting("ImagePullBackOff", "no", 0).State(running).but(terminating(0)), want{action: None}},
		{"terminating and finished", aKJob().Exits(75).State(reserved).but(terminating(0)), want{action: Attempt, reason: ReasonExhausted, at: later(5 * time.Second)}},
		{"a pod without a kjob is told to stop, state not known", orphan(nil), want{action: Ask, reason: ReasonDeleted}},
		{"a pod without a kjob is told to stop while its job runs", orphan(nil).State(running), want{action: None, reason: ReasonDeleted, says: "deleted while the job ran in its pod"}},
		{"a pod without a kjob is told to stop before it acquired the job", orphan(nil).State(reserved), want{action: None}},
		{"a pod without a kjob", orphan(func(p *Pod) { p.Terminating = false }).State(running), want{action: None}},
		{"a pod without a kjob has gone while its job ran", orphan(func(p *Pod) { p.Terminating, p.Deleted = false, true }).State(running), want{action: None, reason: ReasonDeleted, says: "deleted while the job ran in its pod"}},
		{"a pod without a kjob that was refused the job", orphan(func(p *Pod) { p.Message = &contract.Message{ExitCode: 27} }).State(running), want{action: None}},
		{"a pod without a kjob was killed while its job ran", orphan(killed(137)).State(running).but(finishLost), want{action: Finish, reason: ReasonLostAfter, status: 137, says: "was deleted while the job ran in its pod; the pod was lost while the job ran in it; onejob does not run the job again: exit code 137"}},
		{"a pod without a kjob was killed while its job ran, state not known", orphan(killed(137)), want{action: Ask, reason: ReasonDeleted}},
		{"a pod without a kjob whose job was not reported", orphan(killed(70)).but(func(f *Facts) { f.Orphan.Message = &contract.Message{ExitCode: 70} }).State(running).but(finishLost), want{action: Finish, reason: ReasonNotRun, status: -1, says: "was deleted while the job ran in its pod; "}},
		{"a pod without a kjob that left without the job", orphan(killed(75)).State(running), want{action: None}},
		{"finished and removed by its TTL", aKJob().but(func(f *Facts) { f.KJob = KJob{} }), want{action: None}},

		// By the runner's word: the table of exit codes.
		{"0", aKJob().Exits(0), want{action: None, reason: ReasonFinished}},
		{"0, but offered just now, as it was before it was acquired", aKJob().Exits(0).State(scheduled), want{action: None, reason: ReasonFinished, again: later(stateLag)}},
		{"0, but offered, by a state of before", aKJob().Exits(0).StateBefore(scheduled).but(ago(stateLag)), want{action: Ask, reason: ReasonFinished}},
		{"lost, and unknown a moment after", aKJob().Lost().State(stacks.StateUnknown), want{action: None, reason: ReasonUnknown, again: t0.Add(acceptedEvery)}},
		{"lost, and it was unknown a moment after", aKJob().Lost().State(stacks.StateUnknown).but(ago(2 * acceptedEvery)).but(func(f *Facts) { f.StateAt = t0.Add(-acceptedEvery) }), want{action: Ask, reason: ReasonUnknown}},
		{"0, but offered", aKJob().Exits(0).State(scheduled).but(ago(stateLag)), want{action: None, reason: ReasonOfferAgain, says: "onejob leaves it alone"}},
		{"0, but stopped", aKJob().Exits(0).but(func(f *Facts) {
			f.Pod.Message.Received, f.Pod.Why, f.Pod.WhyMessage = "SIGTERM", "Evicted", "low on disk"
		}), want{action: None, reason: ReasonFinished, says: "stopped the pod in which the job ran: Evicted, low on disk"}},
		{"0, but the session was lost", aKJob().Exits(0).but(func(f *Facts) { f.Pod.Message.SessionLost = true }), want{action: None, reason: ReasonFinished, says: "attempt 1 lost its session with Buildkite, so it stopped the job: the runner's words"}},
		{"0, but stopped, as only an Event says", aKJob().Exits(0).but(func(f *Facts) { f.Pod.Message.Received, f.Warnings = "SIGTERM", []Warning{{"Evicted", "low on disk"}} }), want{action: None, reason: ReasonFinished, says: "Evicted, low on disk"}},
		{"0, but out of memory", aKJob().Exits(0).but(func(f *Facts) { f.Pod.Why = "OOMKilled" }), want{action: None, reason: ReasonFinished, says: "OOMKilled"}},
		{"27", aKJob().Exits(27), want{action: None, reason: ReasonRejected, says: "the runner's words"}},
		{"27, and offered again", aKJob().Exits(27).State(scheduled), want{action: Attempt, reason: ReasonRejected, at: later(5 * time.Second)}},
		{"27, state older than the end", aKJob().Exits(27).StateBefore(reserved), want{action: None, reason: ReasonRejected}},
		{"28, state not known", aKJob().Exits(28), want{action: Ask, reason: ReasonLocked}},
		{"28", aKJob().Exits(28).State(reserved), want{action: Attempt, reason: ReasonLocked, at: later(5 * time.Second)}},
		{"28, not before", aKJob().Exits(28).State(reserved).but(func(f *Facts) { at := t0.Add(time.Minute); f.Pod.Message.NotBefore = &at }), want{action: Attempt, reason: ReasonLocked, at: t0.Add(time.Minute)}},
		{"28, not before, by a clock that is a day ahead", aKJob().Exits(28).State(reserved).but(func(f *Facts) {
			at := t0.AddDate(0, 0, 1)
			f.Pod.EndedAt, f.Pod.Message.NotBefore = at.Add(-time.Minute), &at
		}), want{action: Attempt, reason: ReasonLocked, at: later(time.Minute)}},
		{"28, not before, by a clock that is a day behind", aKJob().Exits(28).State(reserved).but(func(f *Facts) {
			at := t0.AddDate(0, 0, -1)
			f.Pod.EndedAt, f.Pod.Message.NotBefore = at.Add(-time.Minute), &at
		}), want{action: Attempt, reason: ReasonLocked, at: later(time.Minute)}},
		{"28, not before next year", aKJob().Exits(28).State(reserved).but(func(f *Facts) { at := t0.AddDate(1, 0, 0); f.Pod.Message.NotBefore = &at }), want{action: Attempt, reason: ReasonLocked, at: later(time.Hour)}},
		{"28, no longer offered", aKJob().Exits(28).State(running), want{action: None, reason: ReasonLocked}},
		{"70, over", aKJob().Exits(70).State(finished), want{action: None, reason: ReasonNotRun, says: "does not run it again"}},
		{"70, state not known", aKJob().Exits(70), want{action: Ask, reason: ReasonNotRun}},
		{"70, still held", aKJob().Exits(70).State(running).but(finishLost), want{action: Finish, reason: ReasonNotRun, status: -1}},
		{"70, still held, result known", aKJob().Exits(70).State(running).but(func(f *Facts) { n := 3; f.Pod.Message.ExitStatus = &n }).but(finishLost), want{action: Finish, reason: ReasonNotRun, status: 3}},
		{"70, declined by the agent's own rules", aKJob().Exits(70).State(finished).but(func(f *Facts) { f.Pod.Message.Outcome = contract.OutcomeDeclined }), want{action: None, reason: ReasonDeclined, says: "did not run it; onejob does not run it again: the runner's words"}},
		{"70, a step that asks for another pod", aKJob().Exits(70).State(finished).but(func(f *Facts) { f.Pod.Message.Outcome = contract.OutcomeUnsupported }), want{action: None, reason: ReasonOtherPod, says: "did not run the job: the runner's words"}},
		{"70, offered", aKJob().Exits(70).State(scheduled), want{action: None, reason: ReasonNotRun}},
		{"75", aKJob().Exits(75).State(reserved), want{action: Attempt, reason: ReasonExhausted, at: later(5 * time.Second)}},
		{"75, not ready", aKJob().Exits(75).State(reserved).but(func(f *Facts) { f.Pod.Message.Outcome = contract.OutcomeUnready }), want{action: Attempt, reason: ReasonExhausted, at: later(5 * time.Second), says: "attempt 1 could not prepare for the job on node node: the runner's words"}},
		{"75, not trusted", aKJob().Exits(75).State(reserved).but(func(f *Facts) { f.Pod.Message.Outcome = contract.OutcomeUntrusted }), want{action: Attempt, reason: ReasonUntrusted, at: later(5 * time.Second), says: "attempt 1 on node node does not trust the endpoint (check the node's clock, the image's CAs, any proxy): the runner's words"}},
		{"75, not trusted, held", aKJob().Exits(75).State(running).but(func(f *Facts) { f.Pod.Message.Outcome = contract.OutcomeUntrusted }), want{action: None, reason: ReasonUntrusted}},
		{"75, fourth", aKJob().Attempt(4).Exits(75).State(reserved), want{action: Attempt, reason: ReasonExhausted, at: later(40 * time.Second)}},
		{"75, ninth", aKJob().Attempt(9).Exits(75).State(reserved), want{action: Attempt, reason: ReasonExhausted, at: later(2 * time.Minute)}},
		{"75, at the cap", aKJob().Attempt(10).Exits(75).State(reserved), want{action: Finish, reason: ReasonGaveUp, status: -1, says: "gave up after 10 attempts, none of which acquired the job: attempt 10 could not"}},
		{"75, at the cap, with a story", aKJob().Attempt(10).Exits(75).State(reserved).but(func(f *Facts) {
			f.Story = History{{Text: "attempt 1 was lost"}, {ReasonStopped, 2, t0, "attempt 2 was stopped"}}
		}), want{action: Finish, reason: ReasonGaveUp, status: -1, says: "attempt 1 was lost; attempt 2 was stopped; attempt 10 could not reach Buildkite"}},
		{"75, its kjob not finished yet", aKJob().Exits(75).State(reserved).but(func(f *Facts) { f.KJob.Finished = false }), want{action: None, reason: ReasonExhausted}},
		{"75, another pod lives", aKJob().Exits(75).State(reserved).but(other), want{action: None, reason: ReasonExhausted}},
		{"75, another pod lives on and on", aKJob().Exits(75).State(reserved).but(other).but(func(f *Facts) { f.EndedAt = t0.Add(-2 * time.Minute) }), want{action: None, reason: ReasonExhausted, says: "waiting for pod p-1 of an earlier attempt to end; if node n7 is gone for good"}},
		{"77", aKJob().Exits(77).State(reserved), want{action: Attempt, reason: ReasonRefused, at: later(5 * time.Second)}},
		{"78", aKJob().Exits(78).State(reserved), want{action: Finish, reason: ReasonConfig, status: -1, says: "the runner's words"}},
		{"78, of an older release", aKJob().Exits(78).State(reserved).but(older), want{action: Attempt, reason: ReasonConfig, at: later(5 * time.Second), says: "attempt 1 on node node could not run, and its image is of another release than the scheduler; onejob makes one more attempt: the runner's words"}},
		{"78, of one of the first releases", aKJob().Exits(78).State(reserved).but(first), want{action: Attempt, reason: ReasonConfig, at: later(5 * time.Second)}},
		{"78, of a newer release", aKJob().Exits(78).State(reserved).but(newer), want{action: Attempt, reason: ReasonConfig, at: later(5 * time.Second)}},
		{"78, of another release again", aKJob().Attempt(2).Exits(78).State(reserved).but(older).but(func(f *Facts) { f.Faults = NodeFaults{{"node-1", faultContract}} }), want{action: Finish, reason: ReasonConfig, status: -1}},
		{"78, of another release after other faults", aKJob().Attempt(2).Exits(78).State(reserved).but(older).but(func(f *Facts) { f.Faults = NodeFaults{{"node-1", "untrusted"}} }), want{action: Attempt, reason: ReasonConfig, at: later(10 * time.Second)}},
		{"78, of another release, taken", aKJob().Exits(78).State(running).but(older), want{action: None, reason: ReasonConfig}},
		{"78, taken", aKJob().Exits(78).State(running), want{action: None, reason: ReasonConfig}},
		{"143", aKJob().Exits(143).State(scheduled), want{action: Attempt, reason: ReasonStopped, at: soon}},
		{"143, evicted", aKJob().Exits(143).State(scheduled).but(func(f *Facts) { f.Pod.Why = "EvictionByEvictionAPI" }), want{action: Attempt, reason: ReasonStopped, at: soon, says: "(EvictionByEvictionAPI): the runner's words"}},
		{"130, cancelled", aKJob().Exits(130).State(canceled), want{action: None, reason: ReasonStopped}},
		{"143, fourth", aKJob().Attempt(4).Exits(143).State(scheduled), want{action: Attempt, reason: ReasonStopped, at: later(5 * time.Second)}},
		{"143, perhaps with the job", aKJob().Exits(143).State(finished).but(func(f *Facts) { f.Pod.Message.MaybeGranted = true }), want{action: None, reason: ReasonStopped, says: "attempt 1 may have acquired the job without knowing it; onejob does not run the job again: the runner's words"}},
		{"75, perhaps with the job", aKJob().Exits(75).State(running).but(func(f *Facts) { f.Pod.Message.MaybeGranted = true }), want{action: None, reason: ReasonExhausted, says: "attempt 1 may have acquired the job without knowing it"}},
		{"75, perhaps with the job, which was cancelled", aKJob().Exits(75).State(canceled).but(func(f *Facts) { f.Pod.Message.MaybeGranted = true }), want{action: None, reason: ReasonExhausted, silent: true}},
		{"143 at its deadline", aKJob().Exits(143).State(reserved).but(func(f *Facts) { f.KJob.FailReason = "DeadlineExceeded" }), want{action: Finish, reason: ReasonDeadline, status: -1, says: "activeDeadlineSeconds"}},
		{"the job's own 3, reflected", aKJob().Exits(3).but(ran), want{action: None, reason: ReasonFinished}},
		{"the job's own 27, reflected", aKJob().Exits(27).State(finished).but(ran), want{action: None, reason: ReasonFinished}},
		{"the job's own 77, reflected, but offered", aKJob().Exits(77).State(scheduled).but(ran).but(ago(stateLag)), want{action: None, reason: ReasonOfferAgain, says: "onejob leaves it alone"}},
		{"the job's own 143, reflected, its kjob deleted", aKJob().Exits(143).GoneBut().State(finished).but(ran).but(sigterm), want{action: None, reason: ReasonDeleted, says: "deleted while the job ran"}},
		{"a code of tomorrow", aKJob().Exits(99).State(scheduled), want{action: None, reason: ReasonNotRun}},

		// Without one.
		{"lost, state not known", aKJob().Lost(), want{action: Ask, reason: ReasonLost}},
		{"lost, state older than the loss", aKJob().Lost().StateBefore(reserved), want{action: Ask, reason: ReasonLost}},
		{"lost before acquisition", aKJob().Lost().State(reserved), want{action: Attempt, reason: ReasonLost, at: soon, says: "OOMKilled, exit code 137"}},
		{"lost before acquisition, again", aKJob().Attempt(2).Lost().State(reserved), want{action: Attempt, reason: ReasonLost, at: later(5 * time.Second)}},
		{"lost before acquisition, at the cap", aKJob().Attempt(10).Lost().State(reserved), want{action: Finish, reason: ReasonGaveUp, status: -1, says: "OOMKilled"}},
		{"an init container failed", aKJob().Lost().State(reserved).but(broke), want{action: Attempt, reason: ReasonLost, at: later(5 * time.Second), says: "was lost before it acquired the job"}},
		{"an init container failed again", aKJob().Attempt(2).Lost().State(reserved).but(broke).but(failedBefore("exit/fetch/3")), want{action: Finish, reason: ReasonContainer, status: -1, says: "container fetch ended with exit code 3 in two pods (the last one on node node) before the runner started; another pod would fail in the same way. Check this container in the queue's template. Its last output: no such host"}},
		{"an init container failed in another way", aKJob().Attempt(2).Lost().State(reserved).but(broke).but(failedBefore("exit/fetch/4")), want{action: Attempt, reason: ReasonLost, at: later(10 * time.Second)}},
		{"an init container failed again, state old", aKJob().Attempt(2).Lost().StateBefore(reserved).but(broke).but(failedBefore("exit/fetch/3")), want{action: Ask, reason: ReasonLost}},
		{"an init container failed again, and another agent has the job", aKJob().Attempt(2).Lost().State(running).but(broke).but(failedBefore("exit/fetch/3")).but(neverRan), want{action: None, reason: ReasonLost}},
		{"lost while running", aKJob().Lost().State(running).but(finishLost), want{action: Finish, reason: ReasonLostAfter, status: 137, says: "OOMKilled"}},
		{"lost while running, of an attempt that another scheduler made", aKJob().Lost().State(running).but(inherited).but(finishLost), want{action: None, reason: ReasonLostAfter, again: later(stateLag)}},
		{"lost while running, of an attempt that another scheduler made, by a state of before", aKJob().Lost().StateBefore(running).but(inherited).but(finishLost).but(ago(stateLag)), want{action: Ask, reason: ReasonLostAfter}},
		{"lost while running, of an attempt that another scheduler made, and later", aKJob().Lost().State(running).but(inherited).but(finishLost).but(ago(stateLag)), want{action: Finish, reason: ReasonLostAfter, status: 137, says: "OOMKilled"}},
		{"lost, and its runner's code says that another agent has the job", aKJob().Lost().State(running).but(code(27)), want{action: None, reason: ReasonLost, says: "exit code 27 means that it did not acquire the job"}},
		{"lost, stopped before it acquired the job, which another agent has", aKJob().Lost().State(running).but(code(143)), want{action: None, reason: ReasonLost, says: "exit code 143"}},
		{"lost while running, stopped by another signal", aKJob().Lost().State(running).but(code(139)).but(finishLost), want{action: Finish, reason: ReasonLostAfter, status: 139}},
		{"ended well without a message, state not known", aKJob().Lost().but(code(0)), want{action: Ask, reason: ReasonLost}},
		{"ended well without a message", aKJob().Lost().State(finished).but(code(0)), want{action: None, reason: ReasonFinished}},
		{"ended well without a message, and another agent has the job", aKJob().Lost().State(running).but(code(0)), want{action: None, reason: ReasonFinished}},
		{"ended well without a message, but offered", aKJob().Lost().State(reserved).but(code(0)).but(func(f *Facts) { f.Pod.Image = "ubuntu:24.04" }), want{action: Finish, reason: ReasonConfig, status: -1, says: "it did not run onejob-agent. Check the image's entrypoint and the command in the queue's template (image ubuntu:24.04)"}},
		{"ended well without a message, but offered, its kjob complete", aKJob().Lost().State(scheduled).but(code(0)).but(func(f *Facts) { f.KJob.Finished, f.KJob.Succeeded = true, true }), want{action: Finish, reason: ReasonConfig, status: -1, says: "it did not run onejob-agent"}},
		{"lost while running, its end unseen", aKJob().Lost().State(running).but(func(f *Facts) { f.Pod.Exited = false }), want{action: None, reason: ReasonLostAfter, says: "so it may still run"}},
		{"lost while running, its node gone", aKJob().Lost().State(running).but(func(f *Facts) {
			f.Pod.Exited, f.Pod.NodeGone, f.Pod.Why, f.Pod.ExitCode = false, true, "DeletionByPodGC", 0
		}).but(finishLost), want{action: Finish, reason: ReasonLostAfter, status: -1, says: "DeletionByPodGC"}},
		{"a container that can't be started", aKJob().Lost().State(reserved).but(func(f *Facts) { f.Pod.Why = "StartError" }), want{action: Attempt, reason: ReasonContainer, at: soon, says: "StartError"}},
		{"a container that can't be started, in pod after pod", aKJob().Attempt(3).Lost().State(reserved).but(func(f *Facts) {
			f.Pod.Why, f.Pod.Image, f.Story = "StartError", "reg/x:1", notStarted
		}), want{action: Finish, reason: ReasonContainer, status: -1, says: "in 3 pods in a row: StartError, exit code 137 (image reg/x:1: check the command"}},
		{"a container that can't be started, after losses of other kinds", aKJob().Attempt(4).Lost().State(reserved).but(func(f *Facts) {
			f.Pod.Why, f.Story = "StartError", append(slices.Clone(notStarted[:1]), Past{ReasonLost, 2, t0, "the pod of attempt 2 was lost before it acquired the job: StartError"}, notStarted[1])
		}), want{action: Attempt, reason: ReasonContainer, at: later(20 * time.Second)}},
		{"an eviction, after containers that can't be started", aKJob().Attempt(3).Lost().State(reserved).but(func(f *Facts) { f.Story = notStarted }), want{action: Attempt, reason: ReasonLost, at: later(10 * time.Second)}},
		{"lost after it had reported", aKJob().Lost().State(finished), want{action: None, reason: ReasonLost, says: "stopped the pod in which the job ran: OOMKilled"}},
		{"lost before it started, and another agent has the job", aKJob().Lost().State(running).but(func(f *Facts) {
			f.Pod.Started, f.Pod.Exited, f.Pod.Why, f.Pod.NodeGone, f.Pod.Waiting = false, false, "DeletionByPodGC", true, "ImagePullBackOff"
		}), want{action: None, reason: ReasonLost, silent: true}},
		{"lost, and over since", aKJob().Lost().State(finished).but(func(f *Facts) { f.Unreported = true }), want{action: None, reason: ReasonLost, silent: true}},
		{"deleted without a node", aKJob().Ended().State(reserved).but(func(f *Facts) { f.Pod.Terminating = true }), want{action: Attempt, reason: ReasonLost, at: soon}},
		{"deleted with a node, still going", aKJob().Running().State(reserved).but(func(f *Facts) { f.Pod.Terminating, f.Pod.GoneBy = true, t0 }), want{action: None}},
		{"pod gone from the API server", aKJob().Running().Ended().State(reserved).but(func(f *Facts) { f.Pod.Deleted = true }), want{action: Attempt, reason: ReasonLost, at: soon}},
		{"kjob failed and no pod left", aKJob().Podless().Ended().State(reserved).but(func(f *Facts) { f.KJob.Finished = true }), want{action: Attempt, reason: ReasonLost, at: soon}},
		{"143 at a deadline that is hours away by our clock", aKJob().Exits(143).State(reserved).but(early), want{action: Attempt, reason: ReasonStopped, at: soon, says: "was stopped before it acquired the job"}},
		{"lost at a deadline that is hours away by our clock", aKJob().Lost().State(reserved).but(early), want{action: Attempt, reason: ReasonLost, at: soon}},
		{"deadline before acquisition, by our clock too", aKJob().Age(time.Hour).Lost().State(reserved).but(early), want{action: Finish, reason: ReasonDeadline, status: -1}},
		{"told to stop at a deadline that is hours away by our clock, and not gone in time", aKJob().Running().State(reserved).but(stopping(t0.Add(-statusLag))).but(early), want{action: None, reason: ReasonStopped, says: "waiting for the pod to end: it was told to stop"}},
		{"deadline before acquisition", aKJob().Lost().State(reserved).but(func(f *Facts) { f.KJob.Finished, f.KJob.FailReason = true, "DeadlineExceeded" }), want{action: Finish, reason: ReasonDeadline, status: -1}},
		{"complete without a message", aKJob().Running().Ended().but(func(f *Facts) { f.Pod.Phase, f.KJob.Finished, f.KJob.Succeeded = corev1.PodSucceeded, true, true }), want{action: None, reason: ReasonFinished}},
		{"complete without a message, but offered", aKJob().Podless().Ended().State(scheduled).but(func(f *Facts) { f.KJob.Finished, f.KJob.Succeeded = true, true }).but(ago(stateLag)), want{action: None, reason: ReasonOfferAgain, says: "onejob leaves it alone"}},

		// Deleted kjobs.
		{"deleted by hand, state not known", aKJob().Gone(), want{action: Ask, reason: ReasonDeleted}},
		{"deleted by hand", aKJob().Gone().State(reserved), want{action: Attempt, reason: ReasonDeleted, at: later(5 * time.Second)}},
		{"deleted by hand, its pod still going", aKJob().Gone().State(reserved).but(other), want{action: None, reason: ReasonDeleted}},
		{"deleted by hand while it ran", aKJob().Gone().State(running), want{action: None, reason: ReasonDeleted}},
		{"cancelled by hand", aKJob().Gone().State(reserved).but(func(f *Facts) { f.KJob.Cancelled = "ada: wrong branch" }), want{action: Finish, reason: ReasonCancelled, status: -1, says: "ada: wrong branch"}},

		{"cancelled by hand, state not known", aKJob().Gone().but(func(f *Facts) { f.KJob.Cancelled = "ada" }), want{action: Ask, reason: ReasonCancelled}},
		{"deleted by hand while its job runs", aKJob().Gone().State(running).but(func(f *Facts) { f.Pod.Node = "node" }), want{action: None, reason: ReasonDeleted, says: "deleted while the job ran"}},
		{"deleted by us, for another agent has it", aKJob().Gone().State(running), want{action: None, reason: ReasonDeleted}},
		{"cancelled while its job runs", aKJob().Gone().State(running).but(func(f *Facts) { f.KJob.Cancelled, f.Pod.Node = "ada: wrong branch", "node" }), want{action: None, reason: ReasonCancelled, says: "by ada: wrong branch"}},
		{"deleted by hand, and its runner has said that it was stopped", aKJob().Gone().State(finished).but(func(f *Facts) {
			f.Pod.Message = &contract.Message{Received: "SIGTERM"}
		}), want{action: None, reason: ReasonDeleted, says: "deleted while the job ran"}},
		{"deleted by hand while its job ran, and killed", aKJob().Lost().GoneBut().State(running).but(finishLost), want{action: Finish, reason: ReasonLostAfter, status: 137, says: "the Kubernetes Job was deleted while the job ran in its pod; the pod was lost while the job ran in it; onejob does not run the job again: OOMKilled, exit code 137"}},
		{"deleted by hand while its job ran, and killed, state old", aKJob().Lost().GoneBut().State(running).but(func(f *Facts) {
			f.StateAt, f.ToldAt, f.EndedAt = t0.Add(-time.Minute), t0.Add(-time.Minute), t0.Add(-2*time.Minute)
		}), want{action: Ask, reason: ReasonDeleted}},
		{"deleted after its runner had given up", aKJob().Exits(75).GoneBut().State(scheduled), want{action: Attempt, reason: ReasonExhausted, at: later(5 * time.Second), says: "could not reach Buildkite"}},
		{"deleted after its runner had reported the job's end, and offered again", aKJob().Exits(0).GoneBut().State(scheduled).but(ago(stateLag)), want{action: None, reason: ReasonOfferAgain}},
		{"deleted, its runner stopped with the job, and offered again", aKJob().Exits(0).GoneBut().State(scheduled).but(sigterm).but(ago(stateLag)), want{action: None, reason: ReasonOfferAgain}},
		{"deleted, its runner stopped with the job unreported, and offered again", aKJob().Exits(70).GoneBut().State(scheduled).but(sigterm), want{action: None, reason: ReasonNotRun}},
		{"deleted, its runner stopped before it acquired the job", aKJob().Exits(143).GoneBut().State(scheduled).but(sigterm), want{action: Attempt, reason: ReasonDeleted, at: later(5 * time.Second), says: "was deleted before it acquired the job"}},
		{"deleted after its pod was, before it acquired the job", aKJob().Exits(143).GoneBut().State(scheduled).but(sigterm).but(before), want{action: Attempt, reason: ReasonStopped, at: soon, says: "was stopped before it acquired the job"}},
		{"deleted after its pod was, which had the job", aKJob().Exits(0).GoneBut().State(finished).but(sigterm).but(before), want{action: None, reason: ReasonFinished}},
		{"deleted by hand while another agent has its job, and refused it", aKJob().Lost().GoneBut().State(running).but(code(27)), want{action: None}},
		{"deleted by hand while its job ran, and gone with its node unseen", aKJob().Lost().GoneBut().State(running).but(func(f *Facts) { f.Pod.Exited = false }), want{action: None, reason: ReasonDeleted, says: "deleted while the job ran in its pod"}},
		{"deleted by us without a node, for another agent has it", aKJob().GoneBut().State(running).but(func(f *Facts) { f.Pod.Terminating = true }), want{action: None, reason: ReasonDeleted}},
		{"deleted by hand while its job ran, and unreported", aKJob().Exits(70).GoneBut().State(running).but(sigterm).but(finishLost), want{action: Finish, reason: ReasonNotRun, status: -1, says: "was deleted while the job ran in its pod; attempt 1 acquired the job but its end was not reported"}},
		{"deleted by hand while its job ran, and unreported, state old", aKJob().Exits(70).GoneBut().StateBefore(running).but(sigterm), want{action: Ask, reason: ReasonDeleted}},
		{"deleted by us, for it was suspended", aKJob().GoneBut().State(reserved).but(removed(ReasonSuspended)), want{action: Attempt, reason: ReasonSuspended, at: soon, says: "the pod of attempt 1 was lost before it acquired the job: its Kubernetes Job was suspended"}},
		{"deleted by us, for it was suspended, after its runner was stopped", aKJob().Exits(143).GoneBut().State(scheduled).but(sigterm).but(before).but(removed(ReasonSuspended)), want{action: Attempt, reason: ReasonSuspended, at: soon, says: "was stopped before it acquired the job"}},
		{"deleted by us, for it was suspended, as its runner was being stopped", aKJob().Exits(143).GoneBut().State(scheduled).but(sigterm).but(removed(ReasonSuspended)), want{action: Attempt, reason: ReasonSuspended, at: soon, says: "its Kubernetes Job was suspended"}},
		{"deleted by us, for it was suspended, after its runner had given up", aKJob().Exits(75).GoneBut().State(scheduled).but(removed(ReasonSuspended)), want{action: Attempt, reason: ReasonExhausted, at: later(5 * time.Second), says: "could not reach Buildkite"}},
		{"suspended time and again", aKJob().Attempt(12).GoneBut().State(reserved).but(removed(ReasonSuspended)).but(suspendedBefore(11)), want{action: Attempt, reason: ReasonSuspended, at: later(5 * time.Second), says: "its Kubernetes Job was suspended"}},
		{"suspended more often than its history tells", aKJob().Attempt(50).GoneBut().State(reserved).but(removed(ReasonSuspended)).but(suspendedBefore(49)), want{action: Attempt, reason: ReasonSuspended, at: later(5 * time.Second), says: "its Kubernetes Job was suspended"}},
		{"suspended for ever", aKJob().Attempt(100).GoneBut().State(reserved).but(removed(ReasonSuspended)).but(suspendedBefore(99)), want{action: Finish, reason: ReasonGaveUp, status: -1, says: "gave up after 100 attempts"}},
		{"suspended often, and lost as often as may be", aKJob().Attempt(50).Lost().State(reserved).but(suspendedBefore(40)), want{action: Finish, reason: ReasonGaveUp, status: -1, says: "gave up after 50 attempts"}},
		{"deleted by us, for its pod is gone and it didn't end", aKJob().Gone().State(reserved).but(removed(ReasonUnended)), want{action: Attempt, reason: ReasonLost, at: soon, says: "the pod of attempt 1 was lost before it acquired the job: the pod was deleted"}},
		{"deleted by us, for it was cancelled, and its runner saw the end", aKJob().Exits(0).GoneBut().State(canceled).but(sigterm).but(removed(ReasonOver)), want{action: None, reason: ReasonDeleted, silent: true}},
		{"deleted by us, for it is over", aKJob().Gone().State(finished), want{action: None, reason: ReasonDeleted}},

		// Marked ones that are still there.
		{"marked", aKJob().State(reserved).but(marked), want{action: Finish, reason: ReasonCancelled, status: -1, says: "cancelled in Kubernetes by ada: wrong branch"}},
		{"marked, podless", aKJob().Podless().State(scheduled).but(marked), want{action: Finish, reason: ReasonCancelled, status: -1, says: "by ada: wrong branch"}},
		{"marked, its container runs", aKJob().Running().State(reserved).but(marked), want{action: Finish, reason: ReasonCancelled, status: -1, says: "by ada: wrong branch"}},
		{"marked, state not known", aKJob().but(marked), want{action: Ask, reason: ReasonCancelled}},
		{"marked, state old", aKJob().State(reserved).but(func(f *Facts) { marked(f); f.ToldAt = t0.Add(-time.Minute) }), want{action: Ask, reason: ReasonCancelled}},
		{"marked, and it runs", aKJob().Running().State(running).but(marked), want{action: Delete, reason: ReasonCancelled, says: "by ada: wrong branch"}},
		{"marked, and another agent has it", aKJob().State(running).but(marked), want{action: Delete, reason: ReasonTaken}},
		{"marked, and the job is finished", aKJob().State(finished).but(marked), want{action: Delete, reason: ReasonOver}},
		{"marked, and Buildkite doesn't know it", aKJob().Running().State(stacks.StateUnknown).but(marked), want{action: Delete, reason: ReasonCancelled}},
		{"marked, and its runner was stopped before", aKJob().Exits(143).State(scheduled).but(marked), want{action: Finish, reason: ReasonCancelled, status: -1, says: "by ada: wrong branch"}},
		{"marked, and its pod is lost", aKJob().Lost().State(scheduled).but(marked), want{action: Finish, reason: ReasonCancelled, status: -1, says: "by ada: wrong branch"}},
		{"marked, and being deleted", aKJob().State(reserved).but(marked).but(terminating(time.Second)), want{action: None}},

		// Live ones.
		{"running", aKJob().Running().State(running), want{action: None}},
		{"running, not acquired yet", aKJob().Running().State(reserved), want{action: None}},
		{"running for long, not acquired yet", aKJob().Running().State(reserved).but(since(15 * time.Minute)), want{action: None, reason: ReasonPending, says: "pod p has been running for more than 15m0s but has not acquired the job. Check its log"}},
		{"running for long, not acquired yet, state of before", aKJob().Running().StateBefore(reserved).but(since(15 * time.Minute)), want{action: Ask, reason: ReasonPending}},
		{"running for long", aKJob().Running().State(running).but(since(time.Hour)), want{action: None, silent: true}},
		{"running for long, unknown to Buildkite", aKJob().Running().State(stacks.StateUnknown).but(since(time.Hour)), want{action: None, silent: true}},
		{"running, and being evicted", aKJob().Running().State(running).but(func(f *Facts) {
			f.Pod.Terminating, f.Pod.Why, f.Pod.WhyMessage = true, "EvictionByEvictionAPI", "Eviction API: evicting"
		}), want{action: None, reason: ReasonStopped, says: "stopped the pod in which the job ran: EvictionByEvictionAPI, Eviction API: evicting"}},
		{"running, and being deleted", aKJob().Running().State(running).but(func(f *Facts) { f.Pod.Terminating = true }), want{action: None, reason: ReasonStopped, says: "the pod was deleted"}},
		{"running, at its deadline", aKJob().Running().State(running).but(func(f *Facts) {
			f.Pod.Terminating, f.KJob.FailReason, f.KJob.FailMessage = true, "DeadlineExceeded", "Job was active longer than specified deadline"
		}), want{action: None, reason: ReasonStopped, says: "DeadlineExceeded, Job was active longer"}},
		{"running, at a deadline that is hours away by our clock", aKJob().Running().State(running).but(early).but(func(f *Facts) { f.Pod.Terminating = true }),
			want{action: None, reason: ReasonStopped, says: "the job ran: DeadlineExceeded; by onejob's clock that was after 1m0s of 1h0m0s, so check the clock of Kubernetes' controller manager"}},
		{"running, at its deadline by our clock too", aKJob().Age(time.Hour).Running().State(running).but(early).but(func(f *Facts) { f.Pod.Terminating = true }), want{action: None, reason: ReasonStopped, says: "the job ran: DeadlineExceeded", not: "clock"}},
		{"told to stop, and not gone in time", aKJob().Running().State(reserved).but(stopping(t0.Add(-statusLag))), want{action: None, reason: ReasonStopped, says: "DeletionByTaintManager, Taint manager"}},
		{"told to stop at its deadline", aKJob().Running().State(reserved).but(stopping(t0)).but(late), want{action: None}},
		{"told to stop at its deadline, and not gone in time", aKJob().Running().State(reserved).but(stopping(t0.Add(-statusLag))).but(late), want{action: Finish, reason: ReasonDeadline, status: -1, says: "DeletionByTaintManager, Taint manager"}},
		{"told to stop at its deadline, and not gone in time, never started", aKJob().Waiting("ImagePullBackOff", "no", 0).State(reserved).but(stopping(t0.Add(-statusLag))).but(late), want{action: Finish, reason: ReasonDeadline, status: -1, says: "DeletionByTaintManager"}},
		{"told to stop at its deadline, and not gone in time, state old", aKJob().Running().State(reserved).but(stopping(t0.Add(-statusLag))).but(late).but(func(f *Facts) { f.ToldAt = t0.Add(-time.Minute) }), want{action: Ask, reason: ReasonDeadline}},
		{"told to stop, and never started", aKJob().Age(15 * time.Minute).State(reserved).but(onNode).but(stopping(t0)), want{action: None}},
		{"told to stop, never started, and not gone in time", aKJob().Age(time.Hour).State(reserved).but(onNode).but(stopping(t0.Add(-statusLag))), want{action: None, reason: ReasonStopped, says: "if node node is gone for good, delete it (kubectl delete node)"}},
		{"cancelled while pending", aKJob().State(canceled), want{action: Delete, reason: ReasonOver}},
		{"cancelled, podless", aKJob().Podless().State(canceled), want{action: Delete, reason: ReasonOver}},
		{"finished so fast that its pod's status is late", aKJob().State(finished).but(func(f *Facts) { f.Pod.Node, f.EndedAt = "node", t0.Add(-50*time.Second) }), want{action: None}},
		{"finished by us, its image can't be pulled", aKJob().Ended().Waiting("ImagePullBackOff", "no", time.Hour).State(finished), want{action: Delete, reason: ReasonOver}},
		{"finished long ago, and its pod starts yet", aKJob().State(finished).but(func(f *Facts) { f.Pod.Node, f.EndedAt = "node", t0.Add(-time.Minute) }), want{action: Delete, reason: ReasonOver}},
		{"cancelled while its runner waits to be let in", aKJob().Running().State(canceled), want{action: Delete, reason: ReasonOver}},
		{"cancelled while it ran, the runner takes its leave", aKJob().Running().Ended().State(canceled).but(func(f *Facts) { f.HeldAt = t0.Add(-time.Minute) }), want{action: None}},
		{"over, the runner takes its leave", aKJob().Running().Ended().State(finished), want{action: None}},
		{"over for long, and the pod goes on", aKJob().Running().State(finished).but(func(f *Facts) { f.EndedAt = t0.Add(-3 * time.Minute) }), want{action: Delete, reason: ReasonOutlived, says: "the job is over but its pod still ran; onejob deletes the pod"}},
		{"taken by another agent", aKJob().State(running), want{action: Delete, reason: ReasonTaken}},
		{"held, perhaps by this very pod", aKJob().State(running).but(func(f *Facts) { f.Pod.Node = "node" }), want{action: None}},
		{"held, and the image can't be pulled yet", aKJob().Waiting("ImagePullBackOff", "no", time.Hour).State(running).but(func(f *Facts) { f.HeldAt = t0.Add(-50 * time.Second) }), want{action: None, reason: ReasonTaken}},
		{"held, and the image can't be pulled, as was last said before", aKJob().Waiting("ImagePullBackOff", "no", time.Hour).State(running).but(func(f *Facts) { f.HeldAt, f.StuckAt = t0.Add(-50*time.Second), t0.Add(-40*time.Second) }), want{action: None, reason: ReasonTaken}},
		{"held, and the image can't be pulled, as is said since", aKJob().Waiting("ImagePullBackOff", "no", time.Hour).State(running).but(func(f *Facts) { f.HeldAt, f.StuckAt = t0.Add(-50*time.Second), t0.Add(-30*time.Second) }), want{action: Delete, reason: ReasonTaken}},
		{"held, and the image still can't be pulled", aKJob().Waiting("ImagePullBackOff", "no", time.Hour).State(running).but(func(f *Facts) { f.HeldAt = t0.Add(-time.Minute) }), want{action: None, reason: ReasonTaken, says: "another agent seems to have the job; pod p waits on node node. onejob keeps the pod until its node reports again (image reg/x:1)"}},
		{"unknown to Buildkite", aKJob().State(stacks.StateUnknown), want{action: Delete, reason: ReasonUnknown}},
		{"unknown to Buildkite, but it runs", aKJob().Running().State(stacks.StateUnknown), want{action: None}},
		{"never asked", aKJob(), want{action: None, reason: ReasonPending}},
		{"its pod gone with a message, the job over, and no end to it yet", aKJob().Exits(0).State(finished).but(gonePod), want{action: None, reason: ReasonFinished, again: later(stuckGrace)}},
		{"its pod gone with a message, the job over, and no end to it", aKJob().Exits(0).State(finished).but(gonePod).but(ago(stuckGrace)), want{action: Delete, reason: ReasonUnended}},
		{"its pod over, the job too, and no end to it yet", aKJob().Exits(0).State(finished).but(unended).but(ago(stuckGrace)), want{action: None, reason: ReasonFinished, again: t0.Add(endGrace - stuckGrace)}},
		{"its pod over, the job too, and no end to it", aKJob().Exits(0).State(finished).but(unended).but(ago(endGrace)), want{action: Delete, reason: ReasonUnended}},
		{"75, and no end to its kjob yet", aKJob().Exits(75).State(reserved).but(unended), want{action: None, reason: ReasonExhausted, again: later(stuckGrace)}},
		{"75, and no end to its kjob", aKJob().Exits(75).State(reserved).but(unended).but(ago(stuckGrace)), want{action: Delete, reason: ReasonUnended, says: "does not end, so onejob deletes it; the runner's last message: the runner's words"}},
		{"offered again, and no end to its kjob", aKJob().Exits(0).State(scheduled).but(unended).but(ago(time.Hour)), want{action: None, reason: ReasonOfferAgain}},
		{"held by another, and no end to its kjob", aKJob().Exits(75).State(running).but(unended).but(ago(time.Hour)), want{action: None, reason: ReasonExhausted}},
		{"its pod gone with a message, and no end to it, state old", aKJob().Exits(0).StateBefore(running).but(gonePod).but(ago(stuckGrace)).but(func(f *Facts) { f.StateAt = t0.Add(-time.Hour) }), want{action: Ask, reason: ReasonUnended}},
		{"its pod gone with a message, and Buildkite doesn't know the job", aKJob().Exits(0).State(stacks.StateUnknown).but(gonePod).but(ago(stuckGrace)), want{action: Delete, reason: ReasonUnended}},
		{"over, when its job has been for long", aKJob().Exits(0).State(finished).but(gonePod).but(func(f *Facts) { f.EndedAt = t0.Add(-time.Hour) }), want{action: None, reason: ReasonFinished, again: later(stuckGrace)}},
		{"its pod gone, and no end to it yet", aKJob().Podless().State(reserved).but(func(f *Facts) { f.KJob.PodSeen, f.FailingSince = true, t0.Add(-stuckGrace/2) }), want{action: None}},
		{"its pod gone, and no end to it", aKJob().Podless().State(reserved).but(func(f *Facts) { f.KJob.PodSeen, f.FailingSince = true, t0.Add(-stuckGrace) }), want{action: Delete, reason: ReasonUnended, says: "its Kubernetes Job does not end"}},
		{"suspended by Kueue", aKJob().Podless().State(reserved).but(func(f *Facts) { f.KJob.Suspended = true }), want{action: None, reason: ReasonSuspended, says: "waits to be admitted"}},
		{"suspended after its pod started", aKJob().Running().State(reserved).but(func(f *Facts) { f.KJob.Suspended = true }), want{action: Delete, reason: ReasonSuspended}},
		{"suspended and its pod over", aKJob().Exits(143).State(reserved).but(func(f *Facts) { f.KJob.Suspended, f.KJob.Finished = true, false }), want{action: Delete, reason: ReasonSuspended}},
		{"podless for a moment", aKJob().Podless().Age(5 * time.Second).State(reserved), want{action: None, reason: ReasonNoPod}},
		{"podless, and not for long yet", aKJob().Podless().Age(podlessGrace - time.Second).State(reserved), want{action: None, reason: ReasonNoPod, silent: true}},
		{"podless for long", aKJob().Podless().Age(podlessGrace).State(reserved), want{action: None, reason: ReasonNoPod, says: "not created a pod"}},
		{"podless", aKJob().Podless().State(reserved), want{action: None, reason: ReasonNoPod, says: "not created a pod"}},
		{"podless for a quota", aKJob().Podless().State(reserved).but(func(f *Facts) { f.Warnings = []Warning{{"FailedCreate", "exceeded quota: pods"}} }), want{action: None, reason: ReasonAdmission, says: "exceeded quota"}},
		{"podless for Pod Security", aKJob().Podless().State(reserved).but(func(f *Facts) { f.Warnings = []Warning{{"FailedCreate", `violates PodSecurity "restricted:latest"`}} }), want{action: Finish, reason: ReasonAdmission, status: -1, says: "violates PodSecurity"}},
		{"podless for its priority class", aKJob().Podless().State(reserved).but(func(f *Facts) {
			f.Warnings = []Warning{{"FailedCreate", `pods "x" is forbidden: no PriorityClass with name urgent was found`}}
		}), want{action: Finish, reason: ReasonAdmission, status: -1, says: "no PriorityClass with name urgent"}},
		{"podless for its runtime class", aKJob().Podless().State(reserved).but(func(f *Facts) {
			f.Warnings = []Warning{{"FailedCreate", `pods "x" is forbidden: pod rejected: RuntimeClass "gvisor" not found`}}
		}), want{action: Finish, reason: ReasonAdmission, status: -1, says: "gvisor"}},
		{"podless for a limit range", aKJob().Podless().State(reserved).but(func(f *Facts) {
			f.Warnings = []Warning{{"FailedCreate", `pods "x" is forbidden: maximum memory usage per Container is 1Gi, but limit is 4Gi`}}
		}), want{action: Finish, reason: ReasonAdmission, status: -1, says: "maximum memory usage"}},
		{"podless for a quota, for long", aKJob().Podless().Age(24 * time.Hour).State(reserved).but(overQuota), want{action: None, reason: ReasonAdmission, says: "waiting to start: Kubernetes can't create the pod yet: exceeded quota: q"}},
		{"podless for a quota, and the time for that is over", aKJob().Podless().Age(time.Hour).State(reserved).but(overQuota).but(mayWait(time.Hour)), want{action: Finish, reason: ReasonAdmission, status: -1, says: "did not admit the pod within 1h0m0s (suspended-timeout): Kubernetes can't create the pod yet: exceeded quota: q"}},
		{"podless for long, why unread", aKJob().Podless().Age(time.Hour).State(reserved), want{action: None, reason: ReasonNoPod, again: t0.Add(StateFresh), silent: true}},
		{"podless for long, why read", aKJob().Podless().Age(time.Hour).State(reserved).but(events(0)), want{action: Finish, reason: ReasonNoPod, status: -1, says: "not created a pod"}},
		{"podless for long, why not to be read", aKJob().Podless().Age(time.Hour).State(reserved).but(deaf(2 * time.Minute)), want{action: Finish, reason: ReasonNoPod, status: -1}},
		{"suspended for long", aKJob().Podless().Age(24 * time.Hour).State(reserved).but(suspend), want{action: None, reason: ReasonSuspended, says: "waiting to start: the Kubernetes Job is suspended and waits to be admitted"}},
		{"suspended just now", aKJob().Podless().Age(time.Second).State(reserved).but(suspend), want{action: None, reason: ReasonSuspended, again: t0.Add(NoticeAfter - time.Second), silent: true}},
		{"suspended, by Kueue's queue", aKJob().Podless().State(reserved).but(suspend).but(func(f *Facts) { f.KJob.Holder = "queue ci of Kueue" }), want{action: None, reason: ReasonSuspended, says: "suspended and waits to be admitted (queue ci of Kueue)"}},
		{"suspended, and Kueue says why", aKJob().Podless().State(reserved).but(suspend).but(func(f *Facts) { f.KJob.Holder, f.Admission = "queue ci of Kueue", "Kueue: no room" }), want{action: None, reason: ReasonSuspended, says: "suspended and waits to be admitted: Kueue: no room"}},
		{"suspended, and it has its end", aKJob().Podless().State(reserved).but(suspend).but(mayWait(time.Hour)), want{action: None, reason: ReasonSuspended, again: t0.Add(59 * time.Minute), says: "waits to be admitted"}},
		{"suspended, and its end has come", aKJob().Podless().Age(time.Hour).State(reserved).but(suspend).but(mayWait(time.Hour)), want{action: Finish, reason: ReasonSuspended, status: -1, says: "did not admit the pod within 1h0m0s (suspended-timeout): the Kubernetes Job is suspended"}},
		{"suspended, and its end has come, state old", aKJob().Podless().Age(time.Hour).but(suspend).but(mayWait(time.Hour)), want{action: Ask, reason: ReasonSuspended}},
		{"suspended again a while ago", aKJob().Podless().Age(2 * time.Hour).State(reserved).but(suspend).but(mayWait(time.Hour)).but(func(f *Facts) { f.KJob.SuspendedAt = t0.Add(-time.Minute) }), want{action: None, reason: ReasonSuspended, again: t0.Add(59 * time.Minute), says: "waits"}},
		{"suspended, and cancelled", aKJob().Podless().Age(time.Hour).State(canceled).but(suspend), want{action: Delete, reason: ReasonOver}},
		{"suspended, and another agent has it", aKJob().Podless().Age(time.Hour).State(running).but(suspend), want{action: Delete, reason: ReasonTaken}},
		{"let in after long, Kubernetes hasn't said so", aKJob().Podless().Age(time.Hour).State(reserved).but(events(0)).but(func(f *Facts) { f.LetInAt = t0.Add(-time.Minute) }), want{action: None, reason: ReasonNoPod}},
		{"its pod was let in after long", aKJob().Age(time.Hour).State(reserved).but(func(f *Facts) { f.Pod.CreatedAt = t0.Add(-time.Minute) }), want{action: None, reason: ReasonPending, again: t0.Add(14 * time.Minute)}},
		{"its pod was let in long ago", aKJob().Age(time.Hour).State(reserved).but(func(f *Facts) { f.Pod.CreatedAt = t0.Add(-15 * time.Minute) }), want{action: Finish, reason: ReasonPending, status: -1}},
		{"podless for a quota on limits", aKJob().Podless().State(reserved).but(func(f *Facts) {
			f.Warnings = []Warning{{"FailedCreate", `pods "x" is forbidden: failed quota: q: must specify limits.cpu for: agent`}}
		}), want{action: Finish, reason: ReasonAdmission, status: -1, says: "must specify limits.cpu"}},
		{"pulling slowly, on a node that came late", aKJob().State(reserved).but(func(f *Facts) {
			f.Pod.Node, f.Warnings = "node", []Warning{{"FailedScheduling", "0/3 nodes are available"}}
		}), want{action: None, reason: ReasonPending}},
		{"podless for Pod Security, state old", aKJob().Podless().but(func(f *Facts) { f.Warnings = []Warning{{"FailedCreate", `violates PodSecurity "restricted:latest"`}} }), want{action: Ask, reason: ReasonAdmission}},
		{"pulling slowly", aKJob().Age(10 * time.Minute).State(reserved), want{action: None, reason: ReasonPending}},
		{"one failed pull after a slow one", aKJob().Age(10*time.Minute).Waiting("ErrImagePull", "EOF", time.Second).State(reserved), want{action: None, reason: ReasonImage, says: "EOF"}},
		{"failed pulls", aKJob().Waiting("ImagePullBackOff", "not found", 2*time.Minute).State(reserved), want{action: Finish, reason: ReasonImage, status: -1, says: "(image reg/x:1): check that it exists and that the pod may pull it. not found"}},
		{"failed pulls, Events not read", aKJob().Waiting("ImagePullBackOff", "not found", 2*time.Minute).State(reserved).but(events(time.Hour)), want{action: None, reason: ReasonImage, says: "waiting to start: ImagePullBackOff (image reg/x:1): check that it exists and that the pod may pull it. not found"}},
		{"failed pulls, Events old", aKJob().Waiting("ImagePullBackOff", "not found", 2*time.Minute).State(reserved).but(events(StateFresh + 1)), want{action: None, reason: ReasonImage, says: "not found"}},
		{"failed pulls, state old", aKJob().Waiting("ImagePullBackOff", "not found", 2*time.Minute), want{action: Ask, reason: ReasonImage}},
		{"failed pulls for longer than it may pend, Events not read", aKJob().Age(15*time.Minute).Waiting("ImagePullBackOff", "not found", 2*time.Minute).State(reserved).but(events(time.Hour)), want{action: Finish, reason: ReasonImage, status: -1, says: "within 15m0s: ImagePullBackOff (image reg/x:1): check that it exists and that the pod may pull it. not found"}},
		{"failed pulls, Events that can't be read", aKJob().Waiting("ImagePullBackOff", "not found", 2*time.Minute).State(reserved).but(events(time.Hour)).but(deaf(30 * time.Second)), want{action: None, reason: ReasonImage, says: "waiting to start: ImagePullBackOff"}},
		{"failed pulls, Events that can't be read for long", aKJob().Waiting("ImagePullBackOff", "not found", 2*time.Minute).State(reserved).but(events(time.Hour)).but(deaf(2 * time.Minute)), want{action: Finish, reason: ReasonImage, status: -1, says: "(image reg/x:1): check that it exists and that the pod may pull it. not found"}},
		{"failed pulls, and the API server was away", aKJob().Age(4*time.Minute).Waiting("ImagePullBackOff", "not found", 3*time.Minute).State(reserved).but(mended(30 * time.Second)), want{action: None, reason: ReasonImage, again: t0.Add(30 * time.Second), says: "waiting to start: ImagePullBackOff"}},
		{"failed pulls, and the API server was away long ago", aKJob().Age(4*time.Minute).Waiting("ImagePullBackOff", "not found", 3*time.Minute).State(reserved).but(mended(2 * time.Minute)), want{action: Finish, reason: ReasonImage, status: -1}},
		{"a bad image name, and the API server was away", aKJob().Waiting("InvalidImageName", "bad", time.Minute).State(reserved).but(mended(time.Second)), want{action: Finish, reason: ReasonImage, status: -1}},
		{"for too long, but the API server was away", aKJob().Age(15 * time.Minute).State(reserved).but(onNode).but(mended(30 * time.Second)), want{action: None, reason: ReasonPending, again: t0.Add(30 * time.Second), says: "waiting to start: node node is preparing"}},
		{"pulled again", aKJob().Age(4*time.Minute).Waiting("ErrImagePull", "EOF", 3*time.Minute).State(reserved).but(pulling), want{action: None, reason: ReasonImage, says: "waiting to start: image reg/x:1 is being pulled again (a large image takes time), after ErrImagePull: EOF"}},
		{"pulled again, by Events that are old", aKJob().Age(4*time.Minute).Waiting("ErrImagePull", "EOF", 3*time.Minute).State(reserved).but(pulling).but(events(WarningsEvery + 1)), want{action: None, reason: ReasonImage, says: "ErrImagePull (image reg/x:1): check that it exists and that the pod may pull it. EOF"}},
		{"pulled again for too long", aKJob().Age(15*time.Minute).Waiting("ErrImagePull", "EOF", 14*time.Minute).State(reserved).but(pulling), want{action: Finish, reason: ReasonImage, status: -1, says: "within 15m0s: image reg/x:1 is being pulled again"}},
		{"pulled again, within the grace", aKJob().Waiting("ErrImagePull", "EOF", time.Minute).State(reserved).but(pulling), want{action: None, reason: ReasonImage, says: "ErrImagePull (image reg/x:1): check that it exists and that the pod may pull it. EOF"}},
		{"bad image name", aKJob().Age(time.Second).Waiting("InvalidImageName", "bad", 0).State(reserved), want{action: Finish, reason: ReasonImage, status: -1}},
		{"missing secret", aKJob().Waiting("CreateContainerConfigError", `secret "x" not found`, time.Minute).State(reserved), want{action: Finish, reason: ReasonContainer, status: -1, says: `secret "x" not found`}},
		{"missing secret, just now", aKJob().Waiting("CreateContainerConfigError", `secret "x" not found`, time.Second).State(reserved), want{action: None, reason: ReasonContainer}},
		{"no grace for images, and a Secret that the kubelet has yet to read", aKJob().Waiting("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition", 3*time.Second).State(reserved).but(noImageGrace), want{action: None, reason: ReasonContainer}},
		{"no grace for images, and a volume", aKJob().State(reserved).but(noImageGrace).but(func(f *Facts) {
			f.Pod.Node, f.Warnings, f.FailingSince = "node", []Warning{{"FailedMount", `configmap "kube-root-ca.crt" not found`}}, t0.Add(-3*time.Second)
		}), want{action: None, reason: ReasonContainer, says: "kube-root-ca.crt"}},
		{"no grace for images", aKJob().Waiting("ErrImagePull", "EOF", time.Second).State(reserved).but(noImageGrace), want{action: Finish, reason: ReasonImage, status: -1}},
		{"missing secret volume", aKJob().State(reserved).but(func(f *Facts) {
			f.Pod.Node, f.Warnings, f.FailingSince = "node", []Warning{{"FailedMount", `secret "x" not found`}}, t0.Add(-time.Second)
		}), want{action: None, reason: ReasonContainer, says: `secret "x" not found`}},
		{"missing secret volume, still", aKJob().State(reserved).but(func(f *Facts) {
			f.Pod.Node, f.Warnings, f.FailingSince = "node", []Warning{{"FailedMount", `secret "x" not found`}}, t0.Add(-2*time.Minute)
		}), want{action: Finish, reason: ReasonContainer, status: -1, says: `secret "x" not found (check the volumes`}},
		{"a volume of a CSI driver that isn't there yet", aKJob().State(reserved).but(func(f *Facts) {
			f.Pod.Node, f.Warnings, f.FailingSince = "node", []Warning{{"FailedMount", "driver name ebs.csi.aws.com not found in the list of registered CSI drivers"}}, t0.Add(-2*time.Minute)
		}), want{action: None, reason: ReasonPending, says: "ebs.csi.aws.com not found"}},
		{"unschedulable", aKJob().State(reserved).but(func(f *Facts) { f.Pod.Unschedulable = "0/3 nodes" }), want{action: None, reason: ReasonPending, says: "0/3 nodes"}},
		{"unschedulable for too long", aKJob().Age(15 * time.Minute).State(reserved).but(func(f *Facts) { f.Pod.Unschedulable = "0/3 nodes" }), want{action: Finish, reason: ReasonPending, status: -1, says: "0/3 nodes"}},
		{"on its node for a while, without a word", aKJob().State(reserved).but(onNode), want{action: None, reason: ReasonPending, says: "node node is preparing its containers"}},
		{"on its node for too long, without a word", aKJob().Age(15 * time.Minute).State(reserved).but(onNode), want{action: Finish, reason: ReasonPending, status: -1, says: "within 15m0s: node node is preparing its containers (a large image takes time)"}},
		{"podless for its service account", aKJob().Podless().State(reserved).but(func(f *Facts) {
			f.Warnings = []Warning{{"FailedCreate", `pods "x" is forbidden: error looking up service account ci/robot: serviceaccount "robot" not found`}}
		}), want{action: Finish, reason: ReasonAdmission, status: -1, says: `serviceaccount "robot" not found`}},
		{"podless for its service account, which can't be looked up now", aKJob().Podless().State(reserved).but(func(f *Facts) {
			f.Warnings = []Warning{{"FailedCreate", `pods "x" is forbidden: error looking up service account ci/robot: etcdserver: request timed out`}}
		}), want{action: None, reason: ReasonAdmission, says: "etcdserver"}},
		{"resumed late", aKJob().Age(time.Hour).State(reserved).but(func(f *Facts) { f.KJob.ResumedAt = t0.Add(-time.Minute) }), want{action: None, reason: ReasonPending}},
		{"a remark of the kubelet's", aKJob().State(reserved).but(func(f *Facts) { f.Warnings = []Warning{{"MissingClusterDNS", "none"}} }), want{action: None, reason: ReasonPending}},
		{"a volume that can't be mounted", aKJob().State(reserved).but(func(f *Facts) { f.Warnings = []Warning{{"FailedMount", "no such PVC"}} }), want{action: None, reason: ReasonPending, says: "FailedMount: no such PVC"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := On(tt.facts.Facts)
			if got.Action != tt.want.action || got.Reason != tt.want.reason || got.ExitStatus != tt.want.status || !got.NotBefore.Equal(tt.want.at) || !tt.want.again.IsZero() && !got.Again.Equal(tt.want.again) || !strings.Contains(got.Text, tt.want.says) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
			if tt.want.not != "" && strings.Contains(got.Text, tt.want.not) {
				t.Errorf("it says %q, want nothing of %q", got.Text, tt.want.not)
			}
			if tt.want.silent && got.Text != "" {
				t.Errorf("it says %q, want nothing", got.Text)
			}
			if got.Action == Finish && got.Text == "" {
				t.Error("a job is finished without a word")
			}
			if !got.Again.IsZero() && !got.Again.After(t0) {
				t.Errorf("to be looked at again at %s, which is past: a hot loop", got.Again)
			}
		})
	}
}
