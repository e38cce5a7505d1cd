package stacks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
		if err := json.Unmarshal(body, &in); err != nil || in.Expiry != 20 {
			t.Errorf("body %.60s: %v, expiry %d", body, err, in.Expiry)
		}
		sizes = append(sizes, len(in.JobUUIDs))
		if len(sizes) == 3 {
			return 422, nil, map[string]string{"message": "no"}
		}
		return 200, nil, map[string]any{"reserved": in.JobUUIDs, "not_reserved": []string{}}
	})
	got, err := c.Reserve(t.Context(), ids(2500), 20*time.Second)
	if len(got) != 2000 || !errors.Is(err, ErrInvalid) {
		t.Errorf("Reserve: %d jobs, %v; want 2000 and ErrInvalid", len(got), err)
	}
	if want := []int{1000, 1000, 500}; !cmp.Equal(sizes, want) {
		t.Errorf("chunks %v, want %v", sizes, want)
	}
}

func TestFinishSendsZeroAndCuts(t *testing.T) {
	var in map[string]any
	c := client(t, func(_ *http.Request, body []byte) (int, map[string]string, any) {
		in = nil
		_ = json.Unmarshal(body, &in)
		return 200, nil, ""
	})
	if _, err := c.TryFinish(t.Context(), jobA, 0, strings.Repeat("ü", 5000)); err != nil {
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
	if _, err := c.TryFinish(t.Context(), jobA, 1, "x"); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "/login") {
		t.Errorf("a redirect: %v", err)
	}
	c = client(t, func(*http.Request, []byte) (int, map[string]string, any) {
		return http.StatusOK, map[string]string{"Content-Type": "text/html; charset=utf-8"}, nil
	})
	if _, err := c.TryFinish(t.Context(), jobA, 1, "x"); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "web page") {
		t.Errorf("a web page: %v", err)
	}
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
		if _, err := c.TryFinish(ctx, jobA, 1, "x"); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "no reply within 10s") {
			t.Errorf("%v, want that there was no reply", err)
		}
		if again, err := c.TryFinish(t.Context(), jobA, 1, "x"); again <= 0 || err != nil {
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

func TestNotifierBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, sent int
		down := true
		c := client(t, func(_ *http.Request, body []byte) (int, map[string]string, any) {
			if down {
				down = false
				return 503, nil, ""
			}
			var in struct{ Notifications []Notification }
			_ = json.Unmarshal(body, &in)
			calls++
			sent += len(in.Notifications)
			return 200, nil, map[string]any{"errors": []any{}}
		})
		n := NewNotifier(c, slog.New(slog.DiscardHandler))
		go n.Run(t.Context())
		for _, id := range ids(2500) {
			n.Add(id, "pending: "+strings.Repeat("é", 300), nil)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if sent != 2500 || calls != 3 {
			t.Errorf("sent %d notifications in %d calls, want 2500 in 3", sent, calls)
		}
	})
}

// What was added just before the end, and what the end cuts off on its way, is
// still sent.
func TestNotifierSendsTheLast(t *testing.T) {
	for name, wait := range map[string]time.Duration{"before it is sent": notifyEvery / 5, "on its way": notifyEvery + notifyEvery/5} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				ctx, cancel := context.WithCancel(t.Context())
				c := client(t, func(r *http.Request, _ []byte) (int, map[string]string, any) {
					select {
					case <-time.After(notifyEvery / 2):
						calls++
					case <-r.Context().Done():
						return 400, nil, "cut off"
					}
					return 200, nil, map[string]any{"errors": []any{}}
				})
				n := NewNotifier(c, slog.New(slog.DiscardHandler))
				n.Add(ids(1)[0], "last words", nil)
				go func() {
					time.Sleep(wait)
					cancel()
				}()
				n.Run(ctx)
				if calls != 1 {
					t.Errorf("sent %d times, want once", calls)
				}
			})
		})
	}
}

// A token that is rotated, or a stack that somebody deregistered, costs no
// notification: what was refused for it is sent once it is mended.
func TestNotifierWaitsUntilItIsWelcome(t *testing.T) {
	for _, status := range []int{401, 403, 404} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls, sent, then, answer atomic.Int64
				answer.Store(int64(status))
				c := client(t, func(_ *http.Request, body []byte) (int, map[string]string, any) {
					calls.Add(1)
					var in struct{ Notifications []Notification }
					_ = json.Unmarshal(body, &in)
					if answer.Load() == 200 {
						sent.Add(int64(len(in.Notifications)))
					}
					return int(answer.Load()), nil, map[string]any{"errors": []any{}}
				})
				n := NewNotifier(c, slog.New(slog.DiscardHandler))
				go n.Run(t.Context())
				for _, id := range ids(3) {
					n.Add(id, "lost", func() { then.Add(1) })
				}
				time.Sleep(10 * refusedEvery)
				synctest.Wait()
				if calls.Load() != 10 || then.Load() != 0 {
					t.Errorf("refused: sent %d times, %d said to be told; want 10 and none", calls.Load(), then.Load())
				}
				answer.Store(200)
				time.Sleep(refusedEvery)
				synctest.Wait()
				if sent.Load() != 3 || then.Load() != 3 || calls.Load() != 11 {
					t.Errorf("mended: %d sent in %d calls, %d said to be told; want 3, 11, 3", sent.Load(), calls.Load(), then.Load())
				}
			})
		})
	}
}

// A Buildkite whose clock is behind ours refuses our times. What it was to tell
// is told all the same; what it refuses for another reason is tried once more
// and then dropped.
func TestNotifierWithAnotherClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := ids(3)
		full, calls := all[1], 0
		told, then := map[contract.JobID]int{}, map[contract.JobID]int{}
		c := client(t, func(_ *http.Request, body []byte) (int, map[string]string, any) {
			calls++
			var in struct{ Notifications []Notification }
			_ = json.Unmarshal(body, &in)
			early, over := []int{}, []int{}
			for i, n := range in.Notifications {
				switch {
				case n.JobID == full:
					over = append(over, i)
				case n.Time != nil && n.Time.After(time.Now().Add(-10*time.Second)):
					early = append(early, i)
				default:
					told[n.JobID]++
				}
			}
			return 200, nil, map[string]any{"errors": []any{
				map[string]any{"error": "timestamp can't be in the future", "indexes": early},
				map[string]any{"error": "job stack notification count exceeded", "indexes": over},
			}}
		})
		n := NewNotifier(c, slog.New(slog.DiscardHandler))
		go n.Run(t.Context())
		for _, id := range all {
			n.Add(id, "lost", func() { then[id]++ })
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, id := range all {
			if then[id] != 1 {
				t.Errorf("what became of %s was said %d times, want once", id, then[id])
			}
		}
		if told[all[0]] != 1 || told[all[2]] != 1 || told[full] != 0 || calls != 2 {
			t.Errorf("told %v in %d calls, want the first and the last once, in 2", told, calls)
		}
	})
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

func TestCut(t *testing.T) {
	for n := range 12 {
		if got := Cut("aé漢字z\xff", n); len(got) > max(n, len("…")) || !utf8.ValidString(got) {
			t.Errorf("Cut(…, %d) = %q", n, got)
		}
	}
}
