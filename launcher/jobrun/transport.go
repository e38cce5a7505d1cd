package jobrun

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/launcher"
)

// gaveUp is the status that JobRunner gets when the transport has given up on a call.
// It is a 4xx, so that JobRunner's own loops end.
const gaveUp = 499

// chunkProbe is for a server that took no chunk during the whole time of
// launcher.FinishPolicy. Each further chunk is tried once, until the server takes one.
// Otherwise a long log would delay the result for hours.
var chunkProbe = acquire.Backoff{
	Attempts: 1, Base: time.Second, Cap: time.Second, Deadline: 10 * time.Second, Timeout: 10 * time.Second,
}

// missingFor is how long a 404 is retried for a job that we have. finish has its own
// policy's time.
const missingFor = 2 * time.Minute

// sendTimeout bounds each request. JobRunner itself repeats those without a policy.
const sendTimeout = time.Minute

// transport carries JobRunner's requests. It is safe for concurrent use.
type transport struct {
	base   http.RoundTripper // authorizes, and bounds replies
	state  *state
	rnd    *acquire.Rand
	log    *slog.Logger
	client *api.Client // for GET jobs/:id, over this transport
	job    *api.Job
	// startBy is launcher.Handover's.
	startBy time.Time
	// hold is whether the container stays.
	hold launcher.Hold
	// builds is the folder for builds.
	builds string
	// chunksDown is set while the server takes no log chunks.
	chunksDown atomic.Bool
}

// RoundTrip sends req as often as its policy allows, and returns the last
// answer, or one with status gaveUp.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	switch call := t.callOf(req); call {
	case "start":
		return t.start(req)
	case "finish":
		return t.finish(req)
	case "chunks":
		t.state.chunkIssued(req)
		policy := launcher.FinishPolicy
		if t.chunksDown.Load() {
			policy = chunkProbe
		}
		resp, retry := t.repeat(t.state.chunksCtx, t.state.hurryChunks, req, call, policy, nil)
		t.chunksDown.Store(retry != nil && (errors.Is(retry.Kind, acquire.ErrExhausted) || errors.Is(retry.Kind, acquire.ErrUntrusted)))
		if resp.StatusCode < 300 {
			t.state.update(func(r *launcher.Report) { r.ChunksOpen-- })
		}
		return resp, nil
	case "header_times":
		resp, _ := t.repeat(t.state.chunksCtx, t.state.hurryChunks, req, call, launcher.FinishPolicy, nil)
		return resp, nil
	default:
		resp, err := t.send(req.Context(), req, call)
		if err == nil && resp.StatusCode/100 == 4 {
			if e := replyError(resp); !acquire.OwnReply(&api.Response{Response: resp}, e) {
				return nil, e // JobRunner would take a 401 for the end of its right to the job
			}
		}
		if err != nil || call != "job_state" || !t.running() {
			return resp, err
		}
		over := resp.StatusCode == http.StatusOK && isFinished(resp)
		if over || resp.StatusCode == http.StatusUnauthorized {
			t.state.update(func(r *launcher.Report) { r.TokenRefused = true })
		}
		if over {
			return answer(req, http.StatusOK, `{"state":"canceled"}`), nil
		}
		return resp, nil
	}
}

// running: the job was started, and its end isn't being reported yet.
func (t *transport) running() bool {
	r := t.state.snapshot()
	return r.Ran && !r.Finish.Sent
}

// isFinished: Buildkite says that the job is over. Of one that runs here it most often
// refuses the token then (docs/assumptions.md#ended-job-token); JobRunner knows that, and
// would let a job run on that is finished.
func isFinished(resp *http.Response) bool {
	body, _ := io.ReadAll(resp.Body) //nolint:errcheck // in memory
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var job struct{ State contract.JobState }
	return json.Unmarshal(body, &job) == nil && job.State == contract.JobFinished
}

// callOf names the request's call, from the last part of its path.
func (t *transport) callOf(req *http.Request) string {
	last := req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
	if last == t.job.ID {
		return "job_state"
	}
	return last
}

func (t *transport) finish(req *http.Request) (*http.Response, error) {
	var f api.JobFinishRequest
	if body, err := req.GetBody(); err == nil {
		json.NewDecoder(body).Decode(&f) //nolint:errcheck // our own client encoded it
		body.Close()                     //nolint:errcheck // in memory
	}
	// The stop ended a pre-bootstrap hook, which JobRunner reads as the hook's refusal.
	if f.SignalReason == "agent_refused" && t.state.startCtx.Err() != nil && !t.state.snapshot().Ran {
		f.SignalReason = "agent_stop"
		var err error
		if req, err = withField(req, "signal_reason", f.SignalReason); err != nil {
			return nil, err
		}
	}
	t.state.update(func(r *launcher.Report) {
		r.EndedAt = time.Now()
		r.ExitStatus, r.Signal, r.SignalReason, r.ChunksFailed = f.ExitStatus, f.Signal, f.SignalReason, f.ChunksFailedCount
		r.Finish.Sent = true
	})
	t.lastWords(f.ExitStatus, f.SignalReason)
	proof := acquire.ProofNone
	confirm := func(ctx context.Context) bool {
		proof = acquire.Delivered(ctx, t.client, t.job, t.rnd, nil)
		return proof != acquire.ProofNone
	}
	resp, retry := t.repeat(t.state.reportCtx, t.state.hurryReport, req, "finish", launcher.FinishPolicy, confirm)
	end := launcher.Delivery{Sent: true, Delivered: resp.StatusCode < 300}
	if !end.Delivered {
		end.Err = retry.Error()
	}
	if !end.Delivered && retry.Lost {
		ctx, cancel := until(req.Context(), t.state.reportCtx)
		confirm(ctx)
		cancel()
	}
	if proof != acquire.ProofNone {
		end = launcher.Delivery{Sent: true, Delivered: true, Inferred: true, ByToken: proof == acquire.ProofToken}
		resp = answer(req, http.StatusOK, "{}")
	}
	t.state.update(func(r *launcher.Report) { r.Finish = end })
	return resp, nil
}

// withField returns req with another value in a field of its JSON.
func withField(req *http.Request, name string, value any) (*http.Request, error) {
	fields := map[string]any{}
	body, err := req.GetBody()
	if err == nil {
		err = json.NewDecoder(body).Decode(&fields)
	}
	if err != nil {
		return nil, fmt.Errorf("reading our own request: %w", err)
	}
	fields[name] = value
	b, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.ContentLength = int64(len(b))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	return req, nil
}

// repeat sends req by policy until it gets a final answer, or end or the request's own
// context ends; hurry and confirm are acquire.Call's. If it gets none, it returns an
// answer with status gaveUp, and why.
func (t *transport) repeat(end, hurry context.Context, req *http.Request, call string, policy acquire.Backoff, confirm func(context.Context) bool) (*http.Response, *acquire.RetryError) {
	ctx, cancel := until(req.Context(), end)
	defer cancel()
	var wire time.Duration
	if call == "start" {
		// The start may be granted at this moment, so its answer gets a little time.
		// Other calls end when their time is over; more time would be taken from the
		// next call.
		wire = time.Second
	}
	missing := missingFor
	if call == "finish" {
		missing = policy.Deadline
	}
	var last *http.Response
	err := acquire.Call{
		Name: call, Backoff: policy, Rand: t.rnd, Log: t.log,
		Wire: wire, Hurry: hurry, Missing: missing, Confirm: confirm,
	}.Do(ctx, func(ctx context.Context, _ int) (*api.Response, error) {
		resp, err := t.send(ctx, req, call) //nolint:bodyclose // send has read and closed it
		if err != nil {
			return nil, err
		}
		last = resp
		return &api.Response{Response: resp}, replyError(resp)
	})
	var retry *acquire.RetryError
	if errors.As(err, &retry) {
		return answer(req, gaveUp, message(retry.Error())), retry
	}
	return last, nil
}

// until returns a copy of ctx that ends with end, too, for end's cause.
func until(ctx, end context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if end.Err() != nil { // AfterFunc would only begin to tell
		cancel(context.Cause(end))
	}
	stop := context.AfterFunc(end, func() { cancel(context.Cause(end)) })
	return ctx, func() { stop(); cancel(nil) }
}

// send sends req once and reads the whole reply, so that its context may end
// with it.
func (t *transport) send(ctx context.Context, req *http.Request, call string) (*http.Response, error) {
	t.state.sent(call)
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	req = req.Clone(ctx)
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		req.Body = body
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// replyError is the error that the agent's client makes of a status, with the API's own
// message. The body can still be read.
func replyError(resp *http.Response) error {
	if resp.StatusCode < 300 {
		return nil
	}
	body, _ := io.ReadAll(resp.Body) //nolint:errcheck // in memory
	resp.Body = io.NopCloser(bytes.NewReader(body))
	e := &api.ErrorResponse{Response: resp}
	if json.Unmarshal(body, e) != nil {
		e.Snippet = contract.Word(string(body))
	}
	return e
}

// answer is a reply of our own.
func answer(req *http.Request, status int, body string) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(status) + " onejob", StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func message(text string) string {
	b, err := json.Marshal(map[string]string{"message": text})
	if err != nil {
		return fmt.Sprintf(`{"message":%q}`, "unprintable")
	}
	return string(b)
}
