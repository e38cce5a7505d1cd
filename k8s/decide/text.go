package decide

import (
	"fmt"
	"strings"

	"github.com/onejob-dev/onejob/contract"
)

// said is a sentence about an attempt, with the runner's own reason.
func said(f Facts, what string) string {
	s := fmt.Sprintf("attempt %d %s", f.Attempt, what)
	if m := f.Pod.Message; m != nil && m.Reason != "" {
		s += ": " + m.Reason
	}
	return s
}

// LostBefore follows the name of a pod.
const LostBefore = "was lost before it acquired the job: "

// Unexplained: the runner was stopped, and neither pod nor kjob say why. A pod that the
// kubelet evicts and that ends in good order loses the reason; its Events keep it.
func (f Facts) Unexplained() bool {
	if m := f.Pod.Message; m == nil || m.Received == "" {
		return false
	}
	return f.Pod.Why == "" && f.KJob.cause() == ""
}

// EventIsLate: no Event explains that yet, and one may still come, for kubelets tell of
// evictions late. Of a pod that somebody deleted there is none to wait for.
func (f Facts) EventIsLate() bool {
	if !f.Unexplained() || f.Pod.Terminating || f.Pod.Deleted || f.Now.After(f.EndedAt.Add(eventLag)) {
		return false
	}
	why, _ := stopWhy(f)
	return why == ""
}

// StopReason is what Kubernetes says about a pod that is being deleted.
func StopReason(f Facts) string {
	switch why, message := stopWhy(f); {
	case why == "":
		return "the pod was deleted"
	case message == "":
		return why
	default:
		return why + ", " + contract.Line(message, 600)
	}
}

// stopped says why Kubernetes stops a job's pod, or did.
func stopped(f Facts, r Reason) Decision {
	why, _ := stopWhy(f)
	return Decision{Action: None, Reason: r, Topic: topicStopped.of(why), Text: "Kubernetes stopped the pod in which the job ran: " + StopReason(f) + f.earlyDeadline()}
}

// stopWhy is Kubernetes' reason for that, empty if it gives none.
func stopWhy(f Facts) (why, message string) {
	switch {
	case f.Pod.Why != "":
		return f.Pod.Why, f.Pod.WhyMessage
	case f.KJob.cause() != "":
		return f.KJob.cause(), f.KJob.FailMessage
	}
	for _, w := range f.Warnings {
		switch w.Reason {
		case "Evicted", "Preempting", "NodeShutdown":
			return w.Reason, w.Message
		}
	}
	return "", ""
}

// lingering is the Event's text about an attempt whose kjob is deleted because other
// containers run on.
func lingering(f Facts) string {
	what := "a native sidecar"
	if f.Pod.Helper != "" {
		what = "container " + f.Pod.Helper
	}
	phase, reason := PhaseOf(f.KJob, f.Pod)
	return fmt.Sprintf("%s of pod %s had not ended when the agent container ended; attempt %d is %s", what, f.Pod.Name, f.Attempt, Phrase(phase, reason))
}

// deadNode says what to do about a pod that stays on its node.
func deadNode(node string) string {
	return fmt.Sprintf("if node %s is gone for good, delete it (kubectl delete node)", node)
}

// aside explains a reported result that doesn't say by itself why the job was stopped
// or killed.
func aside(f Facts) (Topic, string) {
	p := f.Pod
	switch {
	case p.Why == "OOMKilled":
		return topicOutOfMemory, fmt.Sprintf("a process of the job was killed because the container ran out of memory (OOMKilled%s); the limit is in the queue's template: raise limits.memory", p.usedAt(true))
	case p.OutOfMemory != "":
		return topicOutOfMemory, fmt.Sprintf("a process of the job was killed because its container ran out of memory (OOMKilled%s, container %s); the limit is the step's or the queue's template's: raise limits.memory", p.usedAt(false), p.OutOfMemory)
	case p.Message.SessionLost:
		return topicSessionLost, said(f, "lost its session with Buildkite, so it stopped the job")
	case p.Message.Received == "":
		return p.verdict()
	}
	if why, _ := stopWhy(f); why == "" && !p.Terminating && !p.Deleted {
		return p.verdict()
	}
	d := stopped(f, ReasonFinished)
	return d.Topic, d.Text
}

// Ahead says how far back a job is that waits for a slot; most is 0 for no limit.
func Ahead(jobs, held, most int) string {
	what := "jobs"
	if jobs == 1 {
		what = "job"
	}
	slots := fmt.Sprintf("%d of %d slots in use", held, most)
	if most == 0 {
		slots = fmt.Sprintf("%d slots in use", held)
	}
	return fmt.Sprintf("waiting to be started: %d %s ahead, %s", jobs, what, slots)
}

// NotCreated is for a job whose Kubernetes Job the API server doesn't accept for now.
func NotCreated(why string) Decision {
	return Decision{Action: None, Reason: ReasonNotCreated, Waiting: true, Text: "waiting to be created: " + why}
}

// Loss is what Kubernetes says about a pod's end.
func Loss(f Facts) string {
	p, parts := f.Pod, []string(nil)
	if p.Why != "" {
		parts = append(parts, p.Why+p.atLimit())
	}
	if p.Exited {
		parts = append(parts, fmt.Sprintf("exit code %d", p.ExitCode))
	}
	switch {
	case len(parts) > 0:
	case f.KJob.cause() != "":
		parts = append(parts, strings.TrimSuffix(f.KJob.cause()+", "+f.KJob.FailMessage, ", "))
	case f.KJob.FailReason != "" && p.WhyMessage == "" && !p.Deleted:
		parts = append(parts, unseenFailure)
	}
	if p.WhyMessage != "" {
		parts = append(parts, contract.Line(p.WhyMessage, 600))
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, ", ")
	case p.Phase == "" || p.Deleted:
		return "the pod was deleted"
	default:
		return "phase " + string(p.Phase)
	}
}

// PhaseOf is the phase of an attempt in one word, and the reason in a few more.
func PhaseOf(k KJob, p Pod) (phase, reason string) {
	switch {
	case p.Message != nil:
		if p.Message.Code() == contract.ExitOK {
			return "done", OutcomeOf(p.Message)
		}
		return "ended", OutcomeOf(p.Message)
	case k.Terminating:
		return "deleting", ""
	case p.Lost():
		return "lost", end(k, p)
	case k.Succeeded:
		return "done", ""
	case k.Finished:
		return "failed", end(k, p)
	case k.Suspended:
		return "suspended", ""
	case p.Runs():
		return "running", ""
	case p.Phase == "" && k.PodSeen:
		return "lost", "its pod is gone"
	case p.Phase == "":
		return "created", "no pod yet"
	case p.Unschedulable != "":
		return "pending", p.Unschedulable
	case p.Waiting != "":
		return "pending", p.Waiting + ": " + p.WaitingMessage
	default:
		return "pending", ""
	}
}

// OutcomeOf is the runner's result in a few words.
func OutcomeOf(m *contract.Message) string {
	s := string(m.Outcome)
	if m.ExitStatus != nil {
		s += fmt.Sprintf(", exit status %d", *m.ExitStatus)
	}
	if m.Reason != "" {
		s += ": " + m.Reason
	}
	return s
}
