package acquire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/buildkite/agent/v3/api"
	"github.com/buildkite/agent/v3/version"
)

// Config is what a Client needs to know.
type Config struct {
	// Endpoint is the Agent API's base URL, with its /v3.
	Endpoint string
	// Token is the registration (cluster) token.
	Token string
	// UserAgent is sent with every request.
	UserAgent string
	// Transport carries the requests; it must not add an Authorization.
	Transport http.RoundTripper
	// DebugHTTP logs requests and replies, without their Authorization.
	DebugHTTP bool

	// Acquire and Register are the policies; Register is for connecting too.
	Acquire, Register Backoff
	// Wire is how long Acquire waits for a request that was already sent when the
	// context ends.
	Wire time.Duration

	// Log has the job's ID already.
	Log  *slog.Logger
	Rand *Rand
}

// Client registers with Buildkite. It is safe for concurrent use.
type Client struct {
	conf Config
	api  *api.Client

	mu    sync.Mutex
	tries map[string]int
}

// NewClient returns a client for conf.
func NewClient(conf Config) *Client {
	c := &Client{conf: conf, tries: map[string]int{}}
	c.api = c.apiClient(conf.Endpoint, conf.Token)
	return c
}

func (c *Client) apiClient(endpoint, token string) *api.Client {
	return api.NewClient(Logger(c.conf.Log), api.Config{
		Endpoint:   endpoint,
		Token:      token,
		UserAgent:  c.conf.UserAgent,
		DebugHTTP:  c.conf.DebugHTTP,
		HTTPClient: HTTPClient(capturing(Authorized(c.conf.Transport, token))),
	})
}

// Tries returns how many requests of each kind were sent.
func (c *Client) Tries() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	tries := make(map[string]int, len(c.tries))
	for k, v := range c.tries {
		tries[k] = v
	}
	return tries
}

func (c *Client) count(call string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tries[call]++
}

func (c *Client) call(name string, b Backoff) Call {
	return Call{Name: name, Backoff: b, Rand: c.conf.Rand, Log: c.conf.Log, Count: c.count}
}

// Registration is what we tell Buildkite about this runner.
type Registration struct {
	Name, Priority string
	Tags, Features []string
	// ScriptEval is false when commands may not be evaluated.
	ScriptEval bool
}

// Register makes a session. It returns a *RetryError of ErrRefused,
// ErrExhausted, ErrUntrusted or ErrStopped otherwise.
//
// A register whose reply is lost leaves a session at Buildkite that never
// connects; it holds nothing and Buildkite drops it.
func (c *Client) Register(ctx context.Context, r Registration) (*Session, error) {
	hostname, _ := os.Hostname() //nolint:errcheck // shown to people only
	req := &api.AgentRegisterRequest{
		Name:              r.Name,
		Priority:          r.Priority,
		Tags:              r.Tags,
		Features:          r.Features,
		ScriptEvalEnabled: r.ScriptEval,
		// Never offered other work: it is here for one job.
		IgnoreInDispatches: true,
		Hostname:           hostname,
		OS:                 osRelease(),
		Arch:               runtime.GOARCH,
		Version:            version.Version(),
		Build:              version.BuildNumber(),
		PID:                os.Getpid(),
	}
	if req.Tags == nil {
		req.Tags = []string{}
	}
	if req.Features == nil {
		req.Features = []string{}
	}
	var reply *api.AgentRegisterResponse
	err := c.call("register", c.conf.Register).Do(ctx, func(ctx context.Context, _ int) (*api.Response, error) {
		a, resp, err := c.api.Register(ctx, req)
		if err == nil && a.AccessToken == "" {
			err = &api.UndecodableResponseError{Method: "POST", URL: c.conf.Endpoint, Status: resp.Status, Err: errors.New("the reply has no access token")}
		}
		reply = a
		return resp, err
	})
	if err != nil {
		return nil, fmt.Errorf("registering: %w", refusal(err))
	}
	return c.session(reply), nil
}

// refusal reads a *RetryError of a call that is not about a job: there a plain 4xx
// refuses us, and nothing can be locked.
func refusal(err error) error {
	var e *RetryError
	if errors.As(err, &e) {
		switch {
		case errors.Is(err, ErrRejected):
			e.Kind = ErrRefused
		case errors.Is(err, ErrLocked):
			e.Kind = ErrExhausted
		}
	}
	return err
}

func osRelease() string {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return runtime.GOOS
	}
	return string(b)
}
