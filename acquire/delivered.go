package acquire

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/contract"
)

// Proof is what shows that a finish whose reply was lost arrived.
type Proof int

// The proofs. ProofToken is worth nothing once Buildkite may have given the job up:
// the token of a lost agent's job is refused in the same way.
const (
	ProofNone Proof = iota
	ProofState
	ProofToken
)

// Delivered decides, after the reply to a finish may have been lost and a later
// one was refused, whether the job is finished at Buildkite. client has the
// job's token.
//
// Known: the stock agent reads GET jobs/:id with the job's token while the job
// runs, and takes a 401 for the end of its right to the job
// (docs/protocol.md#cancel); a job's token ends with its job. So does that of an
// agent which was silent for LostAfter: the caller, who knows of that, judges
// ProofToken. Guessed: that one which is refused now ended so
// (docs/protocol.md#finish). So "finished" counts
// as delivered, and so does a job's own token that is refused now: it was good
// for the finish that was answered last. A 401 that isn't Buildkite's own says
// nothing. A session's token, which stands in where the server gave the job none,
// may be refused for other reasons and proves nothing.
func Delivered(ctx context.Context, client *api.Client, job *api.Job, rnd *Rand, count func(string)) Proof {
	state, status, err := JobState(ctx, client, job.ID, rnd, count)
	switch {
	case err == nil && state.Over():
		return ProofState
	case err != nil && job.Token != "" && errors.Is(err, ErrRejected) && status == http.StatusUnauthorized:
		return ProofToken
	}
	return ProofNone
}

// JobState asks Buildkite for a job's state, three times at most and for at most
// ten seconds: what made a reply get lost may still be there. status is that of
// the last answer, 0 if there was none.
func JobState(ctx context.Context, client *api.Client, id string, rnd *Rand, count func(string)) (state contract.JobState, status int, err error) {
	policy := Backoff{
		Attempts: 3, Base: time.Second, Cap: 2 * time.Second, JitterMax: time.Second,
		Deadline: 10 * time.Second, Timeout: 5 * time.Second,
	}
	err = Call{Name: "job_state", Backoff: policy, Rand: rnd, Count: count}.Do(ctx, func(ctx context.Context, _ int) (*api.Response, error) {
		s, resp, err := client.GetJobState(ctx, id)
		status = statusOf(resp)
		if s != nil {
			state = contract.JobState(s.State)
		}
		return resp, err
	})
	return state, status, err
}
