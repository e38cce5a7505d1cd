package operate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
)

// adviceFinished is for a job that onejob finishes.
const adviceFinished = "fix the cause above, then retry the job on Buildkite"

// outlook says what the job waits for, by the scheduler's own decision; for a job
// without a kjob, by onejob's last Event.
func outlook(f decide.Facts, s Story, said corev1.Event) (now, advice string) {
	if f.Attempt == 0 {
		return outlookWithoutKjob(s, said)
	}
	if f.State.Over() && f.KJob.Finished {
		return "nothing: the job is " + string(f.State), "nothing"
	}
	d := decide.On(f)
	if f.KJob.Live() {
		if now, advice := outlookAlive(f, d); now != "" {
			return now, advice
		}
	}
	if keptOut := d.Action == decide.None && f.KeptOut(); keptOut && !f.State.Held() && !f.State.Over() {
		return outlookKeptOut(f, d)
	}
	switch d.Action {
	case decide.Attempt:
		now = "a new attempt will be made"
		if d.Text != "" {
			now += ": " + d.Text
		}
		if d.NotBefore.After(f.Now) {
			now += "; not before " + clock(d.NotBefore)
		}
		return now, "nothing, or `onejob reacquire` if no scheduler runs"
	case decide.Ask:
		return "Buildkite's state of the job decides what comes next, and it is not known: " + s.StateError, "give --config and a token"
	case decide.Finish:
		return "the job will be finished: " + d.Text, adviceFinished
	case decide.Delete:
		return "its Kubernetes Job will be deleted: " + string(d.Reason), "nothing"
	}
	phase, reason := decide.PhaseOf(f.KJob, f.Pod)
	now = "the last attempt is " + decide.Phrase(phase, reason)
	if d.Text != "" {
		now = d.Text
	}
	switch {
	case d.Again.IsZero(), f.State.Held(), f.State.Over(), f.KJob.Terminating, f.Pod.Over(), f.Podless():
		return now, "nothing"
	}
	return now, "fix the cause above, or wait; if the pod doesn't start in time (pending-timeout, image-grace), onejob finishes the job with this reason"
}

// outlookKeptOut is for a kjob that somebody holds. onejob can't say what to do about
// that.
func outlookKeptOut(f decide.Facts, d decide.Decision) (now, advice string) {
	if now = d.Text; now == "" {
		now = "waiting to be admitted"
	}
	now += ", since " + clock(f.KeptOutSince())
	if most := f.Policy.SuspendedTimeout; most > 0 {
		return now, fmt.Sprintf("wait, or ask who holds it; if it isn't admitted within %s (suspended-timeout), onejob finishes the job", most)
	}
	return now, "wait, or ask who holds it; pending-timeout begins when it is admitted"
}

// outlookAlive is for an unfinished kjob whose pod runs or stops; it is empty
// otherwise, or if the decision says more.
func outlookAlive(f decide.Facts, d decide.Decision) (now, advice string) {
	stopping := f.Pod.Terminating && f.State.Offered()
	switch {
	case stopping && d.Waiting:
		return d.Text, "look at its node; if the node is dead, delete it (kubectl delete node) or taint it node.kubernetes.io/out-of-service"
	case stopping && d.Action == decide.None:
		return "waiting for the pod to end; it was told to stop: " + decide.StopReason(f), "nothing"
	case !f.Pod.Runs(), f.Pod.Over():
		return "", ""
	case f.State.Over():
		return "waiting for the pod to end: the job is " + string(f.State), "nothing: onejob deletes the pod if it does not end"
	case d.Waiting:
		return d.Text, "look at the pod's log, and at the image and the command in the queue's template"
	}
	switch d.Action {
	case decide.None, decide.Ask:
		return "the runner is working", "nothing"
	}
	return "", ""
}

func outlookWithoutKjob(s Story, said corev1.Event) (now, advice string) {
	notCreated := said.Reason == events.Waiting && events.Told(said).Reason == decide.ReasonNotCreated
	switch {
	case s.State.Offered() && notCreated:
		return "its Kubernetes Job is " + said.Message, "fix the cause above, or wait; `onejob reacquire` would be refused as well"
	case s.State.Offered():
		return "the job waits for a free slot, or for a scheduler that serves its queue", "check max-in-flight, the queue's tags, and whether the queue is paused; `onejob reacquire` makes a Kubernetes Job at once"
	case s.State.Over() && said.Reason == events.Finished:
		return "nothing: the job is " + string(s.State) + ": " + said.Message, adviceFinished
	case s.State.Over() && len(s.Lines) > 0:
		return "nothing: the job is " + string(s.State) + ", and its Kubernetes Jobs are gone", "nothing"
	case s.State != "":
		return "the job is " + string(s.State) + " and has no Kubernetes Job in this namespace", "nothing: another stack or agent has it, or its Kubernetes Jobs were deleted after their time to live"
	}
	now = "there is no Kubernetes Job, and Buildkite's state is not known: " + s.StateError
	if said.Message != "" {
		now += "; onejob's last Event about it: " + said.Message
	}
	return now, "check that a scheduler serves the queue, that --config and a token are given, and that the namespace is right; `onejob reacquire` needs no scheduler"
}
