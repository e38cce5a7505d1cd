package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// call is one request while it is served.
type call struct {
	r      *http.Request
	seq    uint64
	route  *route
	params map[string]string
	body   []byte
	now    time.Time

	cred  credential
	agent *agent
	job   *job
	jobID string // of the path

	chunk    *chunk
	form     *artifactForm
	fault    *Fault
	withheld bool // the client won't get the reply
}

// decode reads the JSON body into v; an empty body doesn't change v.
func (c *call) decode(v any) *reply {
	if len(c.body) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, v); err != nil {
		return failure(http.StatusBadRequest, "Malformed JSON: "+err.Error())
	}
	return nil
}

func (c *call) agentID() string {
	if c.agent == nil {
		return ""
	}
	return c.agent.id
}

// ServeHTTP serves the Agent API and the Stacks API under /v3 and, for bases
// without it, at the root; the control API under /_sim; a page at /.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	segments, err := splitPath(r.URL)
	if err != nil {
		_ = writeJSON(w, http.StatusBadRequest, map[string]any{"message": "Malformed path"})
		return
	}
	rt, params, otherMethod := s.match(r.Method, segments)
	if rt == nil && s.serveControl(w, r, segments) {
		return
	}
	c := &call{r: r, route: rt, params: params, jobID: params["id"]}
	if rt == nil {
		c.route = &route{name: "unknown"}
		if strings.HasPrefix(strings.Join(segments, "/"), "agentedge.v1.") {
			// After a 404 an agent falls back to polling for good.
			c.route.name = "stream_pings"
		}
		c.route.serve = func(*call) reply {
			if otherMethod {
				return *failure(http.StatusMethodNotAllowed, "Method not allowed")
			}
			return *failure(http.StatusNotFound, "No such endpoint")
		}
	}
	s.handle(w, c)
}

// handle reads a call's body, applies a fault, runs the handler, writes the reply and records
// the call.
func (s *Simulator) handle(w http.ResponseWriter, c *call) {
	arrived := s.now()
	if s.skew.Load() != 0 {
		w.Header().Set("Date", arrived.UTC().Format(http.TimeFormat))
	}
	body, tooLarge, broken := readBody(w, c.r, c.route.maxBody)
	c.body = body

	s.mu.Lock()
	shut := s.isShut
	c.seq = s.requests.next()
	c.fault = s.faults.pick(c.route.name, c.jobID, body, arrived)
	s.hear(c)
	s.mu.Unlock()
	if shut {
		_ = writeJSON(w, http.StatusServiceUnavailable, map[string]any{"message": "The simulator is closed"})
		return
	}

	var rep reply
	abort, reached := false, false
	switch {
	case broken:
		abort = true // the client didn't send the whole body
	case c.fault != nil:
		rep, abort, reached = s.handleFaulty(c)
	case tooLarge:
		rep = *failure(http.StatusRequestEntityTooLarge, "The body is too large")
	default:
		rep, reached = s.process(c), true
	}
	if reached && c.r.Context().Err() != nil {
		abort = true // the client gave up while the handler ran
	}

	status := rep.status
	if abort {
		status = 0
	}
	s.record(c, arrived, status)
	if abort {
		s.markWithheld(c)
		tear(w)
		return
	}
	raw, contentType, err := rep.encode()
	if err != nil {
		panic(fmt.Sprintf("simulator: encoding the reply of %s: %v", c.route.name, err))
	}
	if c.fault != nil && c.fault.Truncate {
		s.markWithheld(c)
		truncate(w, rep, contentType, raw)
		return
	}
	if err := writeReply(w, rep.status, rep.header, contentType, raw); err != nil {
		s.markWithheld(c)
	}
}

// hear notes a finish or a chunk that a client sent for a job, whatever its outcome.
func (s *Simulator) hear(c *call) {
	j := s.jobs[c.jobID]
	if j == nil {
		return
	}
	switch c.route.name {
	case "finish":
		s.ledger.book(j.id).endAsked = true
	case "chunks":
		// A job that hasn't started has no log that could be missing.
		if end, err := chunkEnd(c.r.URL.Query()); err == nil && !j.startedAt.IsZero() {
			j.log.offered = max(j.log.offered, end)
		}
	}
}

// process runs the handler under the lock.
func (s *Simulator) process(c *call) reply {
	if c.route.prepare != nil {
		if rep := c.route.prepare(c); rep != nil {
			return *rep
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isShut {
		return *failure(http.StatusServiceUnavailable, "The simulator is closed")
	}
	c.now = s.now()
	if c.r.Context().Err() != nil {
		c.withheld = true
	}
	if c.route.auth != authNone {
		if rep := s.authorize(c); rep != nil {
			return *rep
		}
	}
	rep := c.route.serve(c)
	s.touch()
	return rep
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, tooLarge, broken bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, false, false
	}
	if limit == 0 {
		limit = 1 << 20
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if tooBig := new(http.MaxBytesError); errors.As(err, &tooBig) {
		return nil, true, false
	}
	return body, false, err != nil
}

func writeJSON(w http.ResponseWriter, status int, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return writeReply(w, status, nil, "application/json; charset=utf-8", raw)
}

// tear ends the connection with a reset, not a FIN, so that the client sees a failure and not
// an orderly close.
func tear(w http.ResponseWriter) {
	if hj, isHijacker := w.(http.Hijacker); isHijacker {
		if conn, _, err := hj.Hijack(); err == nil {
			if tcp, isTCP := conn.(*net.TCPConn); isTCP {
				_ = tcp.SetLinger(0)
			}
			_ = conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}

// truncate announces the whole body's length, sends half of it and ends the connection.
func truncate(w http.ResponseWriter, rep reply, contentType string, raw []byte) {
	h := w.Header()
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	for name, value := range rep.header {
		h.Set(name, value)
	}
	h.Set("Content-Length", fmt.Sprint(max(len(raw), 2)))
	w.WriteHeader(rep.status)
	_, _ = w.Write(raw[:len(raw)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
