package scheduler

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
)

// wantsWarnings: a pod, or its absence, that only Events can explain.
func (q *queue) wantsWarnings(id contract.JobID, d decide.Decision, f decide.Facts) bool {
	unread := d.Reason == decide.ReasonImage && f.PullUnread() || d.Action == decide.None && d.Reason == decide.ReasonTaken && f.Now.Sub(f.EventsAt) > decide.TakenEvery
	switch {
	case f.Unexplained(), unread:
	case d.Action == decide.Finish && d.Reason == decide.ReasonNoPod && f.Now.Sub(f.EventsAt) > decide.StateFresh:
		unread = true // the last words are not to be those of a while ago
	case !f.KJob.Exists || f.KJob.Finished || f.KJob.Suspended && !f.KeptOut() || f.Pod.Started || f.Pod.Unschedulable != "" || f.Pod.Waiting != "",
		f.Pod.Phase != "" && f.Pod.Phase != corev1.PodPending, f.Now.Sub(f.KJob.CreatedAt) < decide.NoticeAfter:
		return false
	}
	q.mu.Lock()
	at, failed := q.state(id).EventsAt(), q.eventsFailedAt
	q.mu.Unlock()
	old := time.Since(at) > decide.WarningsEvery
	switch {
	case f.Unexplained():
		old = at.Before(f.EndedAt)
	case unread:
		old = true
	}
	// An API server that is away isn't asked by each job what it can't say, nor
	// does each wait for it; and to a Buildkite that is away nothing can be told.
	if old && (q.store.Stale() || q.buildkiteAway() || time.Since(failed) < decide.NoticeAfter && !f.Unexplained() || !q.lists.Allow()) {
		q.work.AddAfter(id, decide.NoticeAfter+jitter.UpTo(decide.NoticeAfter+q.turn()/8))
		return false
	}
	return old
}

// A thousand pods that pend for one reason must not be a thousand lists of
// Events: a queue makes a few a second, and its jobs take turns.
const (
	warningsPerSecond = 4
	warningsWithin    = 3 * time.Second
)

// turn is how long it takes until the Events of each job have been read once, at the
// most. A job tries a few times in it, and not every few seconds: of thousands that
// would be most of a scheduler's work.
func (q *queue) turn() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return time.Duration(len(q.states)) * time.Second / warningsPerSecond
}

// fetchWarnings reads the Events that may explain an attempt. A Role that leaves
// Events out, or a store of Events that is down, costs words, and no job its
// deadline.
func (q *queue) fetchWarnings(ctx context.Context, id contract.JobID, f decide.Facts) {
	kind, name := "Pod", f.Pod.Name
	if f.Pod.Phase == "" {
		kind, name = "Job", contract.KjobName(id, f.Attempt)
	}
	cctx, cancel := context.WithTimeout(ctx, warningsWithin)
	defer cancel()
	if f.KJob.Suspended && f.KeptOut() {
		q.fetchAdmission(cctx, id, f)
		return
	}
	es, err := events.On(cctx, q.s.kube, q.store.Namespace, kind, name)
	es = slices.DeleteFunc(es, func(e corev1.Event) bool { // of a kjob that had the name before
		return kind == "Job" && e.InvolvedObject.UID != "" && e.InvolvedObject.UID != f.KJob.UID
	})
	now := time.Now()
	q.mu.Lock()
	switch m := q.state(id); {
	case err == nil:
		m.Hear(f.Subject(), events.Heard(es, now))
	case apierrors.IsForbidden(err):
		m.HearNothing(f.Subject(), now)
	default:
		m.HearNot(f.Subject(), now)
		q.eventsFailedAt = now
	}
	q.mu.Unlock()
	if err != nil {
		q.s.metrics.apiErrors.WithLabelValues(q.name, "list", string(apierrors.ReasonForError(err))).Inc()
		q.log.Debug("events not read", "job_id", id, "err", err)
	}
	if f.EndedAt.IsZero() {
		q.work.AddAfter(id, decide.WarningsEvery+time.Second)
	}
}

// fetchAdmission asks Kueue, where there is one that may be asked, what keeps a
// suspended kjob out. Without its words the page says less, and nothing else changes.
func (q *queue) fetchAdmission(ctx context.Context, id contract.JobID, f decide.Facts) {
	says, err := q.s.kueue.Says(ctx, q.store.Namespace, f.KJob.UID)
	if err != nil {
		q.s.metrics.apiErrors.WithLabelValues(q.name, "list", string(apierrors.ReasonForError(err))).Inc()
		q.log.Debug("kueue not asked", "job_id", id, "err", err)
	}
	q.mu.Lock()
	q.state(id).Hear(f.Subject(), decide.Heard{Admission: says, EventsAt: time.Now()})
	q.mu.Unlock()
	q.work.AddAfter(id, decide.WarningsEvery+time.Second)
}
