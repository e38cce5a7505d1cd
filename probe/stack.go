package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/onejob-dev/onejob/contract"
)

// registerStack registers a stack of the probe for a queue, and returns the queue's key.
func (p *prober) registerStack(ctx context.Context, key, queue string) (queueKey string, got answer, err error) {
	p.mu.Lock()
	p.stacks = append(p.stacks, key)
	p.mu.Unlock()
	got, err = p.call(ctx, request{method: http.MethodPost, path: "stacks/register", again: true, body: map[string]any{
		"key": key, "type": "custom", "queue_key": queue, "metadata": map[string]string{"made-by": "onejob probe"}}})
	if err != nil || !got.ok() {
		return "", got, err
	}
	var reply struct {
		Key   string `json:"key"`
		Queue string `json:"cluster_queue_key"`
	}
	if err := json.Unmarshal(got.body, &reply); err != nil {
		return "", got, fmt.Errorf("reading the stack: %w", err)
	}
	if reply.Key != "" && reply.Key != key {
		return "", got, fmt.Errorf("registering the stack %s: the reply is about %s", key, reply.Key)
	}
	return reply.Queue, got, nil
}

func (p *prober) deregister(ctx context.Context, key string) error {
	got, err := p.call(ctx, request{method: http.MethodPost, path: "stacks/" + key + "/deregister", again: true})
	if err != nil {
		return err
	}
	if !got.ok() && got.status != http.StatusNotFound {
		return refused("deregistering the stack "+key, got)
	}
	p.mu.Lock()
	p.stacks = slices.DeleteFunc(p.stacks, func(k string) bool { return k == key })
	p.mu.Unlock()
	return nil
}

// reserve asks for jobs and returns those that Buildkite reserved.
func (p *prober) reserve(ctx context.Context, stack string, seconds int, ids ...contract.JobID) ([]string, answer, error) {
	got, err := p.call(ctx, request{method: http.MethodPut, path: "stacks/" + stack + "/scheduled-jobs/batch-reserve", again: true,
		body: map[string]any{"job_uuids": ids, "reservation_expiry_seconds": seconds}})
	if err != nil || !got.ok() {
		return nil, got, err
	}
	var reply struct {
		Reserved []string `json:"reserved"`
	}
	err = json.Unmarshal(got.body, &reply)
	return reply.Reserved, got, err
}

// hold reserves jobs for the probe's own stack, for two minutes.
func (p *prober) hold(ctx context.Context, ids ...contract.JobID) error {
	reserved, got, err := p.reserve(ctx, p.stack, 120, ids...)
	switch {
	case err != nil:
		return err
	case !got.ok():
		return refused("reserving", got)
	case len(reserved) < len(ids):
		return errors.New("a job of the probe was not reserved")
	}
	return nil
}

// stackFinish ends a job as a stack.
func (p *prober) stackFinish(ctx context.Context, stack string, id contract.JobID, status int, detail string) (answer, error) {
	return p.call(ctx, request{method: http.MethodPost, path: "stacks/" + stack + "/jobs/" + id.String() + "/finish",
		body: map[string]any{"exit_status": status, "detail": detail}})
}

// fail reserves a job and ends it with -1, as a stack that couldn't run it.
func (p *prober) fail(ctx context.Context, id contract.JobID) error {
	if err := p.hold(ctx, id); err != nil {
		return err
	}
	got, err := p.stackFinish(ctx, p.stack, id, -1, detail)
	if err == nil && !got.ok() {
		err = refused("a stack's finish", got)
	}
	return err
}

// detail is the text on the jobs' pages.
const detail = "This job belongs to onejob probe, which asks Buildkite questions and runs nothing."
