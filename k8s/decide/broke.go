package decide

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// Failure is the end of a container that failed by itself: an init container, or an
// agent container whose program is no runner.
type Failure struct {
	Container string
	ExitCode  int
	// Last is the end of its termination message, or of its log.
	Last string
}

// failureOf is a container's end, if it is its own. Whoever is killed (137, 143) isn't
// the one that failed, but where its own limit killed it; one that the kubelet lost
// sight of has no end that is known; and a runner's own codes say what comes next.
func failureOf(name string, end *corev1.ContainerStateTerminated) Failure {
	code := int(end.ExitCode)
	killed := (code == 137 || code == 143) && end.Reason != "OOMKilled"
	runners := name == contract.AgentContainer && contract.WithoutJob(code)
	if code == 0 || killed || runners || end.Reason == "ContainerStatusUnknown" {
		return Failure{}
	}
	return Failure{contract.Word(name), code, lastLines(end.Message)}
}

// fault is the failure as a node's faults have it: two that are equal are one failure.
func (f Failure) fault() string {
	if f.Container == "" {
		return ""
	}
	return fmt.Sprintf("exit/%s/%d", f.Container, f.ExitCode)
}

// decideBroke is for a pod that failed by itself before there was a runner, while its
// job can be had. It is tried once more, rather on another node and a while later;
// what fails the same way then would do so for ever.
func decideBroke(f Facts) Decision {
	b := f.Pod.Broke
	if !f.Faults.had(b.fault()) {
		return attempt(f, lostFor(f), 0, fmt.Sprintf("the pod of attempt %d %s%s", f.Attempt, LostBefore, Loss(f)))
	}
	text := fmt.Sprintf("container %s ended with exit code %d in two pods, the last of them on node %s, before there was a runner; another pod would do the same (check it in the queue's template)",
		b.Container, b.ExitCode, f.Pod.Node)
	if b.Last != "" {
		text += ". Its last words: " + b.Last
	}
	return finish(ReasonContainer, text)
}

// lastLines is the end of a container's message, printable: the last lines that
// say something.
func lastLines(message string) string {
	const lines, width = 3, 400
	var last []string
	for line := range strings.SplitSeq(message, "\n") {
		if line = contract.Line(line, width); line != "" {
			last = append(last, line)
		}
	}
	return strings.Join(last[max(0, len(last)-lines):], " | ")
}
