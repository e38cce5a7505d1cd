package launcher

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/acquire"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// The explanation hangs: the result must get through all the same, whether the
// signal came before or while the explanation was being sent.
func TestFinishIsNotHeldUpByItsText(t *testing.T) {
	for name, after := range map[string]time.Duration{"before": 0, "while": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := roundTripper(func(req *http.Request) (*http.Response, error) {
					if strings.HasSuffix(req.URL.Path, "/chunks") {
						<-req.Context().Done()
						return nil, errors.New("torn")
					}
					return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("{}")), Request: req}, nil
				})
				log := slog.New(slog.DiscardHandler)
				j := &api.Job{ID: job, Token: "job"}
				client := JobClient("http://buildkite.test/v3", "session", "", nil, j, rt, log)
				ctx, cancel := context.WithTimeout(t.Context(), after+9*time.Second)
				defer cancel()
				hurry, due := context.WithCancelCause(t.Context())
				defer due(nil)
				signal := func() { due(acquire.Due{By: time.Now().Add(9 * time.Second)}) }
				if after == 0 {
					signal()
				} else {
					time.AfterFunc(after, signal)
				}
				begin := time.Now()
				d := finish(ctx, hurry, client, j, Finish{ExitStatus: "-1", Text: "why"}, acquire.NewRand(1), log, nil)
				if !d.Delivered {
					t.Errorf("the result didn't get through: %+v", d)
				}
				if took := time.Since(begin); took != after+3*time.Second {
					t.Errorf("it took %v, want a third of the nine seconds after the signal", took)
				}
			})
		})
	}
}

// scripted answers finish, start and chunks with statuses, the last one for ever, and
// counts the calls.
func scripted(replies map[string][]int) (client *api.Client, calls map[string]int) {
	calls = map[string]int{}
	rt := roundTripper(func(req *http.Request) (*http.Response, error) {
		name, status := req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:], 200
		calls[name]++
		if list := replies[name]; len(list) > 0 {
			status = list[min(calls[name], len(list))-1]
		}
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(`{"message":"no"}`)), Request: req}, nil
	})
	return JobClient("http://buildkite.test/v3", "session", "", nil, &api.Job{ID: job, Token: "job"}, rt, slog.New(slog.DiscardHandler)), calls
}

// A job is started only to explain on its page why it didn't run, and only for as long as
// it surely is this agent's. Its result is reported all the same.
func TestNothingIsStartedTooLate(t *testing.T) {
	for left, want := range map[time.Duration]int{20 * time.Second: 1, 0: 0, -time.Second: 0} {
		synctest.Test(t, func(t *testing.T) {
			client, calls := scripted(nil)
			f := Finish{ExitStatus: "-1", Text: "why", Start: true, StartBy: time.Now().Add(left)}
			d := finish(t.Context(), t.Context(), client, &api.Job{ID: job, Token: "job"}, f, acquire.NewRand(1), slog.New(slog.DiscardHandler), nil)
			if !d.Delivered || calls["start"] != want || calls["chunks"] != want {
				t.Errorf("%v before the job may be another's: delivered %t, calls %v; want the result, and %d start", left, d.Delivered, calls, want)
			}
		})
	}
}

// A partition of Buildkite's may not know the job yet: a 404 is no answer to believe at once,
// for a start, a text or a result.
func TestMissingJobIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, calls := scripted(map[string][]int{"start": {404, 200}, "chunks": {404, 200}, "finish": {404, 404, 404, 200}})
		f := Finish{ExitStatus: "-1", Text: "why", Start: true, StartBy: time.Now().Add(25 * time.Second)}
		d := finish(t.Context(), t.Context(), client, &api.Job{ID: job, Token: "job"}, f, acquire.NewRand(1), slog.New(slog.DiscardHandler), nil)
		if !d.Delivered || calls["start"] != 2 || calls["chunks"] != 2 || calls["finish"] != 4 {
			t.Errorf("delivered %t (%s), calls %v", d.Delivered, d.Err, calls)
		}
	})
}

// A finish is delivered by the API's own JSON, or when the job's state shows that: a portal's
// answer is none, whatever its status.
func TestFinishNeedsBuildkitesOwnReply(t *testing.T) {
	for _, tt := range []struct {
		name, kind, body string
		state            string // what Buildkite says of the job; empty for a refused token
		status, requests int
		inferred         bool
	}{
		{"the API's own", "application/json", "{}", "running", 200, 1, false},
		{"a text", "text/plain", "OK", "running", 200, 2, false},
		{"a list", "application/json", "[]", "running", 200, 2, false},
		{"null", "application/json", "null", "running", 200, 2, false},
		{"a page", "text/html", "<html>", "running", 200, 2, false},
		{"nothing, of a portal", "", "", "running", 200, 2, false},
		{"nothing, of Buildkite", "", "", "finished", 200, 1, true},
		{"no content, of Buildkite, which ends the token", "", "", "", 204, 1, true},
		{"no content, of a portal", "", "", "running", 204, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				reply := func(req *http.Request, status int, kind, body string) (*http.Response, error) {
					return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
				}
				rt := roundTripper(func(req *http.Request) (*http.Response, error) {
					switch {
					case strings.HasSuffix(req.URL.Path, "/finish"):
						if requests++; requests == 1 {
							return reply(req, tt.status, tt.kind, tt.body)
						}
						return reply(req, 200, "application/json", "{}")
					case tt.state == "":
						return reply(req, 401, "application/json", `{"message":"no"}`)
					}
					return reply(req, 200, "application/json", `{"state":"`+tt.state+`"}`)
				})
				log := slog.New(slog.DiscardHandler)
				j := &api.Job{ID: job, Token: "job"}
				client := JobClient("http://buildkite.test/v3", "session", "", nil, j, rt, log)
				d := finish(t.Context(), nil, client, j, Finish{ExitStatus: "-1"}, acquire.NewRand(1), log, nil)
				if !d.Delivered || d.Inferred != tt.inferred || requests != tt.requests {
					t.Errorf("%d requests, want %d; %+v", requests, tt.requests, d)
				}
			})
		})
	}
}
