package stacks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/onejob-dev/onejob/contract"
)

// searchCalls is how many calls are sent at most to find the jobs for which Buildkite
// refuses a question: about three seconds of what the endpoint allows.
const searchCalls = 64

// States asks for the states of jobs, in as many calls as MaxBatch makes of them. A job
// that Buildkite doesn't know has StateUnknown, or is missing if there is no error. With
// an error, what was learned before is returned, and what is missing isn't known.
func (c *Client) States(ctx context.Context, ids []contract.JobID) (map[contract.JobID]State, error) {
	s := search{c: c, states: make(map[contract.JobID]State, len(ids)), left: searchCalls}
	for chunk := range slices.Chunk(ids, MaxBatch) {
		if err := s.ask(ctx, chunk); err != nil {
			return s.states, err
		}
	}
	return s.states, nil
}

// search is a question about states.
type search struct {
	c      *Client
	states map[contract.JobID]State
	left   int // calls that may still be refused
}

// ask is one call, as a rule. Should Buildkite refuse it for a job that it doesn't know
// (docs/assumptions.md#unknown-job-state), halves of it find out which; one alone is
// looked for, as another reason may have it refused.
func (s *search) ask(ctx context.Context, ids []contract.JobID) error {
	var out struct {
		States map[wireID]State `json:"states"`
	}
	err := s.c.do(ctx, EndpointStates, http.MethodPost, s.c.stackPath("/jobs/get-states"), uuids{JobUUIDs: ids}, &out)
	if errors.Is(err, ErrInvalid) {
		return s.narrow(ctx, ids, err)
	}
	if err != nil {
		return err
	}
	for _, id := range ids {
		s.states[id] = StateUnknown
	}
	for id, state := range out.States {
		if _, asked := s.states[id.JobID]; asked {
			s.states[id.JobID] = state
		}
	}
	return nil
}

// narrow is for a question that was refused.
func (s *search) narrow(ctx context.Context, ids []contract.JobID, refused error) error {
	if s.left--; s.left < 0 {
		return fmt.Errorf("it doesn't know some jobs, or refuses to tell of them; the rest is to be asked again: %w", refused)
	}
	if half := len(ids) / 2; half > 0 {
		if err := s.ask(ctx, ids[:half]); err != nil {
			return err
		}
		return s.ask(ctx, ids[half:])
	}
	if _, there := s.c.Env(ctx, ids[0]); !errors.Is(there, ErrNotFound) {
		return refused
	}
	s.states[ids[0]] = StateUnknown
	return nil
}
