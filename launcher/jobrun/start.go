package jobrun

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/launcher"
)

// startPolicy is the stock agent's policy of seven attempts. It ends when another agent
// may have the job.
var startPolicy = acquire.Backoff{
	Attempts: 7, Base: time.Second, Cap: 32 * time.Second, JitterMin: -time.Second, JitterMax: 5 * time.Second,
	Deadline: 3 * time.Minute, Timeout: time.Minute,
}

// startAgain is one attempt to start a job that is still ours, and stateEvery how often
// its state is read.
var startAgain = acquire.Backoff{Attempts: 1, Base: time.Second, Cap: time.Second, Deadline: 5 * time.Second, Timeout: 5 * time.Second}

const stateEvery = 5 * time.Second

// start sends a start while the job is surely ours: Buildkite gives a job that isn't
// started in time to another agent (docs/protocol.md#start). After that it reads the
// job's state, until startPolicy's time is over.
func (t *transport) start(req *http.Request) (*http.Response, error) {
	t.state.update(func(r *launcher.Report) { r.Start.Sent = true })
	began := time.Now()
	policy := startPolicy
	policy.Deadline = min(policy.Deadline, time.Until(t.startBy))
	resp, retry := answer(req, gaveUp, message("it is too late to start the job")), &acquire.RetryError{Kind: acquire.ErrExhausted}
	confirmed := false
	if policy.Deadline > 0 {
		resp, retry = t.repeat(t.state.startCtx, nil, req, "start", policy, func(ctx context.Context) bool {
			confirmed = t.runs(ctx)
			return confirmed
		})
	}
	end := launcher.Delivery{Delivered: resp.StatusCode < 300, Inferred: confirmed}
	if !end.Delivered && (retry.Lost || !final(retry) && t.state.startCtx.Err() == nil) {
		ctx, cancel := until(req.Context(), t.state.chunksCtx)
		defer cancel()
		resp, retry, end = t.startLate(ctx, req, resp, retry, began.Add(startPolicy.Deadline))
	}
	t.state.update(func(r *launcher.Report) {
		// If it was told to stop before, no start may have been sent.
		end.Sent = end.Delivered || end.Taken || retry.Attempts > 0
		end.Refused = !end.Delivered && final(retry)
		if end.Delivered {
			r.StartedAt = time.Now()
		} else {
			end.Err = retry.Error()
		}
		r.Start = end
	})
	return resp, nil
}

// runs reports whether Buildkite says that the job was started. Without that, a portal's
// empty answer to the start could have it run here and, half a minute later, elsewhere.
func (t *transport) runs(ctx context.Context) bool {
	state, _, err := acquire.JobState(ctx, t.client, t.job.ID, t.rnd, nil)
	return err == nil && state.Held() && !state.MayBeUnstarted()
}

// final reports a plain answer, or a request that can't be sent.
func final(e *acquire.RetryError) bool {
	return errors.Is(e.Kind, acquire.ErrRejected) || errors.Is(e.Kind, acquire.ErrRefused)
}

// startLate is for a job whose start got no answer in time, or an answer that
// contradicts a lost one. A job that is still accepted is ours, and is started. A job
// that runs is ours if we sent a start before another agent could have it.
func (t *transport) startLate(ctx context.Context, req *http.Request, resp *http.Response, retry *acquire.RetryError, end time.Time) (*http.Response, *acquire.RetryError, launcher.Delivery) {
	for {
		state, status, err := acquire.JobState(ctx, t.client, t.job.ID, t.rnd, nil)
		// Without a token of its own, the job that we acquired can't be told from the
		// same job given to another agent.
		ours := retry.Lost && retry.LostAt.Before(t.startBy) && t.job.Token != ""
		switch {
		case err == nil && state == contract.JobRunning && ours:
			return answer(req, http.StatusOK, "{}"), retry, launcher.Delivery{Delivered: true, Inferred: true}
		case err == nil && (state == contract.JobRunning || state.Offered() || state.Waiting()),
			err != nil && status == http.StatusUnauthorized && t.job.Token != "" && errors.Is(err, acquire.ErrRejected):
			return resp, retry, launcher.Delivery{Taken: true}
		case t.state.startCtx.Err() != nil, final(retry), err == nil && !state.Unstarted():
			return resp, retry, launcher.Delivery{}
		case time.Now().After(end):
			// Buildkite has been silent for so long that nobody would have waited for
			// it.
			return resp, retry, launcher.Delivery{Taken: err != nil}
		case err == nil:
			again, more := t.repeat(t.state.startCtx, nil, req, "start", startAgain, t.runs) //nolint:bodyclose // in memory
			if again.StatusCode < 300 {
				return again, &acquire.RetryError{Attempts: retry.Attempts + 1}, launcher.Delivery{Delivered: true}
			}
			more.Attempts += retry.Attempts
			if retry.Lost {
				more.Lost, more.LostAt = true, retry.LostAt
			}
			resp, retry = again, more
		}
		jitter.Sleep(ctx, jitter.Around(stateEvery, 0.2))
		if ctx.Err() != nil {
			return resp, retry, launcher.Delivery{}
		}
	}
}
