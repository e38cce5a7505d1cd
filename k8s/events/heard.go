package events

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// Heard is what events, oldest first, say at the time that they were read.
func Heard(es []corev1.Event, at time.Time) decide.Heard {
	es = slices.DeleteFunc(slices.Clone(es), func(e corev1.Event) bool { return !genuine(e) })
	h := decide.Heard{Warnings: warningsOf(es), Pulling: pullingOf(es), EventsAt: at}
	for _, e := range es {
		if e.Reason == "Failed" || e.Reason == "BackOff" {
			h.Stuck = Time(e)
		}
	}
	return h
}

// warningsOf are the Warnings among events that are oldest first, newest first
// and without those of a sandbox or a volume that the pod has got since: an image
// is pulled, and a container made, when all of them are there.
func warningsOf(es []corev1.Event) (out []decide.Warning) {
	var ready time.Time
	for _, e := range es {
		if e.Reason == "Pulling" || e.Reason == "Pulled" || e.Reason == "Created" {
			ready = Time(e)
		}
	}
	for _, e := range slices.Backward(es) {
		switch e.Reason {
		case "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox":
			if !Time(e).After(ready) {
				continue
			}
		}
		if e.Type == corev1.EventTypeWarning && e.Source.Component != contract.ManagedBy {
			out = append(out, decide.Warning{Reason: e.Reason, Message: e.Message})
		}
	}
	return out
}

// eventBurst is how many Events on one object client-go's recorder, which is the
// kubelet's, lets through before it drops all but one in five minutes.
const eventBurst = 25

// pullingOf is Facts.Pulling, of events that are oldest first. A pull that fails
// is followed by a Failed, in the same second at times, one that is put off by a
// BackOff; what ended well is in the pod's status soon. Where failures have used
// up the kubelet's Events, that none follows means nothing.
func pullingOf(es []corev1.Event) bool {
	var begun, failed time.Time
	sent := int32(0)
	for _, e := range es {
		if e.Source.Component == "kubelet" {
			sent += max(e.Count, 1)
		}
		switch e.Reason {
		case "Pulling":
			begun = Time(e)
		case "Failed", "BackOff":
			failed = Time(e)
		}
	}
	return begun.After(failed) && sent < eventBurst
}

// TakeIn is an Event as it is taken in, printable.
func TakeIn(e corev1.Event) corev1.Event {
	e.Reason, e.Message = contract.Word(e.Reason), contract.Sentence(e.Message)
	e.Source.Component, e.ReportingController = contract.Word(e.Source.Component), contract.Word(e.ReportingController)
	return e
}

// ownReasons are the reasons that decide something, and whose they are. Whoever may
// create Events may use them too: a policy engine reports what it would have refused
// on the Job, in words like the API server's.
var ownReasons = map[string]string{
	"FailedCreate": "job-controller",
	"FailedMount":  "kubelet", "Pulling": "kubelet", "Pulled": "kubelet", "Created": "kubelet", "Failed": "kubelet", "BackOff": "kubelet",
}

// genuine reports whether an Event comes from whose its reason is: by the classic
// field, the new one, or both. Of other reasons nothing is known, and they decide
// nothing.
func genuine(e corev1.Event) bool {
	owner, decides := ownReasons[e.Reason]
	by := slices.DeleteFunc([]string{e.Source.Component, e.ReportingController}, func(who string) bool { return who == "" })
	return !decides || len(by) > 0 && !slices.ContainsFunc(by, func(who string) bool { return who != owner })
}
