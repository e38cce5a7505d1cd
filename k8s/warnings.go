package k8s

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
)

// wantsWarnings: a pod, or its absence, that only Events can explain.
func (q *queue) wantsWarnings(id contract.JobID, d Decision, f Facts) bool {
	unread := d.Reason == ReasonImage && f.pullUnread() || d.Action == None && d.Reason == ReasonTaken && f.Now.Sub(f.EventsAt) > takenEvery
	switch {
	case f.unexplained(), unread:
	case d.Action == Finish && d.Reason == ReasonNoPod && f.Now.Sub(f.EventsAt) > stateFresh:
		unread = true // the last words are not to be those of a while ago
	case !f.KJob.Exists || f.KJob.Finished || f.KJob.Suspended || f.Pod.Started || f.Pod.Unschedulable != "" || f.Pod.Waiting != "",
		f.Pod.Phase != "" && f.Pod.Phase != corev1.PodPending, f.Now.Sub(f.KJob.CreatedAt) < noticeAfter:
		return false
	}
	q.mu.Lock()
	at, failed := q.memo(id).heard.EventsAt, q.deaf
	q.mu.Unlock()
	old := time.Since(at) > warningsEvery
	switch {
	case f.unexplained():
		old = at.Before(f.EndedAt)
	case unread:
		old = true
	}
	// An API server that is away isn't asked by each job what it can't say, nor
	// does each wait for it.
	if old && (q.store.link.stale() || time.Since(failed) < noticeAfter && !f.unexplained() || !q.lists.Allow()) {
		q.work.AddAfter(id, noticeAfter+jitter.UpTo(noticeAfter))
		return false
	}
	return old
}

// A thousand pods that pend for one reason must not be a thousand lists of
// Events: a queue makes a few a second, and its jobs take turns.
const (
	warningsEvery     = 20 * time.Second
	takenEvery        = 10 * time.Second // while they decide whether another agent has the job
	warningsPerSecond = 4
	warningsWithin    = 3 * time.Second
)

// fetchWarnings reads the Events that may explain an attempt. A Role that leaves
// Events out, or a store of Events that is down, costs words, and no job its
// deadline.
func (q *queue) fetchWarnings(ctx context.Context, id contract.JobID, f Facts) {
	kind, name := "Pod", f.Pod.Name
	if f.Pod.Phase == "" {
		kind, name = "Job", contract.KjobName(id, f.Attempt)
	}
	cctx, cancel := context.WithTimeout(ctx, warningsWithin)
	defer cancel()
	es, err := eventsOn(cctx, q.s.kube, q.store.namespace, kind, name)
	es = slices.DeleteFunc(es, func(e corev1.Event) bool { // of a kjob that had the name before
		return kind == "Job" && e.InvolvedObject.UID != "" && e.InvolvedObject.UID != f.KJob.UID
	})
	now := time.Now()
	q.mu.Lock()
	m, of := q.memo(id), f.subject()
	was := Heard{}
	if m.heardOf == of {
		was = m.heard
	}
	switch {
	case err == nil:
		m.heard = heard(es, now).after(was)
	case apierrors.IsForbidden(err):
		m.heard = Heard{EventsAt: now}
	default:
		if m.heard, q.deaf = was, now; !was.DeafAt.IsZero() {
			m.heard.DeafFor += min(now.Sub(was.DeafAt), warningsEvery) // else nobody tried
		}
		m.heard.DeafAt = now
	}
	m.heardOf = of
	q.mu.Unlock()
	if err != nil {
		q.s.metrics.apiErrors.WithLabelValues(q.name, "list", string(apierrors.ReasonForError(err))).Inc()
		q.log.Debug("events not read", "job_id", id, "err", err)
	}
	if f.EndedAt.IsZero() {
		q.work.AddAfter(id, warningsEvery+time.Second)
	}
}

// heard is what events, oldest first, say at the time that they were read.
func heard(es []corev1.Event, at time.Time) Heard {
	es = slices.DeleteFunc(slices.Clone(es), func(e corev1.Event) bool { return !genuine(e) })
	h := Heard{Warnings: warningsOf(es), Pulling: pullingOf(es), EventsAt: at}
	for _, e := range es {
		if e.Reason == "Failed" || e.Reason == "BackOff" {
			h.stuck = eventTime(e)
		}
	}
	return h
}

// after is h, read after was.
func (h Heard) after(was Heard) Heard {
	if h.StuckAt = was.StuckAt; !was.EventsAt.IsZero() && h.stuck.After(was.stuck) {
		h.StuckAt = earlier(was.EventsAt, h.stuck)
	}
	return h
}

// warningsOf are the Warnings among events that are oldest first, newest first
// and without those of a sandbox or a volume that the pod has got since: an image
// is pulled, and a container made, when all of them are there.
func warningsOf(es []corev1.Event) (out []Warning) {
	var ready time.Time
	for _, e := range es {
		if e.Reason == "Pulling" || e.Reason == "Pulled" || e.Reason == "Created" {
			ready = eventTime(e)
		}
	}
	for _, e := range slices.Backward(es) {
		switch e.Reason {
		case "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox":
			if !eventTime(e).After(ready) {
				continue
			}
		}
		if e.Type == corev1.EventTypeWarning && e.Source.Component != managedBy {
			out = append(out, Warning{e.Reason, e.Message})
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
			begun = eventTime(e)
		case "Failed", "BackOff":
			failed = eventTime(e)
		}
	}
	return begun.After(failed) && sent < eventBurst
}

// eventsOn lists the events on an object, oldest first. An API server that is told
// to keep a watch cache of Events answers from that (resourceVersion 0); as a rule
// there is none, and it looks through the namespace's.
func eventsOn(ctx context.Context, client Client, namespace, kind, name string) ([]corev1.Event, error) {
	cctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	list, err := client.CoreV1().Events(namespace).List(cctx, metav1.ListOptions{
		ResourceVersion: "0",
		FieldSelector:   fields.Set{"involvedObject.kind": kind, "involvedObject.name": name}.AsSelector().String(),
	})
	if err != nil {
		return nil, fmt.Errorf("listing the events of %s %s: %w", kind, name, err)
	}
	var out []corev1.Event
	for _, e := range list.Items {
		if e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name { // the fake clientset doesn't select
			out = append(out, heardEvent(e))
		}
	}
	slices.SortStableFunc(out, func(a, b corev1.Event) int { return eventTime(a).Compare(eventTime(b)) })
	return out, nil
}

// heardEvent is an Event as it is taken in, printable.
func heardEvent(e corev1.Event) corev1.Event {
	e.Reason, e.Message = word(e.Reason), sentence(e.Message)
	e.Source.Component, e.ReportingController = word(e.Source.Component), word(e.ReportingController)
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
	by := notEmpty(e.Source.Component, e.ReportingController)
	return !decides || len(by) > 0 && !slices.ContainsFunc(by, func(who string) bool { return who != owner })
}

func eventTime(e corev1.Event) time.Time {
	switch {
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	default:
		return e.CreationTimestamp.Time
	}
}
