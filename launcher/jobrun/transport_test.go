package jobrun

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buildkite/agent/v3/api"
	"go.uber.org/goleak"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/launcher"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The agent's libraries start these as they are linked.
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
	)
}

const job = "018f0000-0000-7000-8000-00000000000a" // contract.SampleJobID, untyped

// server answers each call from a list of statuses; 0 is a connection that
// breaks before an answer, and a negative one is of a page of something on the
// way. The last entry goes on for ever.
type server struct {
	mu         sync.Mutex
	replies    map[string][]int
	retryAfter string
	state      string // of the job; "" is refused with 401
	calls      []string
	bodies     []string
}

// untrusted stands for a certificate that isn't trusted, and plain for a 200 with a text
// that isn't JSON. A 204 has no body.
const (
	untrusted = -1
	plain     = 299
)

func (s *server) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
	s.calls = append(s.calls, name)
	body := ""
	if req.Body != nil {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		body = string(b)
	}
	s.bodies = append(s.bodies, body)
	status := 200
	if name == job && s.state == "" {
		status = 401
	}
	if list := s.replies[name]; len(list) > 0 {
		status = list[0]
		if len(list) > 1 {
			s.replies[name] = list[1:]
		}
	}
	if status == untrusted {
		return nil, x509.UnknownAuthorityError{}
	}
	if status < 0 {
		resp := answer(req, -status, "<html>Please sign in</html>")
		resp.Header.Set("Content-Type", "text/html")
		return resp, nil
	}
	if name == job {
		return answer(req, status, `{"state":"`+s.state+`"}`), nil
	}
	if status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	resp := answer(req, status, `{"message":"no"}`)
	switch status {
	case plain:
		resp = answer(req, http.StatusOK, "OK")
		resp.Header.Set("Content-Type", "text/plain")
	case http.StatusNoContent:
		resp = answer(req, status, "")
	}
	if s.retryAfter != "" {
		resp.Header.Set("Retry-After", s.retryAfter)
	}
	return resp, nil
}

func (s *server) count(name string) int {
	n := 0
	for _, c := range s.calls {
		if c == name {
			n++
		}
	}
	return n
}

// setup returns a client over a transport that speaks to s.
func setup(s *server) (*api.Client, *state, *bytes.Buffer) {
	client, t, out := setupTransport(s)
	return client, t.state, out
}

func setupTransport(s *server) (*api.Client, *transport, *bytes.Buffer) {
	out := new(bytes.Buffer)
	st := newState(out)
	t := &transport{base: acquire.Authorized(s, "job"), state: st, rnd: acquire.NewRand(1), log: slog.New(slog.DiscardHandler), job: &api.Job{ID: job, Token: "job"}, startBy: time.Now().Add(25 * time.Second)}
	client := api.NewClient(acquire.Logger(t.log), api.Config{Endpoint: "http://buildkite.test/v3", HTTPClient: acquire.HTTPClient(t)})
	t.client = client
	return client, t, out
}

// lost is a reply that was lost only if the request was written: over a
// RoundTripper of a test nothing is traced, so 502 stands for it.
const lost = 502

func TestTransportStartAndFinish(t *testing.T) {
	for _, tt := range []struct {
		name                string
		replies             []int
		state               string
		requests, asked     int
		delivered, inferred bool
	}{
		{name: "taken", replies: []int{200}, requests: 1, delivered: true},
		{name: "500, then taken", replies: []int{500, 200}, requests: 2, delivered: true},
		{name: "429, then taken", replies: []int{429, 200}, requests: 2, delivered: true},
		{name: "no answer, then taken", replies: []int{0, 200}, requests: 2, delivered: true},
		{name: "refused", replies: []int{422}, requests: 1},
		{name: "401", replies: []int{401}, requests: 1},
		{name: "lost, then refused, and it was taken", replies: []int{lost, 422}, state: "taken", requests: 2, asked: 1, delivered: true, inferred: true},
		{name: "lost, then refused, and it wasn't", replies: []int{lost, 422}, state: "accepted", requests: 2, asked: 1},
		{name: "503, then refused", replies: []int{503, 422}, state: "taken", requests: 2},
		{name: "a page, then taken", replies: []int{-403, 200}, requests: 2, delivered: true},
		{name: "a page for a success, then taken", replies: []int{-200, 200}, requests: 2, delivered: true},
		{name: "a text for a success, then taken", replies: []int{plain, 200}, requests: 2, delivered: true},
		{name: "nothing for a success, and it was taken", replies: []int{204}, state: "taken", requests: 1, asked: 1, delivered: true, inferred: true},
		{name: "nothing for a success, and it wasn't, then taken", replies: []int{204, 200}, state: "accepted", requests: 2, asked: 1, delivered: true},
		{name: "a wrong certificate, then taken", replies: []int{untrusted, 200}, requests: 2, delivered: true},
		{name: "408, then taken", replies: []int{408, 200}, requests: 2, delivered: true},
		{name: "404, of a partition that doesn't know the job yet, then taken", replies: []int{404, 404, 200}, requests: 3, delivered: true},
	} {
		for _, call := range []string{"start", "finish"} {
			t.Run(call+" "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &server{replies: map[string][]int{call: tt.replies}, state: tt.state}
					if tt.state == "taken" {
						s.state = map[string]string{"start": "running", "finish": "finished"}[call]
					}
					client, st, _ := setup(s)
					var err error
					if call == "start" {
						_, err = client.StartJob(t.Context(), &api.Job{ID: job})
					} else {
						_, err = client.FinishJob(t.Context(), &api.Job{ID: job, ExitStatus: "3", ChunksFailedCount: 2}, nil)
					}
					if (err == nil) != tt.delivered {
						t.Errorf("JobRunner sees %v, want delivered %v", err, tt.delivered)
					}
					if err != nil && !api.IsErrHavingStatus(err, gaveUp) {
						t.Errorf("JobRunner's own loop would go on after %v", err)
					}
					if n, asked := s.count(call), s.count(job); n != tt.requests || asked != tt.asked {
						t.Errorf("%d requests and %d for the state, want %d and %d", n, asked, tt.requests, tt.asked)
					}
					r := st.snapshot()
					got := map[string]launcher.Delivery{"start": r.Start, "finish": r.Finish}[call]
					if got.Delivered != tt.delivered || got.Inferred != tt.inferred || !got.Sent || (got.Err == "") != tt.delivered {
						t.Errorf("reported as %+v", got)
					}
					if call == "finish" && (r.ExitStatus != "3" || r.ChunksFailed != 2) {
						t.Errorf("the result isn't reported: %+v", r)
					}
					for i, b := range s.bodies {
						if s.calls[i] == call && b != s.bodies[0] {
							t.Errorf("request %d has another body", i)
						}
					}
				})
			})
		}
	}
}

// A token that is refused after a finish that may have been taken was good for
// that finish.
func TestTransportFinishThenTokenRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, st, _ := setup(&server{replies: map[string][]int{"finish": {lost, 401}}})
		st.update(func(r *launcher.Report) { r.Ran = true })
		if _, err := client.FinishJob(t.Context(), &api.Job{ID: job}, nil); err != nil || !st.snapshot().Finish.Inferred || st.snapshot().TokenRefused {
			t.Errorf("%v, %+v: want it to count as delivered", err, st.snapshot().Finish)
		}
	})
}

// A page that says 401 is not Buildkite's word that the job's token is spent: not
// of the finish that may have been taken, nor of the job's state.
func TestTransportFinishThenSignInPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{replies: map[string][]int{"finish": {lost, -401}, job: {-401}}}
		client, st, _ := setup(s)
		began := time.Now()
		if _, err := client.FinishJob(t.Context(), &api.Job{ID: job}, nil); err == nil || st.snapshot().Finish.Delivered {
			t.Errorf("%v, %+v: want it not to count as delivered", err, st.snapshot().Finish)
		}
		if took := time.Since(began); took < 8*time.Minute {
			t.Errorf("it was given up after %v, want its whole time", took)
		}
	})
}

// JobRunner cancels the job when its token is refused: by Buildkite.
func TestTransportStateIsBuildkites(t *testing.T) {
	for status, refused := range map[int]bool{401: true, -401: false, -200: false, 503: false} {
		synctest.Test(t, func(t *testing.T) {
			client, _, _ := setup(&server{replies: map[string][]int{job: {status}}})
			_, resp, err := client.GetJobState(t.Context(), job)
			if got := resp != nil && resp.StatusCode == 401; err == nil || got != refused {
				t.Errorf("%d: JobRunner sees %v, %v; want a refusal: %t", status, resp, err, refused)
			}
		})
	}
}

// A job that Buildkite has ended while it runs is told JobRunner as cancelled, and it isn't
// while it is being started or finished, when its state is proof of that.
func TestTransportJobEndedWhileItRuns(t *testing.T) {
	for _, tt := range []struct {
		state, want string
		report      func(*launcher.Report)
	}{
		{"finished", "canceled", func(r *launcher.Report) { r.Ran = true }},
		{"running", "running", func(r *launcher.Report) { r.Ran = true }},
		{"timed_out", "timed_out", func(r *launcher.Report) { r.Ran = true }},
		{"finished", "finished", func(r *launcher.Report) {}},
		{"finished", "finished", func(r *launcher.Report) { r.Ran, r.Finish.Sent = true, true }},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, st, _ := setup(&server{replies: map[string][]int{job: {200}}, state: tt.state})
			st.update(tt.report)
			got, _, err := client.GetJobState(t.Context(), job)
			if err != nil || got.State != tt.want {
				t.Errorf("JobRunner sees %+v, %v; want %s", got, err, tt.want)
			}
			if ended := tt.want != tt.state; st.snapshot().TokenRefused != ended {
				t.Errorf("of the state %s it is reported that Buildkite ended the job: %t", tt.state, !ended)
			}
		})
	}
}

// One answer that fails to come doesn't decide what became of a start or finish.
func TestTransportAsksForTheStateAgain(t *testing.T) {
	for call, state := range map[string]string{"start": "running", "finish": "finished"} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{replies: map[string][]int{call: {lost, 422}, job: {503, 200}}, state: state}
			client, st, _ := setup(s)
			var err error
			if call == "start" {
				_, err = client.StartJob(t.Context(), &api.Job{ID: job})
			} else {
				_, err = client.FinishJob(t.Context(), &api.Job{ID: job}, nil)
			}
			if r := st.snapshot(); err != nil || !r.Start.Inferred && !r.Finish.Inferred || s.count(job) != 2 {
				t.Errorf("%s: %v, %+v after %d questions; want it to count as delivered", call, err, r, s.count(job))
			}
		})
	}
}

// What became of a start tells whether the job's log may be written to, and
// whether another start is worth its while.
func TestTransportStartReports(t *testing.T) {
	for _, tt := range []struct {
		name          string
		replies       []int
		stop          time.Duration // after which the job is not to be started any more
		sent, refused bool
	}{
		{"stopped before", []int{200}, -1, false, false},
		{"stopped between attempts", []int{503}, time.Minute, true, false},
		{"refused", []int{422}, time.Hour, true, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, st, _ := setup(&server{replies: map[string][]int{"start": tt.replies}})
			if tt.stop < 0 {
				st.stop(time.Time{}, launcher.Budget{})
			} else {
				time.AfterFunc(tt.stop, func() { st.stop(time.Time{}, launcher.Budget{}) })
			}
			if _, err := client.StartJob(t.Context(), &api.Job{ID: job}); err == nil {
				t.Errorf("%s: it started", tt.name)
			}
			if got := st.snapshot().Start; got.Sent != tt.sent || got.Refused != tt.refused || got.Delivered {
				t.Errorf("%s: %+v", tt.name, got)
			}
			time.Sleep(2 * time.Hour) // past the timer
		})
	}
}

// A stop ends a pre-bootstrap hook: that is no refusal. One of a hook that
// nobody stopped is.
func TestTransportStopIsNoRefusal(t *testing.T) {
	for want, stopped := range map[string]bool{"agent_stop": true, "agent_refused": false} {
		synctest.Test(t, func(t *testing.T) {
			s := new(server)
			client, st, _ := setup(s)
			if stopped {
				st.stop(time.Time{}, launcher.Budget{})
			}
			if _, err := client.FinishJob(t.Context(), &api.Job{ID: job, ExitStatus: "-1", SignalReason: "agent_refused", ChunksFailedCount: 7}, nil); err != nil {
				t.Fatal(err)
			}
			var f api.JobFinishRequest
			if err := json.Unmarshal([]byte(s.bodies[0]), &f); err != nil || f.SignalReason != want || f.ExitStatus != "-1" || f.ChunksFailedCount != 7 {
				t.Errorf("sent %s (%v), want the reason %s", s.bodies[0], err, want)
			}
			if got := st.snapshot().SignalReason; got != want {
				t.Errorf("reported %q, want %q", got, want)
			}
		})
	}
}

func TestTransportChunksSurvive429(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{replies: map[string][]int{"chunks": {429, 429, 500, 200}}, retryAfter: "5"}
		client, st, _ := setup(s)
		begin := time.Now()
		_, err := client.UploadChunk(t.Context(), job, &api.Chunk{Data: []byte("hello"), Sequence: 4, Offset: 100, Size: 5})
		if err != nil || s.count("chunks") != 4 {
			t.Errorf("%v after %d requests", err, s.count("chunks"))
		}
		if took := time.Since(begin); took < 15*time.Second {
			t.Errorf("Retry-After wasn't honoured: %v", took)
		}
		if r := st.snapshot(); r.LogEnd != 105 || r.LogSequence != 5 || r.Tries["chunks"] != 4 {
			t.Errorf("reported as %+v", r)
		}
	})
}

// Nor is one lost because a partition of Buildkite's doesn't know the job yet.
func TestTransportChunksSurvive404(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{replies: map[string][]int{"chunks": {404, 404, 200}}}
		client, st, _ := setup(s)
		_, err := client.UploadChunk(t.Context(), job, &api.Chunk{Data: []byte("hello"), Sequence: 1, Size: 5})
		if r := st.snapshot(); err != nil || r.Tries["chunks"] != 3 || r.LogEnd != 5 {
			t.Errorf("%v, reported as %+v", err, r)
		}
	})
}

// One chunk has its ten minutes; after that a long log doesn't keep the result
// back, and the first chunk that is taken ends the doubt.
func TestTransportChunksDown(t *testing.T) {
	for _, down := range []int{500, -403, untrusted} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{replies: map[string][]int{"chunks": {down}}}
			client, _, _ := setup(s)
			upload := func() (int, time.Duration, error) {
				before, begin := s.count("chunks"), time.Now()
				_, err := client.UploadChunk(t.Context(), job, &api.Chunk{Data: []byte("x"), Size: 1})
				return s.count("chunks") - before, time.Since(begin), err
			}
			if n, took, err := upload(); err == nil || n < 5 || took > 10*time.Minute {
				t.Errorf("the first: %d requests in %v, %v", n, took, err)
			}
			for range 3 {
				if n, took, err := upload(); err == nil || n != 1 || took > 10*time.Second {
					t.Errorf("a further one: %d requests in %v, %v", n, took, err)
				}
			}
			s.replies["chunks"] = []int{200, down, 200}
			for range 2 {
				if _, _, err := upload(); err != nil {
					t.Errorf("once it is up: %v", err)
				}
			}
		})
	}
}

// A token that stands in for the job's own may be refused for other reasons.
func TestTransportFinishThenSessionRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newState(io.Discard)
		tr := &transport{base: &server{replies: map[string][]int{"finish": {lost, 401}}}, state: st, rnd: acquire.NewRand(1), log: slog.New(slog.DiscardHandler), job: &api.Job{ID: job}}
		tr.client = api.NewClient(acquire.Logger(tr.log), api.Config{Endpoint: "http://x/v3", HTTPClient: acquire.HTTPClient(tr)})
		if _, err := tr.client.FinishJob(t.Context(), &api.Job{ID: job}, nil); err == nil || st.snapshot().Finish.Delivered {
			t.Errorf("%v, %+v: want it not to count as delivered", err, st.snapshot().Finish)
		}
	})
}

func TestTransportChunkRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{replies: map[string][]int{"chunks": {400}}}
		client, _, _ := setup(s)
		if _, err := client.UploadChunk(t.Context(), job, &api.Chunk{Data: []byte("x"), Size: 1}); err == nil || s.count("chunks") != 1 {
			t.Errorf("%v after %d requests", err, s.count("chunks"))
		}
	})
}

// Once it is told to stop, the child's calls end by the moment that it was
// given: log chunks first, so that the result still has its time.
func TestTransportKeepsToTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{replies: map[string][]int{"chunks": {500}, "finish": {500}, "start": {500}}, state: "accepted"}
		client, st, _ := setup(s)
		begin := time.Now()
		ended := make(map[string]time.Duration)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for name, call := range map[string]func() error{
			"start":  func() error { _, err := client.StartJob(t.Context(), &api.Job{ID: job}); return err },
			"finish": func() error { _, err := client.FinishJob(t.Context(), &api.Job{ID: job}, nil); return err },
			"chunks": func() error {
				_, err := client.UploadChunk(t.Context(), job, &api.Chunk{Data: []byte("x"), Size: 1})
				return err
			},
		} {
			wg.Go(func() {
				if call() == nil {
					t.Errorf("%s succeeded", name)
				}
				mu.Lock()
				defer mu.Unlock()
				ended[name] = time.Since(begin)
			})
		}
		time.Sleep(time.Second)
		st.stop(begin.Add(20*time.Second), launcher.Budget{Cancel: 10 * time.Second, Signal: 6 * time.Second})
		wg.Wait()
		for name, want := range map[string]time.Duration{"start": time.Second, "chunks": 18 * time.Second, "finish": 20 * time.Second} {
			if ended[name] != want {
				t.Errorf("%s went on for %v, want %v", name, ended[name], want)
			}
		}
	})
}

func TestTransportGivesUpHangingRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newState(io.Discard)
		tr := &transport{base: hanging{}, state: st, rnd: acquire.NewRand(1), job: &api.Job{ID: job, Token: "job"}}
		tr.client = api.NewClient(acquire.Logger(slog.New(slog.DiscardHandler)), api.Config{Endpoint: "http://x/v3", HTTPClient: acquire.HTTPClient(tr)})
		begin := time.Now()
		if _, _, err := tr.client.GetJobState(t.Context(), job); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("%v after %v, want a timeout after a minute", err, time.Since(begin))
		}
	})
}

// A server that takes requests and doesn't answer must not cost the result its
// time: what hangs is torn when its own time is over, start a moment after.
func TestTransportTearsHangingRequestsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newState(io.Discard)
		tr := &transport{base: hanging{}, state: st, rnd: acquire.NewRand(1), log: slog.New(slog.DiscardHandler), job: &api.Job{ID: job, Token: "job"}, startBy: time.Now().Add(25 * time.Second)}
		client := api.NewClient(acquire.Logger(tr.log), api.Config{Endpoint: "http://x/v3", HTTPClient: acquire.HTTPClient(tr)})
		tr.client = client
		begin := time.Now()
		var wg sync.WaitGroup
		for name, call := range map[string]struct {
			do   func() error
			want time.Duration
		}{
			"start":  {func() error { _, err := client.StartJob(t.Context(), &api.Job{ID: job}); return err }, 2 * time.Second},
			"finish": {func() error { _, err := client.FinishJob(t.Context(), &api.Job{ID: job}, nil); return err }, 10 * time.Second},
			"chunks": {func() error {
				_, err := client.UploadChunk(t.Context(), job, &api.Chunk{Data: []byte("x"), Size: 1})
				return err
			}, 9500 * time.Millisecond},
		} {
			wg.Go(func() {
				if call.do() == nil {
					t.Errorf("%s succeeded", name)
				}
				if took := time.Since(begin); took != call.want {
					t.Errorf("%s went on for %v, want %v", name, took, call.want)
				}
			})
		}
		time.Sleep(time.Second)
		// The agent's defaults: a second for the report, half of it for chunks.
		st.stop(begin.Add(10*time.Second), launcher.Budget{Cancel: 10 * time.Second, Signal: 9 * time.Second})
		wg.Wait()
	})
}

type hanging struct{}

func (hanging) RoundTrip(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// Every report is a line of JSON, the last of them the whole story.
func TestStateReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, out := setup(&server{})
		client.StartJob(t.Context(), &api.Job{ID: job})
		client.FinishJob(t.Context(), &api.Job{ID: job, ExitStatus: "0"}, nil)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		var last launcher.Report
		for _, line := range lines {
			last = launcher.Report{}
			if err := json.Unmarshal([]byte(line), &last); err != nil {
				t.Fatal(err)
			}
		}
		if len(lines) < 4 || !last.Start.Delivered || !last.Finish.Delivered || last.ExitStatus != "0" || last.StartedAt.IsZero() || last.EndedAt.IsZero() {
			t.Errorf("%d reports, the last %+v", len(lines), last)
		}
	})
}

func TestBound(t *testing.T) {
	for _, tt := range []struct {
		in, want api.Job
	}{
		{api.Job{}, api.Job{ChunksMaxSizeBytes: 100 << 10}},
		{api.Job{ChunksMaxSizeBytes: 1 << 63, LogMaxSizeBytes: 1 << 63, ChunksIntervalSeconds: 1 << 62}, api.Job{ChunksMaxSizeBytes: 64 << 20, LogMaxSizeBytes: 1 << 40, ChunksIntervalSeconds: 60}},
		{api.Job{ChunksMaxSizeBytes: 5, LogMaxSizeBytes: 6, ChunksIntervalSeconds: -7}, api.Job{ChunksMaxSizeBytes: 1 << 10, LogMaxSizeBytes: 6}},
		{api.Job{ChunksMaxSizeBytes: 1<<10 + 1}, api.Job{ChunksMaxSizeBytes: 1<<10 + 1}},
	} {
		got := tt.in
		bound(&got)
		if got.ChunksMaxSizeBytes != tt.want.ChunksMaxSizeBytes || got.LogMaxSizeBytes != tt.want.LogMaxSizeBytes || got.ChunksIntervalSeconds != tt.want.ChunksIntervalSeconds {
			t.Errorf("bound: %d, %d, %d", got.ChunksMaxSizeBytes, got.LogMaxSizeBytes, got.ChunksIntervalSeconds)
		}
	}
}
