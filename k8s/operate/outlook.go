package operate

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
)

// adviceFinished is for a job that onejob finishes.
const adviceFinished = "mend what it says, then retry the job on Buildkite"

// outlook says what is being waited for, with the scheduler's own decision, or
// of a job without a kjob with what it said last.
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
		return "Buildkite's state decides what comes next, and it is not known: " + s.StateError, "give --config and a token"
	case decide.Finish:
		return "the job will be finished: " + d.Text, adviceFinished
	case decide.Delete:
		return "its kjob will be deleted: " + string(d.Reason), "nothing"
	}
	phase, reason := decide.PhaseOf(f.KJob, f.Pod)
	now = strings.TrimSuffix("the last attempt is "+phase+": "+reason, ": ")
	if d.Text != "" {
		now = d.Text
	}
	switch {
	case d.Again.IsZero(), f.State.Held(), f.State.Over(), f.KJob.Terminating, f.Pod.Over(), f.Podless():
		return now, "nothing"
	}
	return now, "mend what it says, or wait; the job is finished with this reason if the pod doesn't start in time (pending-timeout, image-grace)"
}

// outlookKeptOut is for a kjob that somebody holds: what to do about it isn't onejob's to
// say.
func outlookKeptOut(f decide.Facts, d decide.Decision) (now, advice string) {
	if now = d.Text; now == "" {
		now = "waiting to be let in"
	}
	now += ", since " + clock(f.KeptOutSince())
	if most := f.Policy.SuspendedTimeout; most > 0 {
		return now, fmt.Sprintf("wait, or ask who holds it; the job is finished if it isn't let in within %s (suspended-timeout)", most)
	}
	return now, "wait, or ask who holds it; pending-timeout begins when it is let in"
}

// outlookAlive is that while the pod of an unfinished kjob stops, or runs; empty if it
// does neither, or the decision says more.
func outlookAlive(f decide.Facts, d decide.Decision) (now, advice string) {
	stopping := f.Pod.Terminating && f.State.Offered()
	switch {
	case stopping && d.Waiting:
		return d.Text, "look at its node; if that is dead, delete the Node object or taint it node.kubernetes.io/out-of-service"
	case stopping && d.Action == decide.None:
		return "the end of the pod, which was told to stop: " + decide.StopReason(f), "nothing"
	case !f.Pod.Runs(), f.Pod.Over():
		return "", ""
	case f.State.Over():
		return "the pod's end: the job is " + string(f.State), "nothing: a pod that goes on is deleted"
	case d.Waiting:
		return d.Text, "look at the pod's log, and at the image and the command in the queue's template"
	}
	switch d.Action {
	case decide.None, decide.Ask:
		return "the runner is at work", "nothing"
	}
	return "", ""
}

func outlookWithoutKjob(s Story, said corev1.Event) (now, advice string) {
	notCreated := said.Reason == events.Waiting && events.Told(said).Reason == decide.ReasonNotCreated
	switch {
	case s.State.Offered() && notCreated:
		return "its kjob is " + said.Message, "mend what it says, or wait; `onejob reacquire` would be refused as well"
	case s.State.Offered():
		return "the job waits for a free slot, or for a scheduler that serves its queue", "look at max-in-flight, at the queue's tags and at whether the queue is paused; `onejob reacquire` makes a kjob at once"
	case s.State.Over() && said.Reason == events.Finished:
		return "nothing: the job is " + string(s.State) + ": " + said.Message, adviceFinished
	case s.State.Over() && len(s.Lines) > 0:
		return "nothing: the job is " + string(s.State) + ", and its kjobs are gone", "nothing"
	case s.State != "":
		return "the job is " + string(s.State) + " and has no kjob in this namespace", "nothing: another stack or agent has it, or its kjobs' time to live is over"
	}
	now = "there is no kjob, and Buildkite's state is not known: " + s.StateError
	if said.Message != "" {
		now += "; onejob's last word on it: " + said.Message
	}
	return now, "see that a scheduler serves the queue, that --config and a token are given, and that the namespace is right; `onejob reacquire` needs no scheduler"
}
