package stacks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// DefaultEndpoint is where the Stacks API lives.
const DefaultEndpoint = "https://agent.buildkite.com/v3"

// Endpoint names one kind of call, for limits, errors and metrics.
type Endpoint string

// The endpoints, each with a limit of its own.
const (
	EndpointToken      Endpoint = "token"
	EndpointRegister   Endpoint = "register"
	EndpointList       Endpoint = "list"
	EndpointReserve    Endpoint = "reserve"
	EndpointJob        Endpoint = "job"
	EndpointStates     Endpoint = "states"
	EndpointFinish     Endpoint = "finish"
	EndpointNotify     Endpoint = "notify"
	EndpointDeregister Endpoint = "deregister"
)

// documented are the limits in requests a second for each stack and endpoint
// (docs/protocol.md#rate-limits), the start value of what the replies' headers teach.
var documented = map[Endpoint]int{
	EndpointToken: 10, EndpointRegister: 10, EndpointList: 10, EndpointReserve: 10, EndpointJob: 1000,
	EndpointStates: 20, EndpointFinish: 100, EndpointNotify: 200, EndpointDeregister: 10,
}

// MaxBatch is the most jobs, or notifications, that one call may name.
const MaxBatch = 1000

const (
	maxReply = 32 << 20 // a page of 1000 jobs is about 600 KiB
	maxError = 512
)

// Config is what a Client needs.
type Config struct {
	// Endpoint is the API's base URL; empty means DefaultEndpoint.
	Endpoint string
	Token    TokenSource
	// Stack is the stack's key: up to 80 of A-Z a-z 0-9 _ -.
	Stack string
	// Queue is the key of the cluster queue.
	Queue string
	// UserAgent is sent as it is; empty means "onejob".
	UserAgent string
	// Attempts is how often a call is tried when Temporary says so. 0 means once, which
	// suits a loop that calls again anyway.
	Attempts int
	// Transport is for tests; nil means one of the client's own.
	Transport http.RoundTripper
	// Observe is told about each request; status is 0 when there was no
	// reply, remaining -1 when the server didn't say. It may be nil.
	Observe func(e Endpoint, status, remaining int, took time.Duration)
}

// Client calls the Stacks API for one stack, which serves one queue. It is safe
// for concurrent use.
type Client struct {
	cfg   Config
	base  string
	http  *http.Client
	gates map[Endpoint]*gate
	// finishAgain is the gate of the finishes that have failed before.
	finishAgain *gate
	// aside is the gate of texts that nobody needs, see NotifyAside.
	aside   *gate
	checked tokenAnswer
	// length is which of the lengths Buildkite takes for a reservation, as far as known.
	length atomic.Int32
}

// timeout bounds one request.
const timeout = 20 * time.Second

var keyPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// New checks the configuration and returns a Client. It makes no request.
func New(cfg Config) (*Client, error) {
	if cfg.Endpoint == "" {
		cfg.Endpoint = DefaultEndpoint
	}
	if err := contract.CheckEndpoint(cfg.Endpoint); err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	if !keyPattern.MatchString(cfg.Stack) {
		return nil, fmt.Errorf("the stack key %q is not 1 to 80 of A-Z a-z 0-9 _ -", cfg.Stack)
	}
	if cfg.Token == nil {
		return nil, errors.New("no token source given")
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "onejob"
	}
	if cfg.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 8
		cfg.Transport = t
	}
	c := &Client{
		cfg: cfg, base: strings.TrimRight(cfg.Endpoint, "/"),
		// Buildkite sends no redirects. Following one turns a POST into a GET, and may
		// show the token to somebody else.
		http:  &http.Client{Transport: cfg.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		gates: map[Endpoint]*gate{},
	}
	for e, n := range documented {
		c.gates[e] = newGate(n)
	}
	c.checked.one = make(chan struct{}, 1)
	c.finishAgain, c.aside = newGate(documented[EndpointFinish]), newGate(documented[EndpointNotify])
	c.gates[EndpointFinish].lone, c.gates[EndpointJob].lone, c.aside.lone = true, true, true
	return c, nil
}

// Token returns the token that the next request would be sent with, so that a
// caller who was refused can see when it changes.
func (c *Client) Token() (string, error) { return c.cfg.Token.Token() }

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// stackPath is a path under the stack. Its segments are safe as they are: keys
// match keyPattern and jobs are UUIDs.
func (c *Client) stackPath(rest string) string { return "/stacks/" + c.cfg.Stack + rest }

// do sends one call, as often as Config.Attempts allows, and decodes the reply
// into out unless that is nil.
func (c *Client) do(ctx context.Context, e Endpoint, method, path string, in, out any) error {
	return c.doAt(ctx, c.gates[e], c.cfg.Attempts, e, method, path, in, out)
}

// doAt is do with another gate than the endpoint's, and its own number of attempts.
func (c *Client) doAt(ctx context.Context, g *gate, attempts int, e Endpoint, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encoding %s: %w", e, err)
		}
	}
	for attempt := 1; ; attempt++ {
		err := c.once(ctx, g, e, method, path, body, out)
		if err == nil || attempt >= attempts || !Temporary(err) || ctx.Err() != nil {
			return err
		}
	}
}

func (c *Client) once(ctx context.Context, g *gate, e Endpoint, method, path string, body []byte, out any) error {
	release, err := g.pass(ctx)
	if err != nil {
		return fmt.Errorf("%s: waiting to be allowed a request: %w", e, err)
	}
	defer release()
	return c.send(ctx, g, e, method, path, body, out)
}

// send sends a request that a gate has let through.
func (c *Client) send(ctx context.Context, g *gate, e Endpoint, method, path string, body []byte, out any) error {
	token, err := c.cfg.Token.Token()
	if err != nil {
		return err
	}
	rctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(rctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", e, err)
	}
	req.Header.Set("Authorization", "Token "+token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	sent := time.Now()
	status, header, err := c.exchange(req, out)
	if errors.Is(ctx.Err(), context.Canceled) && err != nil {
		// If ctx was cancelled, that says nothing about the server. A caller's deadline
		// does.
		return fmt.Errorf("%s: %w", e, context.Cause(ctx))
	}
	if errors.Is(err, errBare) && e != EndpointFinish { // TryFinish looks further
		err = nil
	}
	after := g.record(sent, countedAs(status, err), header)
	if c.cfg.Observe != nil {
		remaining := -1
		if header.Get("RateLimit-Remaining") != "" {
			g.mu.Lock()
			remaining = g.remaining
			g.mu.Unlock()
		}
		c.cfg.Observe(e, status, remaining, time.Since(sent))
	}
	var refused *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		refused.Endpoint, refused.RetryAfter = e, after
		return refused
	default:
		if cause := context.Cause(rctx); cause != nil && errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no reply within %s: %w", time.Since(sent).Round(100*time.Millisecond), cause)
		}
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // the URL is no news
		}
		return &Error{Endpoint: e, Err: err, RetryAfter: after}
	}
}

// countedAs is the status that a request counts as at its gate.
func countedAs(status int, err error) int {
	var refused *Error
	switch {
	case errors.As(err, &refused) && refused.Between:
		return http.StatusInternalServerError // as bad, and as much about what was sent
	case err != nil && status/100 == 2 && !errors.Is(err, errBare):
		return 0 // an unreadable reply is as good as none
	}
	return status
}

// exchange sends the request and reads the reply to its end, within bounds.
func (c *Client) exchange(req *http.Request, out any) (int, http.Header, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		message := messageOf(b)
		e := &Error{Status: resp.StatusCode, Message: contract.Line(cmp.Or(message, string(b)), maxError)}
		limited := resp.StatusCode == http.StatusTooManyRequests // "later" is obeyed whoever says it
		if resp.StatusCode/100 == 4 && !limited && !contract.OwnReply(resp.StatusCode, resp.Header.Get("Content-Type"), message) {
			// For example a proxy's block page. It may be about this request, and says
			// nothing about the token, the stack or the job.
			e.Between, e.Message = true, contract.Line("the answer is not from Buildkite; check proxies in between: "+cmp.Or(string(b), "it is empty"), maxError)
		}
		if to := resp.Header.Get("Location"); resp.StatusCode/100 == 3 {
			e.Message = contract.Line("redirected to "+to+", which Buildkite does not do: check the endpoint and proxies in between", maxError)
		}
		return resp.StatusCode, resp.Header, e
	}
	return resp.StatusCode, resp.Header, readTaken(resp, out)
}

// messageOf is the message of an error reply, "" if it has none.
func messageOf(b []byte) string {
	var m struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(b, &m) != nil {
		return ""
	}
	return m.Message
}
