package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/k8s/scheduler"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

// load is the configuration, read anew.
func (h *history) load() (*config.Config, error) {
	c := *h.config
	c.Queues = slices.Clone(c.Queues)
	return &c, nil
}

// instance is one process of the scheduler: what it holds in memory dies with
// it. All but its requests are guarded by h.mu.
type instance struct {
	h      *history
	n      int
	s      *scheduler.Scheduler
	cancel context.CancelFunc
	done   chan error
	skew   kube.Skew
	dead   bool // crashed: nothing it sends arrives any more
	left   bool // crashed or asked to end

	calls   map[string]int
	watches []*watcher
	seen    map[contract.JobID]bool // jobs that it was shown a kjob of, or made one
	mine    map[string]string       // unfinished kjobs that it made or found at its start: name to UID
	paused  time.Time               // since when it knows that the queue is paused
	told    map[contract.JobID]time.Time
	sent    map[contract.JobID]int          // the highest attempt that it has tried to make
	marked  map[contract.JobID]*batchv1.Job // the last attempt's kjob that it was shown with a mark, unless it has tried to make another one
}

func (s *instance) String() string { return fmt.Sprint("scheduler ", s.n) }

// launch starts a process.
func (h *history) launch() *instance {
	ctx, cancel := context.WithCancel(h.ctx)
	h.mu.Lock()
	s := &instance{h: h, n: len(h.instances) + 1, cancel: cancel, done: make(chan error, 1),
		calls: map[string]int{}, seen: map[contract.JobID]bool{}, mine: map[string]string{}, told: map[contract.JobID]time.Time{},
		sent: map[contract.JobID]int{}, marked: map[contract.JobID]*batchv1.Job{}}
	h.instances = append(h.instances, s)
	h.noteLocked("%s starts", s)
	h.mu.Unlock()
	s.s = scheduler.New(scheduler.Options{
		Kube: client{h.fake, s}, Version: "test", Transport: s, Token: stacks.Token(simulator.DefaultAgentToken), Log: h.log(s),
		Load: h.load, Metrics: h.metrics, Skew: s.skew.Of,
	})
	h.wg.Go(func() {
		err := s.s.Run(ctx)
		h.mu.Lock()
		clean := s.left || err == nil || h.ctx.Err() != nil
		h.noteLocked("%s has ended: %v", s, err)
		h.mu.Unlock()
		s.done <- err
		if !clean { // as its Deployment would
			h.note("%s gave up, and another one is started", s)
			h.mu.Lock()
			s.left = true
			h.mu.Unlock()
			if h.sleep(2*time.Second, nil) {
				h.launch()
			}
		}
	})
	return s
}

// crash ends a process in the middle of whatever it does; another one follows.
func (s *instance) crash(after time.Duration) {
	s.h.mu.Lock()
	already := s.left
	s.dead, s.left = true, true
	s.h.noteLocked("%s dies", s)
	watches := s.watches
	s.h.mu.Unlock()
	s.cancel()
	for _, w := range watches {
		w.Stop()
	}
	if already {
		return
	}
	s.h.wg.Go(func() {
		if s.h.sleep(after, nil) && len(s.h.alive()) == 0 {
			s.h.launch()
		}
	})
}

// drain asks a process to end.
func (s *instance) drain() {
	s.h.mu.Lock()
	already := s.left
	s.left = true
	s.h.noteLocked("%s is asked to end", s)
	s.h.mu.Unlock()
	s.cancel()
	if already {
		return
	}
	began := time.Now()
	<-s.done
	if d := time.Since(began); d > 10*time.Second {
		s.h.broke("%s took %s to drain", s, d)
	}
}

var (
	errUnavailable = errors.New("503")
	errLimited     = errors.New("429")
	errConflict    = errors.New("409")
)

// befalls is the trouble of a request.
func (s *instance) befalls(api, verb, what string) trouble {
	n := s.h.count(s, api+verb+what)
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if !s.h.troubled() {
		return fine
	}
	if t := s.h.outage[api]; t != fine {
		return t
	}
	r := s.h.plan.kube
	if api == "wire" {
		r = s.h.plan.wire
	}
	return pick(r, diesAfter, chance(s.h.seed, api, verb, what, s.n, n))
}

// carry takes a request to its server and the reply back. apply is the effect;
// inTime is false when nobody waits for it any more.
func (s *instance) carry(ctx context.Context, t trouble, what string, apply func(inTime bool)) error {
	h := s.h
	h.mu.Lock()
	dead := s.dead
	h.mu.Unlock()
	if dead {
		return errTorn
	}
	if t != fine {
		h.note("%s: %s: %s", s, what, t)
	}
	d := func(lo, hi time.Duration) time.Duration {
		return lo + time.Duration(chance(h.seed, "takes", what, s.n, h.count(s, "takes"+what))*float64(hi-lo))
	}
	gone := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return errTorn
	}
	switch t {
	case tornBefore:
		return errTorn
	case answers503, overQuota:
		return errUnavailable
	case answers429:
		return errLimited
	case answers409:
		return errConflict
	case replyLost:
		apply(true)
		return errTorn
	case slowly:
		h.sleep(d(100*time.Millisecond, 4*time.Second), ctx.Done())
		if ctx.Err() != nil {
			apply(false)
			return ctx.Err()
		}
	case hangs:
		h.sleep(30*time.Second, ctx.Done())
		return gone()
	case landsLate:
		after := d(time.Second, 25*time.Second)
		h.pending(1)
		h.wg.Go(func() {
			defer h.pending(-1)
			if h.sleep(after, nil) {
				h.note("%s: %s lands now", s, what)
				apply(false)
			}
		})
		h.sleep(30*time.Second, ctx.Done())
		return gone()
	case diesBefore:
		s.crash(d(0, 15*time.Second))
		return errTorn
	case diesAfter:
		apply(true)
		s.crash(d(0, 15*time.Second))
		return errTorn
	}
	apply(true)
	return nil
}

// RoundTrip carries a request to Buildkite.
func (s *instance) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	call, id := callOf(r.URL.Path)
	s.checkCall(call, id, body)
	t := s.befalls("wire", call, id)
	if t == answers409 || t == overQuota {
		t = answers503
	}
	var resp *http.Response
	err := s.carry(r.Context(), t, call+" "+id, func(bool) {
		s.h.arrives(s, call, id, body)
		resp = s.h.serve(r.WithContext(s.h.ctx), body)
	})
	switch {
	case err == nil:
	case errors.Is(err, errUnavailable):
		resp = answerOf(503, nil)
	case errors.Is(err, errLimited):
		resp = answerOf(429, http.Header{"Retry-After": {"2"}})
	default:
		return nil, err
	}
	if s.h.tokenRefused() {
		return answerOf(401, nil), nil
	}
	if call == "list" && resp.StatusCode == 200 {
		s.knowsPaused(bytes.Contains(resp.Body.(*replyBody).b, []byte(`"dispatch_paused":true`)))
	}
	return resp, nil
}

// callOf names a call of the Stacks API, and its job.
func callOf(path string) (call, id string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch last := parts[len(parts)-1]; last {
	case "scheduled-jobs":
		return "list", ""
	case "batch-reserve":
		return "reserve", ""
	case "get-states":
		return "states", ""
	case "finish":
		return "finish", parts[len(parts)-2]
	default:
		return last, ""
	}
}

// serve hands a request to the simulator, without the goroutine and the copies
// that its Transport makes. Who leaves meanwhile, at the history's end, is told nothing.
func (h *history) serve(r *http.Request, body []byte) (resp *http.Response) {
	defer func() {
		switch e := recover(); e {
		case nil:
		case http.ErrAbortHandler:
			resp = answerOf(http.StatusBadGateway, nil)
		default:
			panic(e)
		}
	}()
	in := r.Clone(r.Context())
	in.RequestURI, in.Host, in.Body = r.URL.RequestURI(), r.URL.Host, io.NopCloser(bytes.NewReader(body))
	w := &reply{header: http.Header{}, status: 200}
	h.sim.ServeHTTP(w, in)
	resp = answerOf(w.status, w.header)
	resp.Body, resp.ContentLength, resp.Request = &replyBody{b: w.body.Bytes()}, int64(w.body.Len()), r
	return resp
}

func answerOf(status int, header http.Header) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: &replyBody{}}
}

type reply struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *reply) Header() http.Header         { return w.header }
func (w *reply) WriteHeader(status int)      { w.status = status }
func (w *reply) Write(b []byte) (int, error) { return w.body.Write(b) }

type replyBody struct {
	b    []byte
	read int
}

func (r *replyBody) Read(p []byte) (int, error) {
	n := copy(p, r.b[r.read:])
	if r.read += n; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (r *replyBody) Close() error { return nil }
