package probe

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
)

// beatEvery is the interval of heartbeats, short enough for any interval that Buildkite names.
const beatEvery = 30 * time.Second

// session is an agent of the probe. It takes no dispatched work.
type session struct {
	Token     string            `json:"access_token"`
	Endpoint  string            `json:"endpoint"`
	Headers   map[string]string `json:"request_headers"`
	Heartbeat int               `json:"heartbeat_interval"`
	JobStatus int               `json:"job_status_interval"`
	Ping      int               `json:"ping_interval"`

	p    *prober
	stop context.CancelFunc // of its heartbeats
}

// grant is a job that a session acquired.
type grant struct {
	ID       string `json:"id"`
	Token    string `json:"token"`
	ChunkMax uint64 `json:"chunks_max_size_bytes"`
	LogMax   uint64 `json:"log_max_size_bytes"`
	// ChunkEvery is in seconds.
	ChunkEvery uint64 `json:"chunks_interval_seconds"`

	s       *session
	id      contract.JobID
	started string // started_at of its start
}

// errRefused means that Buildkite refused a call that a question needs.
var errRefused = errors.New("refused")

func refused(what string, got answer) error { return fmt.Errorf("%s: %w: %s", what, errRefused, got) }

// register makes a session of a queue, without heartbeats and not connected. The session is
// nil if Buildkite refuses.
func (p *prober) register(ctx context.Context, queue string) (*session, answer, error) {
	got, err := p.call(ctx, request{method: http.MethodPost, path: "register", body: map[string]any{
		"name": "onejob-probe-" + p.Mark, "hostname": "onejob-probe", "os": "linux", "arch": "amd64",
		"ignore_in_dispatches": true, "version": p.Version, "meta_data": []string{"queue=" + queue, ruleOf(p.Mark)},
		"features": []string{"acquire-job"},
	}})
	if err != nil || !got.ok() {
		return nil, got, err
	}
	s := &session{p: p, stop: func() {}}
	if err := json.Unmarshal(got.body, s); err != nil {
		return nil, got, fmt.Errorf("reading the reply to register: %w", err)
	}
	p.keep(s)
	return s, got, nil
}

// agent registers and connects a session of the probe's queue. The session sends heartbeats
// if beats is set; without them Buildkite loses it.
func (p *prober) agent(ctx context.Context, beats bool) (*session, error) {
	s, got, err := p.register(ctx, p.queueKey)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, refused("register", got)
	}
	if got, err = s.post(ctx, "connect"); err != nil {
		return nil, err
	} else if !got.ok() {
		return nil, refused("connect", got)
	}
	if beats {
		beating, stop := context.WithCancel(ctx)
		s.stop = stop
		p.background.Go(func() {
			for jitter.Sleep(beating, beatEvery) {
				_, _ = s.beat(beating) // the session's job shows what became of it
			}
		})
	}
	return s, nil
}

// send makes a call with the session's endpoint, headers and, by default, token.
func (s *session) send(ctx context.Context, r request) (answer, error) {
	r.base = s.Endpoint
	header := map[string]string{}
	for name, value := range s.Headers {
		if strings.HasPrefix(http.CanonicalHeaderKey(name), "Buildkite-") {
			header[name] = value
		}
	}
	for name, value := range r.header {
		header[name] = value
	}
	r.header = header
	if r.token == "" {
		r.token = s.Token
	}
	return s.p.call(ctx, r)
}

// post is for calls of the session that may be repeated.
func (s *session) post(ctx context.Context, path string) (answer, error) {
	return s.send(ctx, request{method: http.MethodPost, path: path, body: map[string]any{}, again: true})
}

func (s *session) beat(ctx context.Context) (answer, error) {
	return s.send(ctx, request{method: http.MethodPost, path: "heartbeat", again: true,
		body: map[string]any{"sent_at": time.Now().Format(time.RFC3339Nano)}})
}

// disconnect ends the session.
func (s *session) disconnect(ctx context.Context) (answer, error) {
	s.stop()
	got, err := s.post(ctx, "disconnect")
	if err == nil && got.ok() {
		s.p.forget(s)
	}
	return got, err
}

// acquire asks for a job. The grant is nil if Buildkite refuses.
func (s *session) acquire(ctx context.Context, id contract.JobID) (*grant, answer, error) {
	got, err := s.send(ctx, request{method: http.MethodPut, path: "jobs/" + id.String() + "/acquire",
		header: map[string]string{"X-Buildkite-Lock-Acquire-Job": "1", "X-Buildkite-Backoff-Sequence": "0"}})
	if err != nil || !got.ok() {
		return nil, got, err
	}
	g := &grant{s: s, id: id}
	if err := json.Unmarshal(got.body, g); err != nil {
		return nil, got, fmt.Errorf("reading the job: %w", err)
	}
	if g.Token == "" {
		g.Token = s.Token
	}
	s.p.granted(g)
	return g, got, nil
}

// take acquires the first job of a step.
func (s *session) take(ctx context.Context, name string) (*grant, error) {
	id, err := s.p.jobOf(name)
	if err != nil {
		return nil, err
	}
	g, got, err := s.acquire(ctx, id)
	if err == nil && g == nil {
		err = refused("acquiring the job of "+name, got)
	}
	return g, err
}

func (g *grant) send(ctx context.Context, method, path string, body any) (answer, error) {
	if path != "" {
		path = "/" + path
	}
	return g.s.send(ctx, request{method: method, path: "jobs/" + g.id.String() + path, token: g.Token, body: body})
}

func (g *grant) start(ctx context.Context) (answer, error) {
	if g.started == "" {
		g.started = time.Now().UTC().Format(time.RFC3339Nano)
	}
	return g.send(ctx, http.MethodPut, "start", map[string]any{"started_at": g.started})
}

// run starts the job. A refusal is an error, because every later question needs the start.
func (g *grant) run(ctx context.Context) error {
	got, err := g.start(ctx)
	if err == nil && !got.ok() {
		err = refused("start", got)
	}
	return err
}

// state asks for the job's state with the given token.
func (g *grant) state(ctx context.Context, token string) (answer, error) {
	return g.s.send(ctx, request{method: http.MethodGet, path: "jobs/" + g.id.String(), token: token, again: true})
}

func (g *grant) finish(ctx context.Context, status, reason string, lost int) (answer, error) {
	body := map[string]any{"exit_status": status, "finished_at": time.Now().UTC().Format(time.RFC3339Nano), "chunks_failed_count": lost}
	if reason != "" {
		body["signal_reason"] = reason
	}
	got, err := g.send(ctx, http.MethodPut, "finish", body)
	if err == nil && got.ok() {
		g.s.p.released(g)
	}
	return got, err
}

// chunk sends a piece of the job's log.
func (g *grant) chunk(ctx context.Context, sequence int, offset uint64, text string) (answer, error) {
	q := url.Values{"sequence": {strconv.Itoa(sequence)}, "offset": {strconv.FormatUint(offset, 10)}, "size": {strconv.Itoa(len(text))}}
	return g.s.send(ctx, request{method: http.MethodPost, path: "jobs/" + g.id.String() + "/chunks?" + q.Encode(), token: g.Token,
		header: map[string]string{"Content-Type": "text/plain", "Content-Encoding": "gzip"}, raw: zipped(text)})
}

// zipped is a text compressed with gzip, as log chunks are.
func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text)) // to memory
	_ = w.Close()
	return b.Bytes()
}
