package decide

import (
	"fmt"
	"strings"
	"time"
)

// After an outage of the API server a pod gets mendedGrace to start, even if its time
// is over by then. Events that can't be read are waited for during deafGrace.
const (
	mendedGrace = time.Minute
	deafGrace   = time.Minute
)

// decidePending is for a pod that hasn't started while the job waits for it.
func decidePending(f Facts) Decision {
	if f.KeptOut() {
		return decideKeptOut(f)
	}
	since := f.letIn()
	reason, what, grace := pendingWhy(f)
	limit, text := f.allowed(since, f.Policy.PendingTimeout), fmt.Sprintf("the pod did not start within %s", f.Policy.PendingTimeout)
	fails := grace >= 0 && !limit.Before(f.allowed(f.FailingSince, grace))
	if fails {
		limit, text = f.allowed(f.FailingSince, grace), "the pod can't start"
	}
	if !f.Now.Before(limit) {
		if reason == ReasonNoPod && f.refusalUnread() {
			return Decision{Action: None, Reason: reason, Again: f.Now.Add(StateFresh)}
		}
		if !f.believed() {
			return ask(reason)
		}
		if what == "" && f.Pod.Node != "" {
			what = quiet(f)
		}
		if what != "" {
			text += ": " + what
		}
		if fails && f.nodeCantStart() && !f.Story.had(ReasonContainer) {
			return Decision{Action: Delete, Reason: ReasonContainer, Text: text + "; onejob deletes the pod and makes another, on another node if there is one"}
		}
		return finish(reason, text)
	}
	d := Decision{Action: None, Reason: reason, Again: limit}
	look := since.Add(NoticeAfter) // by then Events may say more
	notice := look
	switch {
	case reason == ReasonNoPod:
		notice = since.Add(podlessGrace)
	case what == "" && f.Pod.Node != "":
		notice, what = since.Add(quietGrace), quiet(f)
	}
	switch {
	case f.Now.Before(look):
		d.Again = Earlier(limit, look)
	case f.Now.Before(notice):
		d.Again = Earlier(limit, notice)
	case what != "":
		d.Topic, d.Text, d.Waiting = pendingTopic(f), "waiting to start: "+what, true
	}
	d.Again = f.unlessNever(d.Again)
	return d
}

// nodeCantStart: a container can't be created or started, which another node's runtime, image
// or disk may do better. A Secret or a ConfigMap is missing for all of them.
func (f Facts) nodeCantStart() bool {
	return FailureKind(f.Pod.Waiting) == "container" && f.Pod.Waiting != missingConfig
}

// unlessNever is a time to look again, or none without a pending timeout.
func (f Facts) unlessNever(t time.Time) time.Time {
	if t.Sub(f.Now) > NoLimit/2 {
		return time.Time{}
	}
	return t
}

// allowed is the end of a time that begins at since. Nothing starts while the API
// server is away, and Kubernetes needs a while when it is back.
func (f Facts) allowed(since time.Time, d time.Duration) time.Time {
	end := since.Add(d)
	if f.MendedAt.After(since) {
		end = Later(end, f.MendedAt.Add(min(d, mendedGrace)))
	}
	return end
}

// quiet is the text about a pod that has a node and gives no reason why it waits.
func quiet(f Facts) string {
	text := fmt.Sprintf("node %s is preparing its containers (a large image takes time)", f.Pod.Node)
	if len(f.Warnings) > 0 {
		text += fmt.Sprintf("; Kubernetes' last warning: %s: %s", f.Warnings[0].Reason, f.Warnings[0].Message)
	}
	return text
}

// pendingWhy says why a pod hasn't started, and how long that may last from
// Facts.FailingSince on; a negative time means that only the pending timeout counts.
func pendingWhy(f Facts) (Reason, string, time.Duration) {
	switch p := f.Pod; {
	case p.Phase == "" && f.KJob.Suspended:
		return ReasonSuspended, "the Kubernetes Job is suspended and waits to be admitted" + f.heldBy(), -1
	case p.Phase == "":
		for _, w := range f.Warnings {
			if w.Reason == "FailedCreate" && PermanentRefusal(w.Message) {
				return ReasonAdmission, "Kubernetes refuses the pod: " + w.Message, 0
			}
		}
		if w := f.obstacle(); w.Message != "" {
			return ReasonAdmission, "Kubernetes can't create the pod yet: " + w.Message, -1
		}
		return ReasonNoPod, "Kubernetes has not created a pod for the job yet", -1
	case p.Unschedulable != "":
		return ReasonPending, p.Unschedulable, -1
	case FailureKind(p.Waiting) == "name":
		return ReasonImage, fmt.Sprintf("%s (image %s): check the name in the queue's template. %s", p.Waiting, p.Image, p.WaitingMessage), 0
	case f.imageOverdue() && f.Pulling && !f.PullUnread():
		return ReasonImage, fmt.Sprintf("image %s is being pulled again (a large image takes time), after %s: %s", p.Image, p.Waiting, p.WaitingMessage), -1
	case FailureKind(p.Waiting) == "image":
		grace := f.Policy.ImageGrace
		if f.PullUnread() {
			grace = -1
		}
		return ReasonImage, fmt.Sprintf("%s (image %s): check that it exists and that the pod may pull it. %s", p.Waiting, p.Image, p.WaitingMessage), grace
	case FailureKind(p.Waiting) == "container" && f.mountedPrograms() != "":
		return ReasonContainer, fmt.Sprintf("%s: %s%s", p.Waiting, f.mountedPrograms(), p.WaitingMessage), containerGrace
	case FailureKind(p.Waiting) == "container":
		return ReasonContainer, fmt.Sprintf("%s: %s (check the queue's token-secret, and the Secret, ConfigMap and command in its template)", p.Waiting, p.WaitingMessage), containerGrace
	case f.failureKind() == "mount":
		w := f.obstacle()
		return ReasonContainer, fmt.Sprintf("%s: %s (check the volumes in the queue's template)", w.Reason, w.Message), mountGrace
	case f.obstacle().Reason != "":
		w := f.obstacle()
		return ReasonPending, w.Reason + ": " + w.Message, -1
	case p.Waiting != "":
		return ReasonPending, p.Waiting + ": " + p.WaitingMessage, -1
	default:
		return ReasonPending, "", -1
	}
}

// PendingReason is why an attempt's pod hasn't started, as far as the kjob and the pod
// say it. Events may say more.
func PendingReason(k KJob, p Pod) Reason {
	reason, _, _ := pendingWhy(Facts{KJob: k, Pod: p})
	return reason
}

// imageOverdue: the image's grace is over according to the pod's status. The kubelet
// keeps a container's last failure in the status until the next try has ended, so only
// Events say whether it is pulling again.
func (f Facts) imageOverdue() bool {
	return FailureKind(f.Pod.Waiting) == "image" && !f.Now.Before(f.allowed(f.FailingSince, f.Policy.ImageGrace))
}

// PullUnread: the Events that tell whether a pull goes on or has failed haven't been
// read recently. No job is finished because of old ones.
func (f Facts) PullUnread() bool {
	if f.DeafFor >= deafGrace {
		return false
	}
	age := f.Now.Sub(f.EventsAt)
	return f.imageOverdue() && (age > WarningsEvery || age > StateFresh && !f.Pulling)
}

// missingConfig is the kubelet's reason for a container whose Secret or ConfigMap is missing.
const missingConfig = "CreateContainerConfigError"

// FailureKind sorts the kubelet's waiting reasons by how long they may go on;
// reasons of one kind take turns (ErrImagePull, ImagePullBackOff).
func FailureKind(waiting string) string {
	switch waiting {
	case "InvalidImageName":
		return "name"
	case "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed":
		return "image"
	case missingConfig, "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError",
		"PostStartHookError", "ErrImageNeverPull", "StartError":
		return "container"
	}
	return ""
}

// failureKind is the kind of failure from which Facts.FailingSince counts: that of the
// container's waiting reason, or "mount" if only the kubelet's Events explain the wait,
// because a volume needs an object that doesn't exist. A missing CSI driver isn't one:
// it usually comes up with its node.
func (f Facts) failureKind() string {
	if f.Podless() {
		return "podless"
	}
	if f.Pod.Waiting != "" || f.Pod.Phase == "" || f.Pod.Started {
		return FailureKind(f.Pod.Waiting)
	}
	// The kubelet has one reason for all of these; only the text differs.
	switch w := f.obstacle(); {
	case w.Reason != "FailedMount", strings.Contains(w.Message, "list of registered CSI drivers"):
		return ""
	case strings.Contains(w.Message, "not found"), strings.Contains(w.Message, "non-existent"):
		return "mount"
	}
	return ""
}

// Podless: the attempt had a pod, according to the kjob's status, and nothing is known
// of it now.
func (f Facts) Podless() bool { return f.KJob.PodSeen && f.Pod.Phase == "" }

// obstacle is the newest Warning that can be the reason for a pod's wait. Others are
// only remarks (MissingClusterDNS, DNSConfigForming), or are from before it had a node.
func (f Facts) obstacle() Warning {
	for _, w := range f.Warnings {
		if w.Reason == "FailedScheduling" && f.Pod.Node != "" {
			continue
		}
		if strings.HasPrefix(w.Reason, "Failed") || w.Reason == "NetworkNotReady" {
			return w
		}
	}
	return Warning{}
}

// PermanentRefusal reports whether the API server would refuse the object tomorrow too.
// The API shows that only by its text.
func PermanentRefusal(message string) bool {
	for _, s := range []string{"violates PodSecurity", "is invalid", "denied the request", "ValidatingAdmissionPolicy", "Invalid value", "no service account",
		"no PriorityClass with name", "pod rejected: RuntimeClass", "usage per Container is", "usage per Pod is", ": must specify "} {
		if strings.Contains(message, s) {
			return true
		}
	}
	return strings.Contains(message, "error looking up service account") && strings.Contains(message, "not found")
}
