package scheduler

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
)

// wantsWarnings: a pod, or its absence, that only Events can explain. Where those can't
// be read now, the job is looked at again later.
func (q *queue) wantsWarnings(id contract.JobID, d decide.Decision, f decide.Facts) bool {
	read := q.claims.eventsAt(id)
	if !eventsAreDue(d, f, read) {
		q.readOn(id, f)
		return false
	}
	// An API server that is away isn't asked by each job what it can't say, nor
	// does each wait for it; and to a Buildkite that is away nothing can be told.
	away := q.store.Stale() || q.buildkiteAway()
	again := !read.IsZero() && waitsUnexplained(f) && !eventsDecide(d, f)
	if away || !q.reads.may(f.Unexplained(), again) {
		q.work.AddAfter(id, decide.NoticeAfter+jitter.UpTo(decide.NoticeAfter+q.turn()/2))
		return false
	}
	return true
}

// readOn has Events that were read, and that may come to matter, read again in their
// time. The look that a read asks for may have come at once: of two looks that a job is
// due for, the queue keeps the earlier.
func (q *queue) readOn(id contract.JobID, f decide.Facts) {
	switch waits := f.EndedAt.IsZero() && !f.Pod.Runs(); {
	case waits:
		q.readAfter(id, f, decide.WarningsEvery)
	case f.EventIsLate():
		q.readAfter(id, f, decide.NoticeAfter)
	}
}

// readAfter has them read again when they are that old.
func (q *queue) readAfter(id contract.JobID, f decide.Facts, age time.Duration) {
	if next := f.EventsAt.Add(age + time.Second); f.Now.Before(next) {
		q.work.AddAfter(id, next.Sub(f.Now))
	}
}

// eventsAreDue: those of an attempt that were read at a time are to be read again.
func eventsAreDue(d decide.Decision, f decide.Facts, read time.Time) bool {
	switch {
	case f.Unexplained():
		return read.Before(f.EndedAt) || f.EventIsLate() && time.Since(read) > decide.NoticeAfter
	case eventsDecide(d, f):
		return true
	case waitsUnexplained(f):
		return time.Since(read) > decide.WarningsEvery
	}
	return false
}

// eventsDecide: what they say decides, and what was read is too old for that.
func eventsDecide(d decide.Decision, f decide.Facts) bool {
	age := f.Now.Sub(f.EventsAt)
	switch d.Reason {
	case decide.ReasonImage:
		return f.PullUnread()
	case decide.ReasonTaken:
		return d.Action == decide.None && age > decide.TakenEvery
	case decide.ReasonNoPod: // the last words are not to be those of a while ago
		return d.Action == decide.Finish && age > decide.StateFresh
	}
	return false
}

// waitsUnexplained: the pod should have started by now, or have come, and its status
// doesn't say why not.
func waitsUnexplained(f decide.Facts) bool {
	switch p := f.Pod; {
	case !f.KJob.Live(), f.KJob.Suspended && !f.KeptOut(), p.Runs(), p.Unschedulable != "", p.Waiting != "":
		return false
	}
	switch f.Pod.Phase {
	case "", corev1.PodPending:
		return f.Now.Sub(f.KJob.CreatedAt) >= decide.NoticeAfter
	}
	return false
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
	return time.Duration(q.claims.remembered()) * time.Second / warningsPerSecond
}

// eventReads bounds how often a queue reads Events.
type eventReads struct {
	pace *rate.Limiter

	mu       sync.Mutex
	failedAt time.Time
}

func newEventReads() *eventReads {
	return &eventReads{pace: rate.NewLimiter(warningsPerSecond, warningsPerSecond)}
}

// may is asked before each: not all try what has just failed, but what is urgent. To
// read once more what was read before leaves half of the pace to the others: of many
// jobs some would else never be read, by chance.
func (r *eventReads) may(urgent, again bool) bool {
	r.mu.Lock()
	failed := time.Since(r.failedAt) < decide.NoticeAfter
	r.mu.Unlock()
	if failed && !urgent {
		return false
	}
	return (!again || r.pace.Tokens() >= warningsPerSecond/2) && r.pace.Allow()
}

func (r *eventReads) failed(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failedAt = at
}

// eventsRead is what has come of reading Events.
type eventsRead struct {
	at     time.Time
	events []corev1.Event
	err    error
}

// forbidden: a Role leaves Events out.
func (r eventsRead) forbidden() bool { return apierrors.IsForbidden(r.err) }

func (r eventsRead) failed() bool { return r.err != nil && !r.forbidden() }

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
	read := eventsRead{at: time.Now(), events: es, err: err}
	q.claims.hear(id, f.Subject(), read)
	if read.failed() {
		q.reads.failed(read.at)
	}
	if err != nil {
		q.s.metrics.apiErrors.WithLabelValues(q.name, "list", string(apierrors.ReasonForError(err))).Inc()
		q.log.Debug("Events not read", "job_id", id, "err", err)
	}
	switch {
	case f.EndedAt.IsZero():
		q.work.AddAfter(id, decide.WarningsEvery+time.Second)
	case f.EventIsLate(): // by what was known before this
		q.work.AddAfter(id, decide.NoticeAfter+time.Second)
	}
}

// fetchAdmission asks Kueue, where there is one that may be asked, what keeps a
// suspended kjob out. Without its words the page says less, and nothing else changes.
func (q *queue) fetchAdmission(ctx context.Context, id contract.JobID, f decide.Facts) {
	says, err := q.s.kueue.Says(ctx, q.store.Namespace, f.KJob.UID)
	if err != nil {
		q.s.metrics.apiErrors.WithLabelValues(q.name, "list", string(apierrors.ReasonForError(err))).Inc()
		q.log.Debug("Kueue not asked", "job_id", id, "err", err)
	}
	q.claims.hearAdmission(id, f.Subject(), says)
	q.work.AddAfter(id, decide.WarningsEvery+time.Second)
}
