package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/stacks"
)

// A finish that has failed plainAfter times and for plainFor, while Buildkite answered
// questions about states, may have a text that Buildkite can't accept, because it
// quotes the job. So may one whose request Buildkite didn't accept plainAfter times.
// From then on plainText is sent, and the Event has the real text.
// Failures are counted over all reservations of a job without a kjob, because each
// reservation is shorter than plainFor.
const (
	plainAfter = 3
	plainFor   = time.Minute
	plainText  = "onejob ended this job, but Buildkite did not accept the text that says why. Run `kubectl describe` on the Kubernetes Job: the Event JobFinished has the text"
	// plainNoKjob is for a job that has no Kubernetes Job to describe.
	plainNoKjob = "onejob ended this job, but Buildkite did not accept the text that says why. The Event JobFinished has it (kubectl get events --field-selector involvedObject.name=%s)"
)

// heldTries is how often the finish of a held job is sent when Buildkite refuses it, the
// last time in plain words: Buildkite may not accept one for a job that an agent holds.
const heldTries = plainAfter + 1

// finish ends the job at Buildkite. If we die after it, the state will say so. If its
// reply is lost, the state is read before the second try.
func (q *queue) finish(ctx context.Context, id contract.JobID, d decide.Decision, f *decide.Facts) error {
	if q.cacheMayBeStale(id) {
		return nil
	}
	try, now := q.mayFinish(id, d)
	if !now {
		return nil
	}
	text := d.Text
	if try.plain() {
		if text = plainText; f == nil {
			text = fmt.Sprintf(plainNoKjob, q.kjobOf(id))
		}
	}
	again, err := q.sendFinish(ctx, id, d.ExitStatus, text, try)
	if !errors.Is(err, errElsewhere) {
		try.sent++
		try.invalid = errors.Is(err, stacks.ErrInvalid)
	}
	switch {
	case again > 0:
		q.work.AddAfter(id, again+jitter.UpTo(min(again, time.Second)))
		return nil
	case err == nil:
		q.log.Info("finished the job at Buildkite", "job_id", id, "reason", d.Reason, "detail", contract.Line(d.Text, 300))
		q.claims.finishTaken(id)
		if f == nil || !q.pages.isCounted(id, f.KJob.UID, decide.Finish) {
			q.decided(id, decide.Finish, d.Reason)
		}
		q.event(id, true, events.Finished, d)
		q.claims.know(id, stacks.StateFinished, time.Now())
		if f != nil {
			q.work.Add(id)
		}
	case stacks.Temporary(err) && !stacks.Unclear(err), ctx.Err() != nil, q.refusal(ctx, err):
		return err
	case stacks.Temporary(err):
		// The reply is lost, or Buildkite can't accept the finish. The endpoint's gate
		// decides how often finishes of this kind are tried.
		q.finishFails(id, try, false, decide.Backoff(try.times-plainAfter))
		return nil
	case errors.Is(err, stacks.ErrInvalid), errors.Is(err, stacks.ErrNotFound), errors.Is(err, stacks.ErrRefused):
		// The job is not ours to finish, or over, or unknown; its state says which, and
		// decides what comes next. If it is still offered, it can be finished: the
		// stack was unknown, and the poll loop registers it again.
		if state := q.finishFails(id, try, true, decide.Backoff(try.times)); f != nil && !state.Offered() {
			q.count(id, d, *f) // the job may end before the next try
		}
		if try.times == 1 {
			q.note(id, d)
		}
	default:
		return err
	}
	q.claims.settled(id)
	return nil
}

// reserveWait bounds a reservation before a finish, for which a worker waits: a cancelled
// job's pod is to be gone in five seconds.
const reserveWait = 2 * time.Second

// errElsewhere means that Buildkite didn't reserve the job for us, so that it isn't ours to
// finish.
var errElsewhere = fmt.Errorf("finishing a job: it can't be reserved, so another stack may have it: %w", stacks.ErrInvalid)

// sendFinish reserves the job first if an earlier one may have been refused for that, or if
// our reservation is over: another stack may have the job by now, and Buildkite may take our
// finish all the same (docs/assumptions.md#stack-finish-other).
func (q *queue) sendFinish(ctx context.Context, id contract.JobID, status int, text string, try failedFinish) (again time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if letGo := q.claims.letGo(id); try.reserve || letGo {
		switch held, again, err := q.tryReserve(ctx, id); {
		case again > 0:
			return again, nil
		case letGo && stacks.Temporary(err):
			return stateEvery, nil // nobody says whose it is
		case err != nil:
			q.log.Debug("reserving a job to finish it", "job_id", id, "err", err)
		case !held:
			return 0, errElsewhere
		}
	}
	return q.client.TryFinish(ctx, id, status, text, try.sent > 0)
}

// mayFinish reports whether a finish may be sent now, and what it counts as if it
// fails. After a failure the job's state is read first: it may be over.
func (q *queue) mayFinish(id contract.JobID, d decide.Decision) (try failedFinish, now bool) {
	r, state, told := q.claims.lastFinish(id)
	if r == nil {
		return failedFinish{Decision: d, times: 1, first: time.Now()}, true
	}
	news := r.state != state
	switch wait := time.Until(r.again); {
	case !told.After(r.at):
		q.ask(id)
		q.work.AddAfter(id, stateEvery)
	case r.refused && !news && r.lastFor(state):
		q.note(id, d)
	case wait > 0 && (!r.refused || !news):
		q.work.AddAfter(id, wait)
	default:
		if r.Reason != d.Reason { // its text may be one that Buildkite takes
			return failedFinish{Decision: d, times: 1, first: time.Now()}, true
		}
		return failedFinish{Decision: d, times: r.times + 1, sent: r.sent, first: r.first, invalid: r.invalid, reserve: (r.refused || r.reserve) && state.Offered()}, true
	}
	return failedFinish{}, false
}

// tellLostFinish tells the text of a finish whose reply was lost, if the job is over:
// most likely by that finish, but Buildkite hasn't confirmed it.
func (q *queue) tellLostFinish(id contract.JobID) {
	if d := q.claims.lostFinish(id); d != nil {
		q.note(id, *d)
	}
}

// finishFails notes that a finish has failed, and returns the job's state as it is
// known.
func (q *queue) finishFails(id contract.JobID, try failedFinish, refused bool, again time.Duration) stacks.State {
	state := q.claims.finishFails(id, try, refused, again)
	q.ask(id)
	return state
}

// ask makes the upkeep loop read the job's state, and then decides on the job.
func (q *queue) ask(id contract.JobID) {
	q.claims.ask(id)
	signal(q.look)
}
