package acquire

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

const testJob = "018f0000-0000-7000-8000-00000000000a" // contract.SampleJobID, untyped

// reply is one answer of a script.
type reply struct {
	status     int
	retryAfter string
	body       string
	err        error         // no answer: the connection fails like this
	unsent     bool          // with err: before anything was written
	delay      time.Duration // before the answer
	header     http.Header
}

// script is a Buildkite that answers each call from a list, the last entry for
// ever. As a RoundTripper it runs in a synctest bubble.
type script struct {
	mu      sync.Mutex
	replies map[string][]reply
	calls   []call
	begin   time.Time
}

type call struct {
	name string
	at   time.Duration
	req  *http.Request
}

func newScript(replies map[string][]reply) *script {
	return &script{replies: replies, begin: time.Now()}
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	name := req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
	if name == testJob {
		name = "state"
	}
	s.mu.Lock()
	s.calls = append(s.calls, call{name, time.Since(s.begin), req})
	next := reply{status: 200, body: okBody(name)}
	if list := s.replies[name]; len(list) > 0 {
		next = list[0]
		if len(list) > 1 {
			s.replies[name] = list[1:]
		}
	}
	s.mu.Unlock()

	if !next.unsent {
		wrote(req.Context())
	}
	select {
	case <-req.Context().Done():
		return nil, req.Context().Err()
	case <-time.After(next.delay):
	}
	if next.err != nil {
		return nil, next.err
	}
	w := httptest.NewRecorder()
	for k, v := range next.header {
		w.Header()[k] = v
	}
	if next.retryAfter != "" {
		w.Header().Set("Retry-After", next.retryAfter)
	}
	body := next.body
	switch {
	case body != "":
	case next.status < 300:
		body = okBody(name)
	case next.status >= 400 && next.status < 500: // as Buildkite words it
		body = `{"message":"no"}`
	}
	switch {
	case strings.HasPrefix(body, "{"):
		w.Header().Set("Content-Type", "application/json")
	case strings.HasPrefix(body, "<"):
		w.Header().Set("Content-Type", "text/html")
	}
	w.WriteHeader(next.status)
	io.WriteString(w, body)
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

// named returns the calls of that name.
func (s *script) named(name string) []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []call
	for _, c := range s.calls {
		if c.name == name {
			list = append(list, c)
		}
	}
	return list
}

func okBody(name string) string {
	switch name {
	case "register":
		return `{"id":"agent-1","name":"a","access_token":"session","heartbeat_interval":10,"ping_interval":1,"job_status_interval":1}`
	case "acquire":
		return fmt.Sprintf(`{"id":%q,"state":"accepted","env":{"A":"B"},"token":"job"}`, testJob)
	default:
		return `{}`
	}
}

func wrote(ctx context.Context) {
	if f := traceOf(ctx); f != nil {
		f()
	}
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func testClient(s *script) *Client {
	return NewClient(Config{
		Endpoint: "http://buildkite.test/v3", Token: "cluster", Transport: s,
		Acquire: DefaultAcquire, Register: DefaultRegister, Wire: 4 * time.Second,
		Log: silent(), Rand: NewRand(1),
	})
}

var (
	errReset   = &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}
	errRefused = &net.OpError{Op: "dial", Err: fmt.Errorf("connect: connection refused")}
)

func traceOf(ctx context.Context) func() {
	if t := httptrace.ContextClientTrace(ctx); t != nil {
		return t.WroteHeaders
	}
	return nil
}
