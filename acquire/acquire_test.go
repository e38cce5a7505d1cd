package acquire

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/retryafter"
)

func connected(t *testing.T, s *script) *Session {
	t.Helper()
	session, err := testClient(s).Register(t.Context(), Registration{})
	if err == nil {
		err = session.Connect(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func TestAcquire(t *testing.T) {
	for _, tt := range []struct {
		name     string
		replies  []reply
		state    []reply
		attempts int
		outcome  contract.Outcome // "" for a job
		says     string
		notIn    time.Duration // not_before, from the last attempt
		least    time.Duration // that all of it takes
		most     time.Duration
	}{
		{name: "granted", replies: []reply{{status: 200}}, attempts: 1},
		{name: "locked, then granted", replies: []reply{{status: 423}, {status: 200}}, attempts: 2, most: 6 * time.Second},
		{name: "locked for ever", replies: []reply{{status: 423, body: `{"message":"waits"}`}}, attempts: 7, outcome: "locked", says: "waits", least: 57 * time.Second, most: 93 * time.Second},
		{name: "500 for ever", replies: []reply{{status: 500, body: "oops"}}, attempts: 7, outcome: "exhausted", says: "oops"},
		{name: "429, Retry-After 2", replies: []reply{{status: 429, retryAfter: "2"}, {status: 200}}, attempts: 2, least: 2 * time.Second, most: 7 * time.Second},
		{name: "423, Retry-After 30", replies: []reply{{status: 423, retryAfter: "30"}, {status: 200}}, attempts: 2, least: 30 * time.Second, most: 60 * time.Second},
		{name: "501, Retry-After 30", replies: []reply{{status: 501, retryAfter: "30"}, {status: 200}}, attempts: 2, least: 30 * time.Second, most: 60 * time.Second},
		{name: "Retry-After 0 is no hot loop", replies: []reply{{status: 423, retryAfter: "0"}}, attempts: 7, outcome: "locked", least: 57 * time.Second},
		{name: "Retry-After negative", replies: []reply{{status: 503, retryAfter: "-9"}}, attempts: 7, outcome: "exhausted", least: 57 * time.Second},
		{name: "Retry-After garbage", replies: []reply{{status: 503, retryAfter: "tomorrow"}}, attempts: 7, outcome: "exhausted", least: 57 * time.Second},
		{name: "Retry-After beyond the deadline", replies: []reply{{status: 423, retryAfter: "400"}}, attempts: 1, outcome: "locked", says: "asked to wait 6m40s", notIn: 400 * time.Second, most: time.Second},
		{name: "Retry-After absurd", replies: []reply{{status: 429, retryAfter: "99999999999999999999"}}, attempts: 1, outcome: "exhausted", notIn: retryafter.Max, most: time.Second},
		{name: "Retry-After on 404 is not read", replies: []reply{{status: 404, retryAfter: "3"}}, attempts: 1, outcome: "rejected"},
		{name: "422", replies: []reply{{status: 422, body: `{"message":"already taken"}`}}, attempts: 1, outcome: "rejected", says: "already taken"},
		{name: "400", replies: []reply{{status: 400}}, attempts: 1, outcome: "rejected"},
		{name: "401", replies: []reply{{status: 401}}, attempts: 1, outcome: "rejected"},
		{name: "403", replies: []reply{{status: 403}}, attempts: 1, outcome: "rejected"},
		{name: "404", replies: []reply{{status: 404}}, attempts: 1, outcome: "rejected"},
		{name: "409", replies: []reply{{status: 409}}, attempts: 1, outcome: "rejected"},
		{name: "410", replies: []reply{{status: 410}}, attempts: 1, outcome: "rejected"},
		{name: "302", replies: []reply{{status: 302}, {status: 200}}, attempts: 2},
		{name: "refused, then granted", replies: []reply{{err: errRefused, unsent: true}, {status: 200}}, attempts: 2},
		{name: "no such host", replies: []reply{{err: &net.DNSError{Err: "no such host", IsNotFound: true}, unsent: true}}, attempts: 7, outcome: "exhausted", says: "no such host"},

		// What isn't the API's own answer says nothing about the job.
		{name: "bad certificate for ever", replies: []reply{{err: x509.UnknownAuthorityError{}, unsent: true}}, attempts: 7, outcome: "untrusted", says: "certificate"},
		{name: "bad certificate once", replies: []reply{{err: x509.UnknownAuthorityError{}, unsent: true}, {status: 200}}, attempts: 2},
		{name: "bad certificate, then down", replies: []reply{{err: x509.UnknownAuthorityError{}, unsent: true}, {err: errRefused, unsent: true}}, attempts: 7, outcome: "exhausted"},
		{name: "http on an https port", replies: []reply{{err: errors.New("http: server gave HTTP response to HTTPS client"), unsent: true}}, attempts: 7, outcome: "untrusted"},
		{name: "no TLS on an https port", replies: []reply{{err: tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, unsent: true}}, attempts: 7, outcome: "untrusted"},
		{name: "a portal's 403 for ever", replies: []reply{{status: 403, body: portal}}, attempts: 7, outcome: "exhausted", says: "403"},
		{name: "a portal's 403, then granted", replies: []reply{{status: 403, body: portal}, {status: 200}}, attempts: 2},
		{name: "a portal's 302, then granted", replies: []reply{{status: 302, body: portal}, {status: 200}}, attempts: 2},
		{name: "a portal's 422, then Buildkite's", replies: []reply{{status: 422, body: portal}, {status: 422}}, state: []reply{{status: 404}}, attempts: 2, outcome: "acquire_ambiguous"},
		{name: "404 without a body, then granted", replies: []reply{{status: 404, body: " "}, {status: 200}}, attempts: 2},
		{name: "408, then granted", replies: []reply{{status: 408}, {status: 200}}, attempts: 2},
		{name: "425, then granted", replies: []reply{{status: 425}, {status: 200}}, attempts: 2},
		{name: "407 for ever", replies: []reply{{status: 407}}, attempts: 7, outcome: "exhausted"},

		{name: "garbage, then granted", replies: []reply{{status: 200, body: "<html>"}, {status: 200}}, attempts: 2},
		{name: "another job's reply", replies: []reply{{status: 200, body: `{"id":"01906f6e-7a3c-4a51-9d6a-000000000000"}`}, {status: 422}}, state: []reply{{status: 200, body: `{"state":"running"}`}}, attempts: 2, outcome: "rejected"},
		{name: "an empty object", replies: []reply{{status: 200, body: `{}`}, {status: 200}}, attempts: 2},

		// The lost reply.
		{name: "reset, then 422, state accepted", replies: []reply{{err: errReset}, {status: 422}}, state: []reply{{status: 200, body: `{"state":"accepted"}`}}, attempts: 2, outcome: "acquire_ambiguous", says: "accepted"},
		{name: "reset, then 422, state assigned", replies: []reply{{err: errReset}, {status: 422}}, state: []reply{{status: 200, body: `{"state":"assigned"}`}}, attempts: 2, outcome: "acquire_ambiguous"},
		{name: "reset, then 422, state unreadable", replies: []reply{{err: errReset}, {status: 422}}, state: []reply{{status: 401}}, attempts: 2, outcome: "acquire_ambiguous", says: "can't be read"},
		{name: "reset, then 422, it runs elsewhere", replies: []reply{{err: errReset}, {status: 422}}, state: []reply{{status: 200, body: `{"state":"running"}`}}, attempts: 2, outcome: "rejected", says: "isn't held"},
		{name: "reset, then 422, it was canceled", replies: []reply{{err: errReset}, {status: 422}}, state: []reply{{status: 200, body: `{"state":"canceled"}`}}, attempts: 2, outcome: "rejected"},
		{name: "garbage, then 422", replies: []reply{{status: 200, body: "OK"}, {status: 422}}, state: []reply{{status: 404}}, attempts: 2, outcome: "acquire_ambiguous"},
		{name: "504, then 422", replies: []reply{{status: 504}, {status: 422}}, state: []reply{{status: 404}}, attempts: 2, outcome: "acquire_ambiguous"},
		{name: "timeout, then 422", replies: []reply{{delay: time.Hour, status: 200}, {status: 422}}, state: []reply{{status: 404}}, attempts: 2, outcome: "acquire_ambiguous"},
		{name: "503, then 422", replies: []reply{{status: 503}, {status: 422}}, attempts: 2, outcome: "rejected"},
		{name: "refused, then 422", replies: []reply{{err: errRefused, unsent: true}, {status: 422}}, attempts: 2, outcome: "rejected"},
		{name: "locked, then 422", replies: []reply{{status: 423}, {status: 422}}, attempts: 2, outcome: "rejected"},
		{name: "every request hangs", replies: []reply{{delay: time.Hour, status: 200}}, attempts: 5, outcome: "exhausted", says: "no reply within 1m0s", most: 330 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(map[string][]reply{"acquire": tt.replies, "1": nil, "state": tt.state})
				session := connected(t, s)
				begin := time.Now()
				job, err := session.Acquire(t.Context(), testJob)
				took := time.Since(begin)
				if n := len(s.named("acquire")); n != tt.attempts {
					t.Errorf("%d requests, want %d", n, tt.attempts)
				}
				if tt.outcome == "" {
					if err != nil || job.Env["A"] != "B" || !json.Valid(job.Raw) {
						t.Fatalf("Acquire = %+v, %v; want the job", job, err)
					}
				} else if got := Outcome(err); got != tt.outcome {
					t.Errorf("outcome %q, want %q: %v", got, tt.outcome, err)
				}
				if tt.says != "" && !strings.Contains(err.Error(), tt.says) {
					t.Errorf("the error doesn't say %q: %v", tt.says, err)
				}
				if err != nil && strings.Contains(err.Error(), "context") && tt.name != "every request hangs" {
					t.Errorf("the error speaks of contexts: %v", err)
				}
				if took < tt.least || tt.most > 0 && took > tt.most {
					t.Errorf("it took %v, want between %v and %v", took, tt.least, tt.most)
				}
				if state := len(s.named("state")); (state > 0) != (len(tt.state) > 0) {
					t.Errorf("the job's state was asked for %d times, want %d", state, len(tt.state))
				}
				var retry *RetryError
				if errors.As(err, &retry) && tt.notIn > 0 {
					if in := time.Until(retry.NotBefore); in != tt.notIn {
						t.Errorf("not_before is in %v, want %v", in, tt.notIn)
					}
				}
				if n := len(s.named("start")) + len(s.named("finish")); n > 0 {
					t.Errorf("%d jobs started or finished", n)
				}
			})
		})
	}
}

// The last request must have time for its answer: one that the deadline tears
// may have been granted.
func TestAcquireLastRequestHasRoom(t *testing.T) {
	even := DefaultAcquire // waits of 10 s, and the third request would come a second before the deadline
	even.Base, even.Cap, even.JitterMin, even.JitterMax, even.Deadline = 10*time.Second, 10*time.Second, 0, 0, 21*time.Second
	short := DefaultAcquire
	short.Deadline = 30 * time.Second
	slow := reply{status: 200, delay: 4900 * time.Millisecond}
	for _, tt := range []struct {
		name     string
		policy   Backoff
		replies  []reply
		attempts int
		outcome  contract.Outcome // "" for a job
		says     string
		notIn    time.Duration // not_before, from the last attempt
	}{
		{name: "Retry-After fits, its jitter doesn't", policy: DefaultAcquire, replies: []reply{{status: 423, retryAfter: "320"}, slow}, attempts: 2},
		{name: "Retry-After fits, a request doesn't", policy: DefaultAcquire, replies: []reply{{status: 423, retryAfter: "329"}, slow}, attempts: 1, outcome: "locked", says: "wait 5m29s, but only 5m25s of the deadline of 5m30s is left", notIn: 329 * time.Second},
		{name: "backoff fits, a request doesn't", policy: even, replies: []reply{{status: 423}, {status: 423}, slow}, attempts: 2, outcome: "locked", says: "due in 10s, but only 9s of the deadline of 21s is left"},
		{name: "a deadline below the timeout", policy: short, replies: []reply{{status: 200, delay: time.Hour}}, attempts: 1, outcome: "exhausted", says: "no reply within the 30s that were left of the deadline of 30s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(50) {
				synctest.Test(t, func(t *testing.T) {
					s := newScript(map[string][]reply{"acquire": slices.Clone(tt.replies)})
					session := connected(t, s)
					session.client.conf.Acquire, session.client.conf.Rand = tt.policy, NewRand(seed)
					_, err := session.Acquire(t.Context(), testJob)
					if n := len(s.named("acquire")); n != tt.attempts {
						t.Errorf("seed %d: %d requests, want %d", seed, n, tt.attempts)
					}
					if tt.outcome == "" {
						if err != nil {
							t.Errorf("seed %d: %v, want the job", seed, err)
						}
						return
					}
					if got := Outcome(err); got != tt.outcome || !strings.Contains(err.Error(), tt.says) {
						t.Errorf("seed %d: outcome %q (%v), want %q, and %q", seed, got, err, tt.outcome, tt.says)
					}
					if retry := (*RetryError)(nil); tt.notIn > 0 && (!errors.As(err, &retry) || time.Until(retry.NotBefore) != tt.notIn) {
						t.Errorf("seed %d: not_before isn't in %v: %+v", seed, tt.notIn, retry)
					}
				})
			}
		})
	}
}

// A job that isn't started within 30 s of its acquisition is another agent's, maybe. The
// acquisition may be as old as the request: a reply that takes its time leaves less.
func TestJobIsToBeStartedInTime(t *testing.T) {
	for _, delay := range []time.Duration{0, 4 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(map[string][]reply{"acquire": {{status: 423}, {status: 200, delay: delay}}})
			job, err := connected(t, s).Acquire(t.Context(), testJob)
			if err != nil {
				t.Fatal(err)
			}
			calls := s.named("acquire")
			asked := s.begin.Add(calls[len(calls)-1].at)
			if left := job.StartBy.Sub(asked); left < 20*time.Second || left > 29*time.Second {
				t.Errorf("a reply after %v leaves %v from the request on, want less than Buildkite's 30 s, with some of it for the start's own way", delay, left)
			}
		})
	}
}

func TestAcquireHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(map[string][]reply{
			"register": {{status: 200, body: `{"id":"a","access_token":"session","request_headers":{"Buildkite-Hello":"you","X-Other":"no"}}`}},
			"acquire":  {{status: 423}, {status: 200}},
		})
		if _, err := connected(t, s).Acquire(t.Context(), testJob); err != nil {
			t.Fatal(err)
		}
		for i, c := range s.named("acquire") {
			h := c.req.Header
			for name, want := range map[string]string{
				"Authorization": "Token session", "X-Buildkite-Lock-Acquire-Job": "1",
				"X-Buildkite-Backoff-Sequence": fmt.Sprint(i), "Buildkite-Hello": "you", "X-Other": "",
			} {
				if got := h.Get(name); got != want {
					t.Errorf("attempt %d: %s is %q, want %q", i, name, got, want)
				}
			}
			if h.Get("Buildkite-Timeout-Milliseconds") == "" {
				t.Error("the server isn't told how long we wait")
			}
		}
		if got := s.named("register")[0].req.Header.Get("Authorization"); got != "Token cluster" {
			t.Errorf("register's Authorization is %q", got)
		}
	})
}

func TestAcquireLogsEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		s := newScript(map[string][]reply{"acquire": {{status: 423, retryAfter: "9"}, {status: 500}, {status: 422}}})
		c := testClient(s)
		c.conf.Log = slog.New(slog.NewJSONHandler(&buf, nil)).With("job_id", testJob)
		session, err := c.Register(t.Context(), Registration{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := session.Acquire(t.Context(), testJob); err == nil {
			t.Fatal("acquired")
		}
		lines := strings.Split(strings.TrimSpace(buf.String()), "\n")
		for i, want := range []struct {
			attempt, status float64
			source          any
		}{{1, 423, "Retry-After"}, {2, 500, "backoff"}, {3, 422, nil}} {
			var line map[string]any
			if err := json.Unmarshal([]byte(lines[i]), &line); err != nil {
				t.Fatal(err)
			}
			if line["attempt"] != want.attempt || line["status"] != want.status || line["source"] != want.source || line["of"] != 7.0 || line["err"] == nil || line["job_id"] != testJob {
				t.Errorf("attempt %d is logged as %s", i+1, lines[i])
			}
			if n := strings.Count(lines[i], `"job_id":`); n != 1 {
				t.Errorf("attempt %d is logged with %d keys job_id: %s", i+1, n, lines[i])
			}
			if _, ok := line["retry_in"]; ok != (want.source != nil) {
				t.Errorf("attempt %d: retry_in present: %v", i+1, ok)
			}
		}
	})
}

func TestAcquireStopped(t *testing.T) {
	sigterm := fmt.Errorf("SIGTERM")
	for _, tt := range []struct {
		name    string
		replies []reply
		after   time.Duration
		took    time.Duration
		granted bool
		outcome contract.Outcome
	}{
		{name: "in backoff", replies: []reply{{status: 423, retryAfter: "30"}}, after: 3 * time.Second, outcome: "stopped"},
		{name: "before the first request", replies: []reply{{status: 200}}, after: 0, outcome: "stopped"},
		{name: "on the wire, then granted", replies: []reply{{status: 200, delay: 5 * time.Second}}, after: 3 * time.Second, took: 2 * time.Second, granted: true},
		{name: "on the wire, then refused", replies: []reply{{status: 422, delay: 5 * time.Second}}, after: 3 * time.Second, took: 2 * time.Second, outcome: "rejected"},
		{name: "on the wire, then locked", replies: []reply{{status: 423, delay: 5 * time.Second}}, after: 3 * time.Second, took: 2 * time.Second, outcome: "stopped"},
		{name: "on the wire for ever", replies: []reply{{status: 200, delay: time.Hour}}, after: 3 * time.Second, took: 4 * time.Second, outcome: "stopped"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(map[string][]reply{"acquire": tt.replies})
				session := connected(t, s)
				ctx, cancel := context.WithCancelCause(t.Context())
				begin := time.Now()
				if tt.after == 0 {
					cancel(sigterm)
				} else {
					time.AfterFunc(tt.after, func() { cancel(sigterm) })
				}
				job, err := session.Acquire(ctx, testJob)
				if took := time.Since(begin) - tt.after; took != tt.took {
					t.Errorf("it took %v after the signal, want %v", took, tt.took)
				}
				if tt.granted {
					if err != nil || job == nil {
						t.Fatalf("Acquire = %v, %v; want the job that was granted", job, err)
					}
					return
				}
				if got := Outcome(err); got != tt.outcome {
					t.Errorf("outcome %q, want %q: %v", got, tt.outcome, err)
				}
				if tt.outcome == "stopped" && !errors.Is(err, sigterm) {
					t.Errorf("the cause is lost: %v", err)
				}
			})
		})
	}
}

func TestRegisterAndConnect(t *testing.T) {
	for _, tt := range []struct {
		name     string
		call     string
		replies  []reply
		attempts int
		outcome  contract.Outcome
		most     time.Duration
	}{
		{name: "register 500, then ok", call: "register", replies: []reply{{status: 500}, {status: 200}}, attempts: 2, most: 6 * time.Second},
		{name: "register 429 with Retry-After", call: "register", replies: []reply{{status: 429, retryAfter: "20"}, {status: 200}}, attempts: 2, most: 40 * time.Second},
		{name: "register 401", call: "register", replies: []reply{{status: 401}}, attempts: 1, outcome: "refused"},
		{name: "register 404", call: "register", replies: []reply{{status: 404}}, attempts: 1, outcome: "refused"},
		{name: "register 422", call: "register", replies: []reply{{status: 422}}, attempts: 1, outcome: "refused"},
		{name: "register without a token in the reply", call: "register", replies: []reply{{status: 200, body: `{"id":"a"}`}, {status: 200}}, attempts: 2},
		{name: "register: bad certificate", call: "register", replies: []reply{{err: x509.HostnameError{Certificate: new(x509.Certificate), Host: "x"}, unsent: true}}, attempts: 13, outcome: "untrusted", most: 5 * time.Minute},
		{name: "register: bad certificate once", call: "register", replies: []reply{{err: x509.HostnameError{Certificate: new(x509.Certificate), Host: "x"}, unsent: true}, {status: 200}}, attempts: 2},
		{name: "register: a portal's 200", call: "register", replies: []reply{{status: 200, body: portal}, {status: 200}}, attempts: 2},
		{name: "register: a portal's 403", call: "register", replies: []reply{{status: 403, body: portal}, {status: 200}}, attempts: 2},
		{name: "register: a portal's 302 for ever", call: "register", replies: []reply{{status: 302, body: portal}}, attempts: 13, outcome: "exhausted"},
		{name: "connect: a portal's 200", call: "connect", replies: []reply{{status: 200, body: portal}, {status: 200}}, attempts: 2},
		{name: "connect: a portal's 401", call: "connect", replies: []reply{{status: 401, body: portal}, {status: 200}}, attempts: 2},
		{name: "register down for ever", call: "register", replies: []reply{{err: syscall.ECONNREFUSED, unsent: true}}, attempts: 13, outcome: "exhausted", most: 5 * time.Minute},
		{name: "connect 404", call: "connect", replies: []reply{{status: 404}}, attempts: 1, outcome: "refused"},
		{name: "connect 423 is no lock", call: "connect", replies: []reply{{status: 423}}, attempts: 13, outcome: "exhausted"},
		{name: "connect 503, then ok", call: "connect", replies: []reply{{status: 503}, {status: 200}}, attempts: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(map[string][]reply{tt.call: tt.replies})
				begin := time.Now()
				session, err := testClient(s).Register(t.Context(), Registration{})
				if err == nil {
					err = session.Connect(t.Context())
				}
				if n := len(s.named(tt.call)); n < tt.attempts-2 || n > tt.attempts || tt.attempts == 2 && n != 2 {
					t.Errorf("%d requests, want %d", n, tt.attempts)
				}
				if tt.outcome == "" && err != nil || tt.outcome != "" && Outcome(err) != tt.outcome {
					t.Errorf("outcome %q, want %q: %v", Outcome(err), tt.outcome, err)
				}
				if took := time.Since(begin); tt.most > 0 && took > tt.most {
					t.Errorf("it took %v, want at most %v", took, tt.most)
				}
			})
		})
	}
}

func TestRegisterStopsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(1500*time.Millisecond, func() { cancel(errors.New("SIGTERM")) })
		_, err := testClient(newScript(map[string][]reply{"register": {{status: 500, delay: time.Second}}})).Register(ctx, Registration{})
		if Outcome(err) != contract.OutcomeStopped || !strings.Contains(err.Error(), "SIGTERM") || !strings.Contains(err.Error(), "500") {
			t.Errorf("the error names the signal and the last reply? %v", err)
		}
	})
}

func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(nil)
		session := connected(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		if err := session.Heartbeat(ctx); err != nil {
			t.Fatal(err)
		}
		// Every 10 s, less up to a tenth.
		if n := len(s.named("heartbeat")); n < 10 || n > 11 {
			t.Errorf("%d beats in 100 s, want 10 or 11", n)
		}
	})
}

func TestHeartbeatIntervals(t *testing.T) {
	for _, tt := range []struct {
		interval string
		in       time.Duration
		want     int
	}{
		{"0", time.Hour, 60}, {"-7", time.Hour, 60}, {"9223372036854775807", time.Hour, 60}, {"120", time.Hour, 60}, {"1", time.Minute, 60},
	} {
		t.Run(tt.interval, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(map[string][]reply{"register": {{status: 200, body: `{"id":"a","access_token":"t","heartbeat_interval":` + tt.interval + `}`}}})
				session := connected(t, s)
				ctx, cancel := context.WithTimeout(t.Context(), tt.in)
				defer cancel()
				if err := session.Heartbeat(ctx); err != nil {
					t.Fatal(err)
				}
				if n := len(s.named("heartbeat")); n < tt.want-1 || n > tt.want+tt.want/9 {
					t.Errorf("%d beats in %v, want about %d", n, tt.in, tt.want)
				}
			})
		})
	}
}

// portal is what something on the way answers in Buildkite's place.
const portal = "<html>Accept our terms</html>"

// Nothing but a 4xx of the API's own ends a session.
func TestHeartbeatGoesOn(t *testing.T) {
	for name, fault := range map[string]reply{
		"certificate":    {err: x509.UnknownAuthorityError{}, unsent: true},
		"another's name": {err: x509.HostnameError{Certificate: new(x509.Certificate), Host: "x"}, unsent: true},
		"no https":       {err: errors.New("http: server gave HTTP response to HTTPS client"), unsent: true},
		"a port":         {err: &net.AddrError{Err: "invalid port"}, unsent: true},
		"reset":          {err: errReset},
		"408":            {status: 408},
		"425":            {status: 425},
		"portal 200":     {status: 200, body: portal},
		"portal 302":     {status: 302, body: portal},
		"portal 401":     {status: 401, body: portal},
		"portal 404":     {status: 404, body: portal},
		"empty 404":      {status: 404, body: " "},
	} {
		for _, replies := range [][]reply{{fault, {status: 200}}, {fault}} {
			t.Run(fmt.Sprint(name, len(replies)), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newScript(map[string][]reply{"heartbeat": replies})
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
					defer cancel()
					if err := connected(t, s).Heartbeat(ctx); err != nil || ctx.Err() == nil {
						t.Errorf("%v after %v, want beats to the end", err, time.Since(s.begin))
					}
					if n := len(s.named("heartbeat")); n < 8 {
						t.Errorf("%d beats in three minutes", n)
					}
				})
			})
		}
	}
}

func TestHeartbeatLost(t *testing.T) {
	for _, status := range []int{401, 410} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(map[string][]reply{"heartbeat": {{status: 500}, {status: 200}, {status: status}}})
			err := connected(t, s).Heartbeat(t.Context())
			if !errors.Is(err, ErrRefused) {
				t.Errorf("after %d: %v, want ErrRefused", status, err)
			}
		})
	}
}

// A Retry-After that doesn't fit into one beat's own retries holds for the next
// beat, as far as the session bears it, and spreads the sessions.
func TestHeartbeatRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		retryAfter string
		floor      time.Duration // between the two beats
	}{
		{"88", 88 * time.Second},
		{"600", 112 * time.Second}, // the first beat came 9 to 10 s after the session's connect
	} {
		t.Run(tt.retryAfter, func(t *testing.T) {
			const sessions = 200
			most := tt.floor + tt.floor/4
			if silence := 10*time.Second + most; silence > heartbeatLatest {
				t.Errorf("with the time before, a session is silent for up to %v", silence)
			}
			seconds := map[time.Duration]int{}
			for seed := range uint64(sessions) {
				synctest.Test(t, func(t *testing.T) {
					s := newScript(map[string][]reply{"heartbeat": {{status: 429, retryAfter: tt.retryAfter}, {status: 200}}})
					session := connected(t, s)
					session.client.conf.Rand = NewRand(seed)
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+most)
					defer cancel()
					if err := session.Heartbeat(ctx); err != nil {
						t.Fatal(err)
					}
					beats := s.named("heartbeat")
					if len(beats) < 2 {
						t.Fatalf("%d beats in %v, want two", len(beats), 10*time.Second+most)
					}
					wait := beats[1].at - beats[0].at
					if wait < tt.floor || wait >= most {
						t.Errorf("the second beat came %v after the first, want it in [%v, %v)", wait, tt.floor, most)
					}
					seconds[wait.Truncate(time.Second)]++
				})
			}
			for second, n := range seconds {
				if n > sessions/8 {
					t.Errorf("%d of %d sessions beat in second %v", n, sessions, second)
				}
			}
		})
	}
}

// The next beat comes no later than 150 s after the last that was accepted, while the
// server answers, whatever interval and Retry-After it names.
func TestHeartbeatIsNeverLate(t *testing.T) {
	busy := reply{status: 503, retryAfter: "600"}
	for name, beats := range map[string][]reply{
		"taken":                   {{status: 200}},
		"one in three":            {{status: 200}, {status: 500}, {status: 500}, {status: 200}},
		"told to stay away":       {{status: 200}, busy, {status: 200}},
		"an outage of 100 s":      append(slices.Repeat([]reply{{err: errReset, delay: 5 * time.Second}}, 7), reply{status: 200}),
		"requests that hang":      {{status: 200}, {delay: time.Hour}, {delay: time.Hour}, {status: 200}},
		"a partition of a minute": append(slices.Repeat([]reply{{status: 404, body: `{"message":"Not found"}`}}, 6), reply{status: 200}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(map[string][]reply{
					"register":  {{status: 200, body: `{"id":"a","access_token":"t","heartbeat_interval":120}`}},
					"heartbeat": beats,
				})
				session := connected(t, s)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				if err := session.Heartbeat(ctx); err != nil {
					t.Fatal(err)
				}
				if got := session.Silence(); got > heartbeatLatest {
					t.Errorf("silent for %v, want %v at most", got, heartbeatLatest)
				}
			})
		})
	}
}

// In a partition live agents were answered 404: it ends a session after two minutes.
func TestHeartbeatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(map[string][]reply{"heartbeat": {{status: 200}, {status: 404, body: `{"message":"Not found"}`}}})
		err := connected(t, s).Heartbeat(t.Context())
		if beats := s.named("heartbeat"); !errors.Is(err, ErrRefused) || time.Since(s.begin) < beats[1].at+missingFor {
			t.Errorf("%v after %v, want ErrRefused two minutes after the first 404", err, time.Since(s.begin))
		}
	})
}

func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(map[string][]reply{"stop": {{status: 500}}, "disconnect": {{status: 500}, {status: 200}}})
		connected(t, s).Leave(t.Context(), true)
		if a, b := len(s.named("stop")), len(s.named("disconnect")); a != 1 || b != 2 {
			t.Errorf("%d stops and %d disconnects, want 1 and 2", a, b)
		}
	})
}

func FuzzAcquireReply(f *testing.F) {
	f.Add(okBody("acquire"))
	f.Add(`{"id":"` + testJob + `","chunks_max_size_bytes":-1}`)
	f.Add(`{"id":"` + testJob + `","step":{"command":["a","b"],"plugins":[{"x":null}],"signature":{"value":1}}}`)
	f.Add("[]")
	f.Fuzz(func(t *testing.T, body string) {
		if body == "" {
			return
		}
		s := newScript(map[string][]reply{"acquire": {{status: 200, body: body}}})
		c := testClient(s)
		c.conf.Acquire.Attempts = 1
		session, err := c.Register(t.Context(), Registration{})
		if err != nil {
			t.Fatal(err)
		}
		job, err := session.Acquire(t.Context(), testJob)
		if err == nil && !strings.EqualFold(strings.TrimSpace(job.ID), testJob) {
			t.Errorf("acquired %q", job.ID)
		}
		if err != nil && Outcome(err) != contract.OutcomeExhausted {
			t.Errorf("an unreadable 200 is %q: %v", Outcome(err), err)
		}
	})
}

// Whatever follows the job in the reply must not get into Raw: it wouldn't be
// JSON any more, and the job couldn't be handed on.
func TestAcquireRawIsOneValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := okBody("acquire")
		session := connected(t, newScript(map[string][]reply{"acquire": {{status: 200, body: want + "\n{}<html>"}}}))
		job, err := session.Acquire(t.Context(), testJob)
		if err != nil {
			t.Fatal(err)
		}
		if string(job.Raw) != want {
			t.Errorf("Raw = %s, want %s", job.Raw, want)
		}
	})
}

// A signal bounds the look at the job's state, too.
func TestAcquireStoppedWhileResolving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(map[string][]reply{
			"acquire": {{err: errReset}, {status: 422}},
			"state":   {{status: 200, delay: time.Hour}},
		})
		session := connected(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var stopped time.Time
		go func() {
			for len(s.named("state")) == 0 {
				time.Sleep(time.Millisecond)
			}
			stopped = time.Now()
			cancel()
		}()
		_, err := session.Acquire(ctx, testJob)
		if took := time.Since(stopped); took != 4*time.Second {
			t.Errorf("it took %v after the signal, want the 4s of Wire", took)
		}
		if got := Outcome(err); got != contract.OutcomeAmbiguous {
			t.Errorf("outcome %q, want ambiguous: %v", got, err)
		}
	})
}

// The agent's library logs whole replies with --debug-http, and those to
// register and acquire hold tokens.
func TestDebugHTTPLeavesTokensOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		client := NewClient(Config{
			Endpoint: "http://buildkite.test/v3", Token: "cluster-secret", DebugHTTP: true,
			Transport: newScript(map[string][]reply{
				"register": {{status: 200, body: `{"id":"agent-1","access_token":"session-secret"}`}},
				"acquire":  {{status: 200, body: fmt.Sprintf(`{"id":%q, "token" : "job-secret"}`, testJob)}},
			}),
			Acquire: DefaultAcquire, Register: DefaultRegister, Rand: NewRand(1),
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		session, err := client.Register(t.Context(), Registration{})
		if err != nil {
			t.Fatal(err)
		}
		job, err := session.Acquire(t.Context(), testJob)
		if err != nil || job.Token != "job-secret" {
			t.Fatalf("Acquire = %v, %v", job, err)
		}
		if !strings.Contains(log.String(), "agent-1") {
			t.Fatalf("replies aren't logged at all:\n%s", &log)
		}
		if strings.Contains(log.String(), "secret") {
			t.Errorf("a token is in the log:\n%s", &log)
		}
	})
}
