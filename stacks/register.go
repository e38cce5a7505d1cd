package stacks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Identity is what Buildkite says of a token.
type Identity struct {
	UUID             string `json:"uuid"`
	Description      string `json:"description"`
	Type             string `json:"token_type"`
	OrganizationSlug string `json:"organization_slug"`
	OrganizationUUID string `json:"organization_uuid"`
	ClusterUUID      string `json:"cluster_uuid"`
	ClusterName      string `json:"cluster_name"`
	QueueUUID        string `json:"organization_queue_uuid"`
	QueueKey         string `json:"organization_queue_key"`
}

// ErrNoCluster is returned by Identity for a token that belongs to no cluster:
// the Stacks API works with cluster tokens only.
var ErrNoCluster = errors.New("the token is no cluster token")

// Identity asks who the token is. It is also the way to learn whether a token
// is accepted.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	var id Identity
	if err := c.do(ctx, EndpointToken, http.MethodGet, "/token", nil, &id); err != nil {
		return Identity{}, err
	}
	if id.ClusterUUID == "" {
		return id, ErrNoCluster
	}
	return id, nil
}

// Stack is a registered stack.
type Stack struct {
	ID       string            `json:"id"`
	Key      string            `json:"key"`
	QueueKey string            `json:"cluster_queue_key"`
	Type     string            `json:"type"`
	State    string            `json:"state"`
	Metadata map[string]string `json:"metadata"`
}

// Register makes the stack known, as type "custom". It may be repeated.
func (c *Client) Register(ctx context.Context, metadata map[string]string) (Stack, error) {
	if metadata == nil {
		metadata = map[string]string{}
	}
	in := struct {
		Key      string            `json:"key"`
		Type     string            `json:"type"`
		QueueKey string            `json:"queue_key"`
		Metadata map[string]string `json:"metadata"`
	}{c.cfg.Stack, "custom", c.cfg.Queue, metadata}
	var s Stack
	if err := c.do(ctx, EndpointRegister, http.MethodPost, "/stacks/register", in, &s); err != nil {
		return Stack{}, err
	}
	if s.Key != "" && s.Key != c.cfg.Stack {
		// Every path after this would name a stack that isn't ours.
		return s, fmt.Errorf("register: asked for the stack %q, was given %q", c.cfg.Stack, s.Key)
	}
	return s, nil
}

// Deregister makes the stack unknown. A stack that is unknown already is fine.
func (c *Client) Deregister(ctx context.Context) error {
	err := c.do(ctx, EndpointDeregister, http.MethodPost, c.stackPath("/deregister"), nil, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
