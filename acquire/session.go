package acquire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/contract"
)

// Session is one registration at Buildkite. Its methods may be called from
// several goroutines, but Connect first and Leave last.
type Session struct {
	client *Client
	api    *api.Client
	reply  *api.AgentRegisterResponse
	log    *slog.Logger
	beats  beats
}

func (c *Client) session(reply *api.AgentRegisterResponse) *Session {
	return &Session{
		client: c,
		api:    c.sessionAPI(reply),
		reply:  reply,
		log:    c.conf.Log.With("agent", reply.UUID),
	}
}

// sessionAPI is the client for the session's own token, and the endpoint and
// headers that the server ordered.
func (c *Client) sessionAPI(reply *api.AgentRegisterResponse) *api.Client {
	endpoint := c.conf.Endpoint
	if reply.Endpoint != "" {
		endpoint = reply.Endpoint
	}
	// FromAgentRegisterResponse keeps the HTTP client, and with it the old
	// token: so it is asked only for the headers, on a client that has ours.
	return c.apiClient(endpoint, reply.AccessToken).FromAgentRegisterResponse(reply)
}

// Reply is what the server answered to register.
func (s *Session) Reply() *api.AgentRegisterResponse { return s.reply }

// Endpoint is the base URL that the session uses.
func (s *Session) Endpoint() string { return s.api.Config().Endpoint }

// RequestHeaders are the headers that the server ordered for every request.
func (s *Session) RequestHeaders() http.Header { return s.api.ServerSpecifiedRequestHeaders() }

// Connect tells Buildkite that the session is there. It returns a *RetryError
// of ErrRefused, ErrExhausted, ErrUntrusted or ErrStopped otherwise. Connecting twice is
// harmless, so a lost reply is no matter.
func (s *Session) Connect(ctx context.Context) error {
	err := s.client.call("connect", s.client.conf.Register).Do(ctx, func(ctx context.Context, _ int) (*api.Response, error) {
		sent := time.Now()
		resp, err := s.api.Connect(ctx)
		if err == nil {
			s.beats.heard(sent)
		}
		return resp, err
	})
	if err != nil {
		return fmt.Errorf("connecting: %w", refusal(err))
	}
	return nil
}

// Acquire takes the job for this session, as long as that may take: see
// Config.Acquire.
//
// When ctx ends during a request, Acquire waits up to Config.Wire for the answer; if
// the job was granted, it returns the job. So a caller must check ctx after a success,
// and finish the job at once if ctx is over.
//
// Its errors wrap a *RetryError whose kind is ErrRejected, ErrAmbiguous,
// ErrLocked, ErrExhausted, ErrUntrusted, ErrRefused or ErrStopped.
func (s *Session) Acquire(ctx context.Context, id contract.JobID) (*Job, error) {
	call := s.client.call("acquire", s.client.conf.Acquire)
	call.Wire = s.client.conf.Wire
	call.Log = s.log
	var job *Job
	err := call.Do(ctx, func(ctx context.Context, attempt int) (*api.Response, error) {
		ctx, body := capture(ctx)
		sent := time.Now()
		j, resp, err := s.api.AcquireJob(ctx, id.String(),
			api.Header{Name: "X-Buildkite-Lock-Acquire-Job", Value: "1"},
			api.Header{Name: "X-Buildkite-Backoff-Sequence", Value: fmt.Sprint(attempt)},
		)
		if err != nil {
			return resp, err
		}
		if err := checkJob(j, id); err != nil {
			return resp, &api.UndecodableResponseError{Method: "PUT", URL: s.Endpoint(), Status: resp.Status, Err: err}
		}
		job = &Job{Job: j, StartBy: sent.Add(startWithin)}
		// The client has read one JSON value and left what may follow it.
		if err := json.NewDecoder(body).Decode(&job.Raw); err != nil {
			return resp, &api.UndecodableResponseError{Method: "PUT", URL: s.Endpoint(), Status: resp.Status, Err: err}
		}
		return resp, nil
	})
	if err == nil {
		return job, nil
	}
	var e *RetryError
	if errors.As(err, &e) && errors.Is(err, ErrRejected) && e.Lost {
		s.resolve(ctx, id, e)
	}
	return nil, fmt.Errorf("acquiring job %s: %w", id, err)
}

// Job is a job that this session was granted.
type Job struct {
	*api.Job
	// Raw is the reply that granted it, as it came: one JSON value.
	Raw json.RawMessage
	// StartBy is how long the job surely belongs to this session although it isn't
	// started. After that only its state tells.
	StartBy time.Time
}

// startWithin is how long an accepted job belongs to this session, counted from when it
// was asked for. Buildkite offers a job that isn't started within 30 s to others
// (docs/protocol.md#start); the difference is for the start request itself.
const startWithin = 25 * time.Second

// checkJob refuses a reply that is JSON, but not the job that was asked for.
func checkJob(j *api.Job, id contract.JobID) error {
	got, err := contract.ParseJobID(j.ID)
	switch {
	case err != nil:
		return fmt.Errorf("the reply is not a job: %w", err)
	case got != id:
		return fmt.Errorf("the reply is another job, %s", got)
	}
	return nil
}

// resolve decides what a rejection after a lost reply means. The state alone never
// proves that a job is ours; it can only prove that it is not.
func (s *Session) resolve(ctx context.Context, id contract.JobID, e *RetryError) {
	// While stopping, it has no more time than any request of ours.
	call := s.client.call("job_state", s.client.conf.Acquire)
	call.Wire = s.client.conf.Wire
	ctx, cancel := call.request(ctx, time.Now().Add(10*time.Second))
	defer cancel()
	s.client.count("job_state")
	state, _, err := s.api.GetJobState(ctx, id.String())
	switch {
	case err != nil:
		e.Kind, e.Why = ErrAmbiguous, fmt.Sprintf("the job's state can't be read: %v", err)
	case contract.JobState(state.State).MayBeUnstarted():
		e.Kind, e.Why = ErrAmbiguous, fmt.Sprintf("the job is %q, and nothing says for whom", state.State)
	default:
		e.Why = fmt.Sprintf("the job is %q, so it isn't held by this session", state.State)
	}
}

// Leave tells Buildkite that the session is over: stop if early is set (the
// session goes before its work is done), and disconnect, each tried until ctx
// ends. A failure is logged, for there is nothing else to do about it: Buildkite
// notices a silent session by itself.
func (s *Session) Leave(ctx context.Context, early bool) {
	leave := Backoff{
		Attempts: 4, Base: 500 * time.Millisecond, Cap: 2 * time.Second, JitterMax: 500 * time.Millisecond,
		Deadline: 10 * time.Second, Timeout: 5 * time.Second,
	}
	if early {
		// One try, as the stock agent: disconnect says enough.
		once := leave
		once.Attempts = 1
		if err := s.client.call("stop", once).Do(ctx, func(ctx context.Context, _ int) (*api.Response, error) {
			return s.api.Stop(ctx, &api.AgentStopRequest{})
		}); err != nil {
			s.log.WarnContext(ctx, "couldn't tell Buildkite that the session stops", "err", err)
		}
	}
	if err := s.client.call("disconnect", leave).Do(ctx, func(ctx context.Context, _ int) (*api.Response, error) {
		return s.api.Disconnect(ctx)
	}); err != nil {
		s.log.WarnContext(ctx, "couldn't disconnect", "err", err)
		return
	}
	s.log.InfoContext(ctx, "disconnected")
}
