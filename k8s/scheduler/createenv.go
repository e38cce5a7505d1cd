package scheduler

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/stacks"
)

// envAgain is the longest time between two looks at a claim that waits for its
// environment, so that an expired one is dropped.
const envAgain = 5 * time.Second

// envOf asks for a job's environment, which says what its pod is. It isn't there, without
// an error, if the claim is to be looked at again or is over. All queues share the
// creators, so they don't wait here for this queue's endpoint. The client's own timeout
// bounds the request: one that hangs counts as a failure, and then one request at a
// time is sent.
func (q *queue) envOf(ctx context.Context, id contract.JobID) (there bool, again time.Duration, err error) {
	env, again, err := q.client.TryEnv(ctx, id)
	switch {
	case err == nil && again == 0:
		if env == nil {
			env = map[string]string{}
		}
		q.claims.setEnv(id, env)
		return true, 0, nil
	case err != nil && ctx.Err() == nil:
		return false, 0, q.noEnv(ctx, id, err)
	}
	return false, min(again, envAgain), err
}

// noEnv acts on a failure to give a job's environment, and returns it if it is to be
// tried again. A job to which Buildkite gives none for as long as a pod may be pending
// is over: it would hold its slot for ever.
func (q *queue) noEnv(ctx context.Context, id contract.JobID, err error) error {
	cctx, cancel := context.WithTimeout(ctx, tryoutTimeout)
	defer cancel()
	waited := time.Since(q.claims.unansweredSince(id))
	switch {
	case errors.Is(err, stacks.ErrNotFound):
		q.claims.ask(id)
		q.drop(id, "Buildkite does not know the job")
		q.work.Add(id)
		return nil
	case q.refusal(cctx, err), !ofThisJob(err), q.standing.now().stopped != nil:
		return err
	case waited > q.set.Load().policy().PendingTimeout:
		q.giveUp(id, decide.NotMade(errors.New("Buildkite doesn't give the job's environment, which says what its pod is: "+err.Error())))
		return nil
	}
	q.tellWaiting(id, decide.NotCreated("Buildkite doesn't give the job's environment, which says what its pod is: "+err.Error()))
	return err
}

// ofThisJob: the failure may be about one job, as an outage is not.
func ofThisJob(err error) bool {
	var e *stacks.Error
	if errors.As(err, &e) && (e.Status == http.StatusInternalServerError || e.Between) {
		return true
	}
	return !stacks.Temporary(err)
}
