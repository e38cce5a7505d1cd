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

// A finish that has failed plainAfter times, and for plainFor, though states were told
// in between, has a text that Buildkite may not be able to take, a job's own words in
// it: from then on it is plainText, and the Event has the words. They are counted over
// all reservations of a job that gets no kjob: each is shorter than plainFor.
const (
	plainAfter = 3
	plainFor   = time.Minute
	plainText  = "onejob ended this job. Buildkite did not take the text that says why: `kubectl describe` of the job's Kubernetes Job shows it, in the Event JobFinished"
	// plainNoKjob is for a job that has no Kubernetes Job to describe.
	plainNoKjob = "onejob ended this job. Buildkite did not take the text that says why: the Event JobFinished has it (kubectl get events --field-selector involvedObject.name=%s)"
)

// heldTries is how often a held job's finish is sent that Buildkite refuses: it may take
// none of a job that an agent holds.
const heldTries = 4

// finish ends the job at Buildkite. Should we die after it, the state will say
// so; should its reply be lost, the state is asked before the second try.
func (q *queue) finish(ctx context.Context, id contract.JobID, d decide.Decision, f *decide.Facts) error {
	if q.cacheMayBeStale(id) {
		return nil
	}
	try, now := q.mayFinish(id, d)
	if !now {
		return nil
	}
	text := d.Text
	if try.times > plainAfter && time.Since(try.first) >= plainFor {
		if text = plainText; f == nil {
			text = fmt.Sprintf(plainNoKjob, q.kjobOf(id))
		}
	}
	again, err := q.sendFinish(ctx, id, d.ExitStatus, text, try)
	switch {
	case again > 0:
		q.work.AddAfter(id, again+jitter.UpTo(min(again, time.Second)))
		return nil
	case err == nil:
		q.log.Info("finished the job at Buildkite", "job_id", id, "reason", d.Reason, "detail", contract.Line(d.Text, 300))
		q.claims.finishTaken(id)
		if f == nil || !q.pages.isCounted(id, f.KJob.UID, decide.Finish) {
			q.s.metrics.decisions.WithLabelValues(q.name, string(decide.Finish), string(d.Reason)).Inc()
		}
		q.event(id, true, events.Finished, d)
		q.claims.know(id, stacks.StateFinished, time.Now())
		if f != nil {
			q.work.Add(id)
		}
	case stacks.Temporary(err) && !stacks.Unclear(err), ctx.Err() != nil, q.refusal(ctx, err):
		return err
	case stacks.Temporary(err):
		// Lost, or more than Buildkite can take. Others of the kind are about as
		// often tried as the endpoint's gate lets them.
		q.finishFails(id, try, false, decide.Backoff(try.times-plainAfter))
		return nil
	case errors.Is(err, stacks.ErrInvalid), errors.Is(err, stacks.ErrNotFound), errors.Is(err, stacks.ErrRefused):
		// Not ours to finish, over, or unknown. The state says which, and
		// whatever it says makes the next decision. A job that is still offered
		// can be finished, and would run: the stack was unknown (the poll loop
		// registers it again).
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

// sendFinish reserves the job first if the one before may have been refused for that.
func (q *queue) sendFinish(ctx context.Context, id contract.JobID, status int, text string, try failedFinish) (again time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if try.reserve {
		if _, err := q.reserve(ctx, []contract.JobID{id}, reserveFor); err != nil {
			q.log.Debug("reserving a job to finish it", "job_id", id, "err", err)
		}
	}
	return q.client.TryFinish(ctx, id, status, text, try.times > 1)
}

// mayFinish reports whether a finish may be sent now, and what it is if it fails. After
// one that failed the job's state is asked first: it may be over.
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
		return failedFinish{Decision: d, times: r.times + 1, first: r.first, reserve: r.refused && state.Offered()}, true
	}
	return failedFinish{}, false
}

// tellLostFinish says what a finish was to say whose reply was lost, and whose job is
// over: by it, most likely, but nobody has said so.
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

// ask has the job's state asked for, and the job looked at when it is told.
func (q *queue) ask(id contract.JobID) {
	q.claims.ask(id)
	signal(q.look)
}
