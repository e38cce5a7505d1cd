package stacks

import (
	"context"
	"net/http"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// Notification is a line on a job's page.
type Notification struct {
	JobID  contract.JobID `json:"job_uuid"`
	Detail string         `json:"detail"` // cut to MaxNotification
	Time   *time.Time     `json:"timestamp,omitempty"`

	then func() // see Notifier.Add
}

// Notify sends up to MaxBatch notifications in one call and returns those that
// Buildkite refused: a job has room for 100, and a time must lie between the job's
// creation and now, by Buildkite's clock.
func (c *Client) Notify(ctx context.Context, ns []Notification) (refused map[int]bool, err error) {
	return c.notify(ctx, c.gates[EndpointNotify], c.cfg.Attempts, ns)
}

func (c *Client) notify(ctx context.Context, g *gate, attempts int, ns []Notification) (refused map[int]bool, err error) {
	var out struct {
		Errors []struct {
			Error   string `json:"error"`
			Indexes []int  `json:"indexes"`
		} `json:"errors"`
	}
	in := struct {
		Notifications []Notification `json:"notifications"`
	}{ns}
	if err := c.doAt(ctx, g, attempts, EndpointNotify, http.MethodPost, c.stackPath("/notifications"), in, &out); err != nil {
		return nil, err
	}
	refused = map[int]bool{}
	for _, e := range out.Errors {
		for _, i := range e.Indexes {
			if i >= 0 && i < len(ns) {
				refused[i] = true
			}
		}
	}
	return refused, nil
}
