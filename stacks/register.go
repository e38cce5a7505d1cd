package stacks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/onejob-dev/onejob/contract"
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
var ErrNoCluster = errors.New("the token is not a cluster token")

// Identity asks who the token is. It is also the way to learn whether a token
// is accepted.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	var id Identity
	if err := c.do(ctx, EndpointToken, http.MethodGet, "/token", nil, &id); err != nil {
		return Identity{}, err
	}
	for _, name := range []*string{&id.UUID, &id.Description, &id.Type, &id.OrganizationSlug, &id.OrganizationUUID, &id.ClusterUUID, &id.ClusterName, &id.QueueUUID, &id.QueueKey} {
		*name = contract.Line(*name, contract.MaxName)
	}
	if id.ClusterUUID == "" {
		return id, ErrNoCluster
	}
	return id, nil
}

const (
	// checkEvery is how long the answer to one CheckToken serves other callers.
	checkEvery  = 5 * time.Second
	checkWithin = 10 * time.Second
)

// tokenAnswer is what CheckToken learned last.
type tokenAnswer struct {
	one   chan struct{} // held by the one that asks
	token string
	at    time.Time
	err   error
}

// CheckToken asks whether the token is accepted, after something was refused. nil means
// that it is accepted, and that the refusal (ErrRefused) was about one job or text.
// ErrRefused means that the token isn't accepted; any other error that it isn't known.
// However many callers ask, there is one request at a time, and one in five seconds.
func (c *Client) CheckToken(ctx context.Context) error {
	token, err := c.Token()
	if err != nil {
		return err
	}
	a := &c.checked
	select {
	case a.one <- struct{}{}:
		defer func() { <-a.one }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if token == a.token && time.Since(a.at) < checkEvery {
		return a.err
	}
	cctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	if _, err = c.Identity(cctx); errors.Is(err, ErrNoCluster) {
		err = nil
	}
	if ctx.Err() == nil {
		a.token, a.at, a.err = token, time.Now(), err
	}
	return err
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

// Register registers the stack as type "custom". It may be repeated.
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
		return s, fmt.Errorf("register: asked for the stack %q but got %q", c.cfg.Stack, s.Key)
	}
	return s, nil
}

// Deregister removes the stack from Buildkite. It is no error if the stack is unknown.
func (c *Client) Deregister(ctx context.Context) error {
	err := c.do(ctx, EndpointDeregister, http.MethodPost, c.stackPath("/deregister"), nil, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
