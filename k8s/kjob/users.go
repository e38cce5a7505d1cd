package kjob

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// ownUsers gives a pod users of its own (user-namespace: true). Whether a node can do that
// is for its kubelet and its runtime to say: a pod that they can't start has
// pending-timeout. The scheduler doesn't ask nodes, because it has no right to read them.
func ownUsers(spec *corev1.PodSpec) error {
	if ptr.Deref(spec.HostUsers, false) {
		return errors.New("spec.template.spec.hostUsers: true, and the queue has user-namespace: true: take one of them out")
	}
	spec.HostUsers = ptr.To(false)
	return nil
}

// ofHost are namespaces of the node's that a pod with users of its own can't have.
func ofHost(step, spec *corev1.PodSpec) error {
	own := !ptr.Deref(step.HostUsers, true) || !ptr.Deref(spec.HostUsers, true)
	if !own {
		return nil
	}
	var errs []error
	if step.HostNetwork || spec.HostNetwork {
		errs = append(errs, errors.New("hostNetwork: the pod has users of its own (hostUsers: false), which the node's network is not for: take it out, or use a queue without user-namespace"))
	}
	if step.HostIPC || spec.HostIPC {
		errs = append(errs, errors.New("hostIPC: the pod has users of its own (hostUsers: false), which the node's memory is not for: take it out, or use a queue without user-namespace"))
	}
	return errors.Join(errs...)
}
