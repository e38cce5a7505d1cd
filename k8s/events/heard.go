package events

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// Heard is what events, oldest first, say when they were read at the given time.
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

// warningsOf are the Warnings among events (oldest first), newest first. Warnings about
// a sandbox or a volume that the pod has got since are left out: an image is pulled,
// and a container created, only when all of these exist.
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

// eventBurst is how many Events on one object client-go's recorder (and so the kubelet)
// sends before it drops all but one in five minutes.
const eventBurst = 25

// pullingOf is Facts.Pulling, from events that are oldest first. A failed pull is
// followed by a Failed, sometimes in the same second, and a postponed one by a BackOff;
// a successful pull is soon in the pod's status. If failures have used up the kubelet's
// Events, the absence of a later one means nothing.
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

// TakeIn returns an Event with printable texts.
func TakeIn(e corev1.Event) corev1.Event {
	e.Reason, e.Message = contract.Word(e.Reason), contract.Sentence(e.Message)
	e.Source.Component, e.ReportingController = contract.Word(e.Source.Component), contract.Word(e.ReportingController)
	return e
}

// ownReasons are the reasons that decide something, each with the component that may
// use it. Everybody who may create Events may use these reasons too: for example a
// policy engine reports on the Job what it would have refused, in words like the API
// server's.
var ownReasons = map[string]string{
	"FailedCreate": "job-controller",
	"FailedMount":  "kubelet", "Pulling": "kubelet", "Pulled": "kubelet", "Created": "kubelet", "Failed": "kubelet", "BackOff": "kubelet",
}

// genuine reports whether an Event comes from the component that owns its reason: by
// the classic field, the new one, or both. Other reasons have no owner and decide
// nothing.
func genuine(e corev1.Event) bool {
	owner, decides := ownReasons[e.Reason]
	by := slices.DeleteFunc([]string{e.Source.Component, e.ReportingController}, func(who string) bool { return who == "" })
	return !decides || len(by) > 0 && !slices.ContainsFunc(by, func(who string) bool { return who != owner })
}
