package stacks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/onejob-dev/onejob/contract"
)

func ids(n int) []contract.JobID {
	out := make([]contract.JobID, n)
	for i := range out {
		out[i] = contract.JobID(fmt.Sprintf("018f0000-0000-7000-8000-%012x", i))
	}
	return out
}

func TestScheduledJobs(t *testing.T) {
	const reply = `{"cluster_queue":{"dispatch_paused":%t,"paused":%t},"page_info":{"has_next_page":true,"end_cursor":"c2"},
		"jobs":[{"id":"018F0000-0000-7000-8000-00000000000A","priority":3,"agent_query_rules":["queue=default"],"scheduled_at":"2026-01-01T00:00:00.000Z",
		"pipeline":{"slug":"demo"},"build":{"number":7,"branch":"main"},"step":{"key":null}},{"id":"../nonsense"}]}`
	for _, paused := range [][2]bool{{false, false}, {true, false}, {false, true}} {
		c := client(t, func(r *http.Request, _ []byte) (int, map[string]string, any) {
			if got := r.URL.String(); got != "http://buildkite.test/v3/stacks/my-stack/scheduled-jobs?after=c1&limit=1000&queue_key=default" {
				t.Errorf("asked for %s", got)
			}
			if got := r.Header.Get("Authorization"); got != "Token t0p-secret" {
				t.Errorf("Authorization: %s", got)
			}
			return 200, nil, fmt.Sprintf(reply, paused[0], paused[1])
		})
		got, err := c.ScheduledJobs(t.Context(), "c1", 5000)
		want := Page{Next: "c2", Bad: 1, Paused: paused[0] || paused[1], Jobs: []Job{{ID: jobA, Priority: 3, Rules: []string{"queue=default"},
			ScheduledAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Pipeline: "demo", Build: 7, Branch: "main"}}}
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("ScheduledJobs: %v, got/want %s", err, cmp.Diff(got, want))
		}
	}
}

// A job is looked for on every page.
func TestScheduledJob(t *testing.T) {
	var asked []string
	c := client(t, func(r *http.Request, _ []byte) (int, map[string]string, any) {
		after := r.URL.Query().Get("after")
		asked = append(asked, after)
		if after == "" {
			return 200, nil, `{"page_info":{"has_next_page":true,"end_cursor":"c1"},"jobs":[{"id":"018f0000-0000-7000-8000-000000000001"}]}`
		}
		return 200, nil, fmt.Sprintf(`{"page_info":{"has_next_page":false},"jobs":[{"id":%q,"pipeline":{"slug":"demo"}}]}`, jobA)
	})
	if j, listed, err := c.ScheduledJob(t.Context(), jobA); err != nil || !listed || j.Pipeline != "demo" {
		t.Errorf("a job on the second page: %+v, listed %t, %v", j, listed, err)
	}
	if _, listed, err := c.ScheduledJob(t.Context(), ids(3)[2]); err != nil || listed {
		t.Errorf("a job on no page: listed %t, %v", listed, err)
	}
	if want := []string{"", "c1", "", "c1"}; !slices.Equal(asked, want) {
		t.Errorf("asked for the pages %q, want %q", asked, want)
	}
}

// A stack of another type than custom would be taken for Buildkite's own
// controller.
func TestRegister(t *testing.T) {
	var sent map[string]any
	c := client(t, func(_ *http.Request, body []byte) (int, map[string]string, any) {
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Error(err)
		}
		return 200, nil, map[string]any{"id": "1", "key": "my-stack"}
	})
	if _, err := c.Register(t.Context(), map[string]string{"version": "1"}); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"key": "my-stack", "type": "custom", "queue_key": "default", "metadata": map[string]any{"version": "1"}}
	if d := cmp.Diff(want, sent); d != "" {
		t.Errorf("sent (-want +got):\n%s", d)
	}
}

func TestReserveKeepsWhatItGot(t *testing.T) {
	var sizes []int
	c := client(t, func(_ *http.Request, body []byte) (int, map[string]string, any) {
		var in struct {
			JobUUIDs []string `json:"job_uuids"`
			Expiry   int      `json:"reservation_expiry_seconds"`
		}
		if err := json.Unmarshal(body, &in); err != nil || in.Expiry != 20 && len(sizes) < 3 {
			t.Errorf("body %.60s: %v, expiry %d", body, err, in.Expiry)
		}
		sizes = append(sizes, len(in.JobUUIDs))
		if len(sizes) >= 3 { // also with a longer time, and with none
			return 422, nil, map[string]string{"message": "no"}
		}
		return 200, nil, map[string]any{"reserved": in.JobUUIDs, "not_reserved": []string{}}
	})
	got, err := c.Reserve(t.Context(), ids(2500), 20*time.Second)
	if len(got) != 2000 || !errors.Is(err, ErrInvalid) {
		t.Errorf("Reserve: %d jobs, %v; want 2000 and ErrInvalid", len(got), err)
	}
	if want := []int{1000, 1000, 500, 500, 500, 500}; !cmp.Equal(sizes, want) {
		t.Errorf("chunks %v, want %v", sizes, want)
	}
}

// Buildkite may write a UUID in capitals, anywhere: it is the same job. What is no job ID
// is left out, and the rest of the reply counts.
func TestJobIDsOfReplies(t *testing.T) {
	upper := strings.ToUpper(jobA.String())
	c := client(t, func(r *http.Request, _ []byte) (int, map[string]string, any) {
		if strings.HasSuffix(r.URL.Path, "/get-states") {
			return 200, nil, map[string]any{"states": map[string]string{upper: "running", "../nonsense": "running", "": "running"}}
		}
		return 200, nil, map[string]any{"reserved": []string{upper, "../nonsense", ""}}
	})
	got, err := c.Reserve(t.Context(), []contract.JobID{jobA}, time.Minute)
	if d := cmp.Diff([]contract.JobID{jobA}, got); d != "" || err != nil {
		t.Errorf("reserved: %v (-want +got):\n%s", err, d)
	}
	states, err := c.States(t.Context(), []contract.JobID{jobA})
	if d := cmp.Diff(map[contract.JobID]State{jobA: StateRunning}, states); d != "" || err != nil {
		t.Errorf("states: %v (-want +got):\n%s", err, d)
	}
}

// Where Buildkite doesn't reserve for so short a time, it is asked for longer ones, and
// at last says for how long itself.
func TestReserveForAsLongAsBuildkiteAllows(t *testing.T) {
	for least, want := range map[int][]int{10: {20, 20}, 60: {20, 60, 60}, 300: {20, 60, 300, 300}, 3601: {20, 60, 300, 0, 0}} {
		for name, reserve := range map[string]func(c *Client) ([]contract.JobID, error){
			"Reserve": func(c *Client) ([]contract.JobID, error) { return c.Reserve(t.Context(), ids(1), 20*time.Second) },
			"TryReserve": func(c *Client) ([]contract.JobID, error) {
				for {
					got, again, err := c.TryReserve(t.Context(), ids(1)[0], 20*time.Second)
					if again == 0 {
						return got, err
					}
					time.Sleep(again)
				}
			},
		} {
			var sent []int
			c := client(t, func(_ *http.Request, body []byte) (int, map[string]string, any) {
				var in struct {
					JobUUIDs []string `json:"job_uuids"`
					Expiry   int      `json:"reservation_expiry_seconds"`
				}
				_ = json.Unmarshal(body, &in)
				sent = append(sent, in.Expiry)
				if in.Expiry > 0 && in.Expiry < least {
					return 422, nil, map[string]string{"message": "reservation_expiry_seconds must be longer"}
				}
				return 200, nil, map[string]any{"reserved": in.JobUUIDs, "not_reserved": []string{}}
			})
			for range 2 {
				if got, err := reserve(c); len(got) != 1 || err != nil {
					t.Errorf("%s: %d jobs, %v; want one", name, len(got), err)
				}
			}
			if !cmp.Equal(sent, want) {
				t.Errorf("%s, at least %d s: sent %v, want %v: the refusal is remembered", name, least, sent, want)
			}
		}
	}
}

// What is refused for another reason is refused, and the next reservation is as short.
func TestReserveRefused(t *testing.T) {
	var sent []string
	c := client(t, func(_ *http.Request, body []byte) (int, map[string]string, any) {
		sent = append(sent, string(body))
		return 422, nil, map[string]string{"message": "no"}
	})
	for range 2 {
		sent = nil
		if _, err := c.Reserve(t.Context(), ids(1), 2*time.Minute); !errors.Is(err, ErrInvalid) || len(sent) != 3 || !strings.Contains(sent[0], "120") {
			t.Errorf("%v, sent %q; want 120 s, 300 s and no time, each refused", err, sent)
		}
	}
}

// 403 to a register is the limit of stacks, and no refused token; another 403 has
// Buildkite's own words, which name the permission.
func TestStackLimit(t *testing.T) {
	c := client(t, func(*http.Request, []byte) (int, map[string]string, any) {
		return 403, nil, map[string]string{"message": "Missing permission: stacks.write"}
	})
	if _, err := c.Register(t.Context(), nil); !errors.Is(err, ErrStackLimit) || errors.Is(err, ErrRefused) || Temporary(err) || !strings.Contains(err.Error(), "onejob deregister") {
		t.Errorf("register: %v, want ErrStackLimit and what to do", err)
	}
	if _, err := c.ScheduledJobs(t.Context(), "", 1); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "Missing permission: stacks.write") {
		t.Errorf("list: %v, want ErrRefused with the permission", err)
	}
}

func TestFinishSendsZeroAndCuts(t *testing.T) {
	var in map[string]any
	c := client(t, func(_ *http.Request, body []byte) (int, map[string]string, any) {
		in = nil
		_ = json.Unmarshal(body, &in)
		return 200, nil, map[string]any{}
	})
	if _, err := c.TryFinish(t.Context(), jobA, 0, strings.Repeat("ü", 5000), false); err != nil {
		t.Fatal(err)
	}
	if v, ok := in["exit_status"]; !ok || v != 0.0 {
		t.Errorf("exit_status is %v, want 0", v)
	}
	if d := in["detail"].(string); len(d) > MaxDetail || !utf8.ValidString(d) || strings.ContainsRune(d, utf8.RuneError) {
		t.Errorf("the detail has %d bytes, ends in %q", len(d), d[len(d)-5:])
	}
}

func TestErrors(t *testing.T) {
	for status, want := range map[int]error{302: ErrUnavailable, 400: ErrInvalid, 401: ErrRefused, 403: ErrRefused, 404: ErrNotFound, 408: ErrUnavailable, 422: ErrInvalid, 429: ErrRateLimited, 500: ErrUnavailable, 503: ErrUnavailable, 0: ErrUnavailable} {
		c := client(t, func(*http.Request, []byte) (int, map[string]string, any) {
			return status, nil, map[string]string{"message": "because"}
		})
		_, err := c.Env(t.Context(), jobA)
		for _, is := range []error{ErrInvalid, ErrRefused, ErrNotFound, ErrRateLimited, ErrUnavailable} {
			if errors.Is(err, is) != errors.Is(want, is) {
				t.Errorf("%d: %v: errors.Is(%v) = %t", status, err, is, errors.Is(err, is))
			}
		}
		if strings.Contains(err.Error(), "t0p-secret") {
			t.Errorf("the token is in the error: %v", err)
		}
	}
}

// What something else than Buildkite says is no answer: the call may never have
// arrived. And the token goes where it was sent, and no further.
func TestNotBuildkitesAnswer(t *testing.T) {
	calls := 0
	c := client(t, func(r *http.Request, _ []byte) (int, map[string]string, any) {
		if calls++; r.Method != http.MethodPost || calls > 1 {
			t.Errorf("call %d is a %s of %s", calls, r.Method, r.URL)
		}
		return http.StatusFound, map[string]string{"Location": "http://" + r.URL.Host + "/login"}, nil
	})
	if _, err := c.TryFinish(t.Context(), jobA, 1, "x", false); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "/login") {
		t.Errorf("a redirect: %v", err)
	}
	c = client(t, func(*http.Request, []byte) (int, map[string]string, any) {
		return http.StatusOK, map[string]string{"Content-Type": "text/html; charset=utf-8"}, nil
	})
	if _, err := c.TryFinish(t.Context(), jobA, 1, "x", false); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "web page") {
		t.Errorf("a web page: %v", err)
	}
}

// A 2xx counts only if it is an object of JSON. A finish may have no body; then the job's
// state shows whether Buildkite has it.
func TestTakenByBuildkite(t *testing.T) {
	for _, tt := range []struct {
		name, kind, body string
		status           int
		state            State
		asked            int // for the state
		finish, list     bool
	}{
		{"the API's own", "application/json", `{"jobs":[]}`, 200, StateReserved, 0, true, true},
		{"JSON that is called a text", "text/plain", "\n {}", 200, StateReserved, 0, true, true},
		{"a text", "text/plain", "OK", 200, StateReserved, 0, false, false},
		{"a list", "application/json", "[]", 200, StateReserved, 0, false, false},
		{"null", "application/json", "null", 200, StateReserved, 0, false, false},
		{"half of it", "application/json", `{"jobs":[`, 200, StateReserved, 0, false, false},
		{"a page", "text/html", "{}", 200, StateReserved, 0, false, false},
		{"nothing, of a portal", "", "", 200, StateReserved, 1, false, false},
		{"nothing, of Buildkite", "", " ", 204, StateFinished, 1, true, false},
		{"no content, of a portal", "", "", 204, StateScheduled, 1, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			c := client(t, func(r *http.Request, _ []byte) (int, map[string]string, any) {
				if strings.HasSuffix(r.URL.Path, "/get-states") {
					asked++
					return 200, nil, map[string]any{"states": map[contract.JobID]State{jobA: tt.state}}
				}
				return tt.status, map[string]string{"Content-Type": tt.kind}, tt.body
			})
			if _, err := c.TryFinish(t.Context(), jobA, 1, "x", false); (err == nil) != tt.finish || err != nil && !errors.Is(err, ErrUnavailable) || asked != tt.asked {
				t.Errorf("finish: %v, asked %d times, want %t and %d", err, asked, tt.finish, tt.asked)
			}
			if _, err := c.ScheduledJobs(t.Context(), "", 1); (err == nil) != tt.list || err != nil && !errors.Is(err, ErrUnavailable) {
				t.Errorf("list: %v, want %t", err, tt.list)
			}
		})
	}
}

// A stack is gone with 204, as documented.
func TestDeregisterWithoutABody(t *testing.T) {
	for body, want := range map[string]bool{"": true, "{}": true, "OK": false} {
		c := client(t, func(*http.Request, []byte) (int, map[string]string, any) { return 204, nil, body })
		if err := c.Deregister(t.Context()); (err == nil) != want {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// A proxy that refuses what it is to hand on refuses no token, and knows of no job.
func TestRefusalOfAProxys(t *testing.T) {
	for _, tt := range []struct {
		name, kind, body string
		between          bool
	}{
		{"a web page", "text/html; charset=utf-8", "<html>blocked\x1b[2J", true},
		{"text", "text/plain", "blocked", true},
		{"the API's", "application/json; charset=utf-8", `{"message":"no"}`, false},
		{"the API's, called a text", "text/plain", `{"message":"no"}`, false},
		{"JSON without a message", "application/json", "", false},
		{"nothing, as Envoy answers without a route", "", "", true},
		{"a text that JSON could be too", "text/plain", "404", true},
	} {
		for _, status := range []int{400, 401, 403, 404, 422, 407, 408, 425} {
			switch status {
			case 407, 408, 425: // never Buildkite's, whoever words them
				tt.between = true
			}
			c := client(t, func(*http.Request, []byte) (int, map[string]string, any) {
				return status, map[string]string{"Content-Type": tt.kind}, tt.body
			})
			_, err := c.Env(t.Context(), jobA)
			if errors.Is(err, ErrUnavailable) != tt.between || Unclear(err) != tt.between || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%d, %s: %v", status, tt.name, err)
			}
			for _, is := range []error{ErrInvalid, ErrRefused, ErrNotFound} {
				if tt.between && errors.Is(err, is) {
					t.Errorf("%d, %s: %v is %v", status, tt.name, err, is)
				}
			}
		}
	}
}

// However many were refused something, one asks for the token, and again when it
// has changed.
func TestCheckToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		accepted := true
		c := client(t, func(r *http.Request, _ []byte) (int, map[string]string, any) {
			calls.Add(1)
			time.Sleep(time.Second)
			if !accepted {
				return 401, nil, map[string]string{"message": "no"}
			}
			return 200, nil, map[string]string{"uuid": "1"}
		})
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if err := c.CheckToken(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := calls.Load(); n != 1 {
			t.Errorf("asked %d times, want once", n)
		}
		accepted = false
		time.Sleep(checkEvery)
		if err := c.CheckToken(t.Context()); !errors.Is(err, ErrRefused) || calls.Load() != 2 {
			t.Errorf("later: %v, asked %d times", err, calls.Load())
		}
		accepted, c.cfg.Token = true, Token("another")
		if err := c.CheckToken(t.Context()); err != nil || calls.Load() != 3 {
			t.Errorf("another token: %v, asked %d times", err, calls.Load())
		}
	})
}

// A finish that Buildkite can't take doesn't hold up those of other jobs.
func TestFailedFinishHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := ids(101)
		c := client(t, func(r *http.Request, _ []byte) (int, map[string]string, any) {
			if strings.Contains(r.URL.Path, string(all[100])) {
				return 200, nil, map[string]any{}
			}
			return 500, nil, ""
		})
		for _, id := range all[:100] {
			for _, repeated := range []bool{false, true} {
				if again, err := c.TryFinish(t.Context(), id, 1, "x", repeated); !repeated && again == 0 && !errors.Is(err, ErrUnavailable) {
					t.Errorf("%v", err)
				}
			}
		}
		time.Sleep(time.Second)
		if again, err := c.TryFinish(t.Context(), all[100], 1, "x", false); again > 0 || err != nil {
			t.Errorf("another job's: again in %s, %v", again, err)
		}
	})
}

// An endpoint that says nothing until its caller has enough is one that fails: the
// next request goes alone, and later. Who must not wait is told when.
func TestCallersDeadlineIsNoReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Stack: "s", Token: Token("t"), Transport: hanging{}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := c.TryFinish(ctx, jobA, 1, "x", false); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "no reply within 10s") {
			t.Errorf("%v, want that there was no reply", err)
		}
		if again, err := c.TryFinish(t.Context(), jobA, 1, "x", false); again <= 0 || err != nil {
			t.Errorf("tried at once: again in %v, %v", again, err)
		}
	})
}

type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestUnreadableReplyIsNoReply(t *testing.T) {
	c := client(t, func(*http.Request, []byte) (int, map[string]string, any) { return 200, nil, "<html>" })
	if _, err := c.ScheduledJobs(t.Context(), "", 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("ScheduledJobs: %v, want ErrUnavailable", err)
	}
}

func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	f := NewTokenFile(path)
	if _, err := f.Token(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	write := func(s string, at int64) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Unix(at, 0), time.Unix(at, 0)); err != nil {
			t.Fatal(err)
		}
	}
	for i, tt := range []struct{ content, want string }{{"one\n", "one"}, {"two\n", "two"}, {"", "two"}, {"three", "three"}} {
		write(tt.content, int64(1000+i))
		if got, err := f.Token(); got != tt.want || err != nil {
			t.Errorf("after %q: token %q, %v, want %q", tt.content, got, err, tt.want)
		}
	}
	_ = os.Remove(path)
	if got, err := f.Token(); got != "three" || err != nil {
		t.Errorf("file gone: %q, %v, want the last good one", got, err)
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		rules, tags string
		want        bool
	}{
		{"", "", true}, {"queue=default", "", true}, {"os=linux", "os=linux arch=amd64", true}, {"os=linux gpu=yes", "os=linux", false},
		{"os=*", "os=linux", true}, {"os=*", "", false}, {"os=plan9", "os=*", true}, {"os=linux", "os=windows os=linux", true}, {"os", "os=linux", false},
	} {
		if got := Match(strings.Fields(tt.rules), strings.Fields(tt.tags)); got != tt.want {
			t.Errorf("Match(%q, %q) = %t, want %t", tt.rules, tt.tags, got, tt.want)
		}
	}
}
