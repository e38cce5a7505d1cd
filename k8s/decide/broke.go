package decide

import (
	"fmt"
	"regexp"
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

// failureOf is a container's end, if the container failed by itself. A container that
// was killed (137, 143) didn't, except by its own memory limit. A container that the
// kubelet lost sight of has no known end. A runner's own exit codes are decided
// elsewhere.
func failureOf(name string, end *corev1.ContainerStateTerminated) Failure {
	code := int(end.ExitCode)
	killed := (code == 137 || code == 143) && end.Reason != "OOMKilled"
	runners := name == contract.AgentContainer && contract.WithoutJob(code)
	if code == 0 || killed || runners || end.Reason == "ContainerStatusUnknown" {
		return Failure{}
	}
	return Failure{contract.Word(name), code, lastLines(end.Message)}
}

// fault is the failure as an entry of NodeFaults: equal entries are the same failure.
func (f Failure) fault() string {
	if f.Container == "" {
		return ""
	}
	return fmt.Sprintf("exit/%s/%d", f.Container, f.ExitCode)
}

// decideBroke is for a pod that failed by itself before its runner started, while
// Buildkite offers the job. It is tried once more, preferably on another node; a second
// failure of the same kind would repeat for ever.
func decideBroke(f Facts) Decision {
	b := f.Pod.Broke
	if !f.Faults.had(b.fault()) {
		return attempt(f, lostFor(f), 0, fmt.Sprintf("the pod of attempt %d %s%s", f.Attempt, LostBefore, Loss(f)))
	}
	text := fmt.Sprintf("container %s ended with exit code %d in two pods (the last one on node %s) before the runner started; another pod would fail in the same way. Check this container in the queue's template",
		b.Container, b.ExitCode, f.Pod.Node)
	if b.Last != "" {
		text += lastOutput + b.Last
	}
	return finish(ReasonContainer, text)
}

// What stands before a container's last lines in our sentences, and a code of Kubernetes
// after the second.
const (
	lastOutput    = ". Its last output: "
	beforeCommand = " before it had the command: "
)

var quotedOutput = regexp.MustCompile("(" + regexp.QuoteMeta(lastOutput) + "|" + regexp.QuoteMeta(beforeCommand) + `\w* ?)[^\n]+`)

// WithoutOutput is a text of sentences like ours, with something else in place of the
// containers' last lines that they quote, to the end of the line.
func WithoutOutput(text, instead string) string {
	return quotedOutput.ReplaceAllString(text, "${1}"+strings.ReplaceAll(instead, "$", "$$"))
}

// lastLines are the last lines of a container's message that aren't empty, printable.
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
