package probe

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
)

// askUnreserved tells a job that nobody reserved, finishes it, and once more.
func (p *prober) askUnreserved(ctx context.Context) error {
	id, err := p.jobOf(stepPlain)
	if err != nil {
		return err
	}
	if err := p.askNotify(ctx, id); err != nil {
		return err
	}
	got, err := p.stackFinish(ctx, p.stack, id, -1, detail)
	if err != nil {
		return err
	}
	judged(p, "stack-finish-unreserved", got, assumptions.StackFinishUnreservedTaken, assumptions.StackFinishUnreservedRefused, "a stack's finish")
	if !got.ok() {
		if err := p.fail(ctx, id); err != nil {
			return err
		}
	}
	if got, err = p.stackFinish(ctx, p.stack, id, -1, detail); err != nil {
		return err
	}
	judged(p, "stack-finish-again", got, assumptions.StackFinishAgainTaken, assumptions.StackFinishAgainRefused, "the same finish again")
	return nil
}

// askNotify sends a text for a job that nobody reserved. A refusal is in a reply that is a
// success.
func (p *prober) askNotify(ctx context.Context, id contract.JobID) error {
	got, err := p.call(ctx, request{method: http.MethodPost, path: "stacks/" + p.stack + "/notifications", again: true,
		body: map[string]any{"notifications": []map[string]any{{"job_uuid": id, "detail": detail}}}})
	if err != nil {
		return err
	}
	var reply struct {
		Errors []struct {
			Error string `json:"error"`
		} `json:"errors"`
	}
	switch {
	case !got.ok():
		judged(p, "notify-unreserved", got, assumptions.NotifyUnreservedTaken, assumptions.NotifyUnreservedRefused, "a text")
	case json.Unmarshal(got.body, &reply) != nil:
		return errors.New("the answer to a text can't be read")
	case len(reply.Errors) > 0:
		found(p, "notify-unreserved", assumptions.NotifyUnreservedRefused, "a text: %s", contract.Line(reply.Errors[0].Error, 100))
	default:
		found(p, "notify-unreserved", assumptions.NotifyUnreservedTaken, "a text: %s", got)
	}
	return nil
}
