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

// The proofs. ProofToken proves nothing once Buildkite may have ended the job as lost:
// it refuses that job's token in the same way.
const (
	ProofNone Proof = iota
	ProofState
	ProofToken
)

// Delivered decides, after the reply to a finish may have been lost and a later
// one was refused, whether the job is finished at Buildkite. client has the
// job's token.
//
// Known: the stock agent reads GET jobs/:id with the job's token while the job runs,
// and takes a 401 as the end of its right to the job (docs/protocol.md#cancel). A job's
// token ends with its job. It also ends when the agent was silent for LostAfter; the
// caller knows about that and judges ProofToken. Guessed: a token that is refused now
// ended because the job was finished (docs/protocol.md#finish). So the state "finished"
// counts as delivered, and so does the refusal of the job's own token, which was good
// for the finish that was answered last. A 401 that isn't Buildkite's own proves
// nothing. Nor does the refusal of a session's token, which is used where the server
// gave the job none: it may have other reasons.
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

// JobState asks Buildkite for a job's state, at most three times and for at most ten
// seconds, because the cause of a lost reply may still be there. status is that of the
// last answer, 0 if there was none.
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
