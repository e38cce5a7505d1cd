package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/retryafter"
)

const (
	// perSecond is the pace of all calls together: half of the lowest limit of the
	// Stacks API (docs/protocol.md#rate-limits).
	perSecond = 5
	// callTimeout bounds one request.
	callTimeout = 20 * time.Second
	// tries is how often a call is sent that Buildkite turns away, or that may be repeated.
	tries    = 5
	maxReply = 8 << 20
	// replyWithin is how long a stopped probe waits for the reply to a request that it has
	// sent, which says what was made and has to be ended.
	replyWithin = 3 * time.Second
	// longestWait is the longest wait that Buildkite may ask for. If it asks for more, the
	// question stays open.
	longestWait = time.Minute
)

// api calls Buildkite. A refusal is an answer, not an error, because probes ask for refusals.
type api struct {
	http  *http.Client
	agent string
	pace  *rate.Limiter
}

func newAPI(transport http.RoundTripper, userAgent string) *api {
	return &api{
		http: &http.Client{Transport: transport, Timeout: callTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		agent: userAgent, pace: rate.NewLimiter(perSecond, perSecond),
	}
}

// request is one call. path begins after the base, without a slash.
type request struct {
	method, base, path string
	token              string
	header             map[string]string
	body               any
	raw                []byte // instead of body
	// again says that a repeat changes nothing, so that call sends the request again after a
	// lost reply.
	again bool
}

// answer is Buildkite's reply to a request.
type answer struct {
	status  int
	header  http.Header
	message string
	body    []byte
}

func (a answer) ok() bool { return a.status/100 == 2 }

func (a answer) String() string {
	if a.message == "" {
		return strconv.Itoa(a.status)
	}
	return strconv.Itoa(a.status) + " " + a.message
}

// errNoAnswer means that the call's outcome is unknown.
var errNoAnswer = errors.New("no answer from Buildkite")

// call sends a request at the probe's pace, at most tries times. It repeats a request that
// Buildkite turned away (429, 503) after the wait that the reply names. It repeats a request
// with again set after any error and any 5xx, too.
func (a *api) call(ctx context.Context, r request) (answer, error) {
	for try := 0; ; try++ {
		if err := a.pace.Wait(ctx); err != nil {
			return answer{}, cause(ctx, err)
		}
		got, err := a.sent(ctx, r)
		turnedAway := err == nil && (got.status == http.StatusTooManyRequests || got.status == http.StatusServiceUnavailable)
		trouble := err != nil || got.status >= http.StatusInternalServerError
		switch {
		case ctx.Err() != nil && (turnedAway || trouble):
			return answer{}, cause(ctx, err)
		case !turnedAway && (!trouble || !r.again):
			if err == nil && trouble {
				err = fmt.Errorf("%w: %s %s: %s", errNoAnswer, r.method, r.path, got)
			}
			return got, err
		case try+1 == tries:
			return answer{}, fmt.Errorf("%w after %d tries: %s %s: %s", errNoAnswer, tries, r.method, r.path, got)
		}
		wait, given := askedWait(got.header)
		if wait > longestWait {
			return answer{}, fmt.Errorf("%w: it asks to wait for %s", errNoAnswer, wait)
		}
		if !given {
			wait = jitter.Doubled(time.Second, 8*time.Second, try)
		}
		if !jitter.Sleep(ctx, jitter.AtLeast(wait)) {
			return answer{}, context.Cause(ctx)
		}
	}
}

func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// askedWait is the wait that a reply asks for, by Retry-After or else by RateLimit-Reset.
func askedWait(h http.Header) (time.Duration, bool) {
	if wait, given := retryafter.Parse(h, time.Now()); given {
		return wait, true
	}
	n, err := strconv.Atoi(h.Get("RateLimit-Reset"))
	return time.Duration(n) * time.Second, err == nil && n > 0
}

// sent sends a request once. The end of ctx doesn't take the reply away: without it nobody
// would know of the agent that Buildkite registered, or of the job that it granted.
func (a *api) sent(ctx context.Context, r request) (answer, error) {
	outlives, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		jitter.Sleep(outlives, replyWithin)
		cancel()
	})()
	return a.once(outlives, r)
}

// once sends a request once, without waiting for the pace.
func (a *api) once(ctx context.Context, r request) (answer, error) {
	body := r.raw
	if body == nil && r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return answer{}, fmt.Errorf("encoding %s: %w", r.path, err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, strings.TrimRight(r.base, "/")+"/"+r.path, bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("%s: %w", r.path, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	req.Header.Set("Authorization", "Token "+r.token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", a.agent)
	resp, err := a.http.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer func() { _ = resp.Body.Close() }()
	got := answer{status: resp.StatusCode, header: resp.Header}
	if got.body, err = io.ReadAll(io.LimitReader(resp.Body, maxReply)); err != nil {
		return got, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	var reply struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(got.body, &reply) == nil {
		got.message = contract.Sentence(reply.Message)
	}
	limited := got.status == http.StatusTooManyRequests
	foreign := got.status/100 == 4 && !limited && !contract.OwnReply(got.status, resp.Header.Get("Content-Type"), got.message)
	if foreign || got.status/100 == 3 {
		return got, fmt.Errorf("%w: %s %s was answered %d by something in between", errNoAnswer, r.method, r.path, got.status)
	}
	return got, nil
}
