package decide

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// addCommand takes in what the kubelet says of the command's container, which the
// runner waits for: one that can't start is a pod that can't. One that has ended while
// the runner still waits will not come any more.
func (p *Pod) addCommand(o *corev1.Pod) {
	p.Apart = slices.ContainsFunc(o.Status.InitContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Name == contract.StepInit })
	if !p.Apart {
		return
	}
	for _, c := range o.Status.ContainerStatuses {
		if c.Name != contract.CommandContainer {
			continue
		}
		if end := c.State.Terminated; end != nil && end.Reason == "OOMKilled" {
			p.OutOfMemory = fmt.Sprintf("%s, image %s", contract.Word(c.Name), contract.Word(c.Image))
		}
		if p.Ended {
			return // and waits for nothing
		}
		p.addWait(c)
		p.ToCome = c.State.Running == nil && c.State.Terminated == nil
		if end := c.State.Terminated; end != nil && end.ExitCode != 0 && p.Waiting == "" {
			p.Image = contract.Word(c.Image)
			p.Waiting, p.WaitingMessage = "StartError", contract.Sentence(fmt.Sprintf("container %s ended with exit code %d before it had the command: %s %s", c.Name, end.ExitCode, end.Reason, lastLines(end.Message)))
		}
	}
}
