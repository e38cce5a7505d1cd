package decide

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// addCommand takes in what the kubelet says of the command's container, or containers,
// which the runner waits for: one that can't start is a pod that can't. One that has ended
// while the runner still waits will not come any more.
func (p *Pod) addCommand(o *corev1.Pod) {
	// Pods of a release before have the init container alone.
	copied := slices.ContainsFunc(o.Status.InitContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Name == contract.StepInit })
	p.Apart = copied || o.Annotations[contract.AnnotationImage] != ""
	if !p.Apart {
		return
	}
	agents := p.Waiting != ""
	for _, c := range o.Status.ContainerStatuses {
		if !contract.IsCommand(c.Name) {
			continue
		}
		end := c.State.Terminated
		if end != nil && end.Reason == "OOMKilled" {
			p.OutOfMemory = fmt.Sprintf("%s, image %s", contract.Word(c.Name), contract.Word(c.Image))
		}
		if p.Ended {
			continue // and waits for nothing
		}
		p.addWait(c)
		p.ToCome = p.ToCome || c.State.Running == nil && end == nil
		if end != nil && end.ExitCode != 0 && p.Waiting == "" {
			p.Image, p.Unbegun = contract.Word(c.Image), end.Reason == startError
			p.Waiting, p.WaitingMessage = "StartError", contract.Sentence(fmt.Sprintf("container %s ended with exit code %d%s%s %s", c.Name, end.ExitCode, beforeCommand, end.Reason, lastLines(end.Message)))
		}
	}
	p.OfCommand = p.Waiting != "" && !agents
}

// decideUnbegun is for a pod whose command's container the runtime couldn't start, while the
// job is offered. It won't be tried again in this pod. Most likely the runner's own container
// came up late, after a pull that failed perhaps, and its programs weren't there yet.
func decideUnbegun(f Facts) Decision {
	return Decision{Action: Delete, Reason: ReasonContainer, Text: "the pod can't run the command; onejob deletes it and makes another: " + f.mountedPrograms() + f.Pod.WaitingMessage}
}

// mountedPrograms is what to do about a command's container that can't be started, if its
// programs come by an image volume: a runtime that knows none, or ignores the sub-path, says
// only that something isn't there. It is empty in other pods.
func (f Facts) mountedPrograms() string {
	if !f.Policy.Mounted || !f.Pod.OfCommand || f.Pod.Waiting == missingConfig {
		return ""
	}
	return fmt.Sprintf("programs: image-volume needs containerd 2.2 or CRI-O 1.33 on node %s; upgrade it, or set programs: copy. ", f.Pod.Node)
}
