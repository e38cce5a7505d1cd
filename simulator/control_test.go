package simulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/simulator"
)

// control calls the control API and returns status and body.
func (w *wire) control(method, path, body string) (int, string) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, "http://sim/"+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	if strings.HasPrefix(body, "{") {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// A build that is created over HTTP has what the call doesn't name from the Simulator's
// own settings: a person who named a repository at the start means that one.
func TestControlCreatesWithTheSettings(t *testing.T) {
	build := simulator.BuildRequest{Slug: "shop", Repo: "https://git.example/shop.git", Branch: "trunk", Env: map[string]string{"A": "1", "B": "2"}}
	inBubble(t, simulator.Config{Build: build}, func(w *wire) {
		for body, want := range map[string][]string{
			"steps: [{command: a}]": {"https://git.example/shop.git", "trunk", "shop", "1", "2"},
			`{"pipeline": "steps: [{command: a}]", "repo": "https://git.example/other.git", "slug": "other", "env": {"B": "3"}}`: {"https://git.example/other.git", "trunk", "other", "1", "3"},
		} {
			code, reply := w.control("POST", "_sim/builds", body)
			var b simulator.Build
			if err := json.Unmarshal([]byte(reply), &b); err != nil || code != 201 || len(b.JobIDs) != 1 {
				t.Fatalf("%s: %d %s", body, code, reply)
			}
			job := w.call("PUT", "jobs/"+b.JobIDs[0]+"/acquire", w.session(), "", 200)
			env, _ := job["env"].(map[string]any)
			for i, name := range []string{"BUILDKITE_REPO", "BUILDKITE_BRANCH", "BUILDKITE_PIPELINE_SLUG", "A", "B"} {
				if env[name] != want[i] {
					t.Errorf("%s: %s is %v, want %s", body, name, env[name], want[i])
				}
			}
		}
	})
}

func TestControl(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		code, body := w.control("POST", "_sim/builds?slug=shop&message=hi", "steps: [{command: a}, {command: b}]")
		var b simulator.Build
		if err := json.Unmarshal([]byte(body), &b); err != nil || code != 201 || b.Slug != "shop" || b.Message != "hi" || len(b.JobIDs) != 2 {
			t.Fatalf("creating a build: %d %s", code, body)
		}
		token := w.acquire(w.session(), b.JobIDs[0])
		w.call("PUT", "jobs/"+b.JobIDs[0]+"/start", token, "", 200)
		id0, id1 := b.JobIDs[0], b.JobIDs[1]
		tests := []struct {
			method, path, body string
			want               int
			contains           string
		}{
			{"GET", "_sim/healthz", "", 200, `"ok":true`},
			{"GET", "_sim/violations", "", 200, `[]`},
			{"GET", "_sim/violations?settled=1", "", 200, `[]`},
			{"GET", "_sim/ledger", "", 200, `"event":"acquired"`},
			{"GET", "_sim/requests", "", 200, `"endpoint":"acquire"`},
			{"GET", "_sim/builds", "", 200, b.ID},
			{"GET", "_sim/builds/1", "", 200, b.ID},
			{"GET", "_sim/builds/9", "", 404, ""},
			{"GET", "_sim/jobs", "", 200, id1},
			{"GET", "_sim/jobs/" + id0, "", 200, `"state":"running"`},
			{"GET", "_sim/jobs/nobody", "", 404, ""},
			{"GET", "_sim/jobs/nobody/log", "", 404, ""},
			{"GET", "_sim/jobs/" + id0 + "/log", "", 200, ""},
			{"GET", "_sim/agents", "", 200, `"state":"connected"`},
			{"GET", "_sim/endpoints", "", 200, `"stacks_list"`},
			{"POST", "_sim/jobs/" + id0 + "/timeout", "", 200, ""},
			{"POST", "_sim/jobs/" + id0 + "/timeout", "", 422, "only a running job"},
			{"POST", "_sim/jobs/" + id1 + "/lapse", "", 422, "not reserved"},
			{"POST", "_sim/jobs/" + id1 + "/offer", "", 422, "only one that is finished"},
			{"POST", "_sim/jobs/" + id1 + "/cancel", "", 200, ""},
			{"POST", "_sim/jobs/" + id1 + "/cancel", "", 422, "canceled"},
			{"POST", "_sim/jobs/" + id1 + "/retry", "", 201, `"retry_type":"manual"`},
			{"POST", "_sim/queues/default/pause", "", 200, ""},
			{"GET", "_sim/queues", "", 200, `"paused":true`},
			{"POST", "_sim/queues/default/resume", "", 200, ""},
			{"POST", "_sim/faults", `{"endpoint":"ping","status":503,"from":"1m","times":2}`, 201, "fault-1"},
			{"POST", "_sim/faults", `{"endpoint":"pong","status":503}`, 422, "unknown endpoint"},
			{"POST", "_sim/faults", `{"endpoint":"ping"}`, 422, "must do something"},
			{"POST", "_sim/faults", `{"endpoint":"ping","staus":503}`, 400, "staus"},
			{"POST", "_sim/faults", `{"endpoint":"ping","reset":"during"}`, 422, "before or after"},
			{"GET", "_sim/faults/fault-1", "", 200, `"acted":0`},
			{"DELETE", "_sim/faults/fault-1", "", 200, ""},
			{"DELETE", "_sim/faults/fault-1", "", 404, ""},
			{"DELETE", "_sim/faults", "", 200, ""},
			{"POST", "_sim/builds", `{"pipeline":{"steps":[{"command":"c"}]},"env":{"A":"B"}}`, 201, `"number":2`},
			{"POST", "_sim/builds", `{"pipeline":"steps: [{command: c}]"}`, 201, `"number":3`},
			{"POST", "_sim/builds", `steps: [{command: a, shell: sh}]`, 422, "is not a valid property"},
			{"POST", "_sim/builds/2/cancel", "", 200, ""},
			{"POST", "_sim/token", `{"token":"bkct_new"}`, 200, ""},
			{"POST", "_sim/token", `{}`, 400, ""},
			{"GET", "_sim/nonsense", "", 404, ""},
			{"GET", "_sim/a/b/c/d", "", 404, ""},
		}
		for _, tt := range tests {
			code, body := w.control(tt.method, tt.path, tt.body)
			if code != tt.want || !strings.Contains(body, tt.contains) {
				t.Errorf("%s %s %s = %d %s; want %d and %q", tt.method, tt.path, tt.body, code, body, tt.want, tt.contains)
			}
		}
		w.call("GET", "token", "bkct_new", "", 200)
	})
}

func TestPage(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		w.build(`steps: [{command: a, label: "<script>alert(1)</script>"}]`)
		code, html := w.control("GET", "", "")
		if code != 200 || !strings.Contains(html, "<title>onejob simulator</title>") || strings.Contains(html, "innerHTML") || strings.Contains(html, "http") {
			t.Errorf("page: %d; want it to set no HTML from data and to load nothing", code)
		}
		code, data := w.control("GET", "?data", "")
		// encoding/json escapes what HTML could take for a tag.
		if code != 200 || strings.Contains(data, "<script>") || !strings.Contains(data, "alert(1)") {
			t.Errorf("data: %d %s", code, data)
		}
		w.build(`steps: [{block: go, prompt: sure, fields: [{text: t, key: k}]}, {trigger: nobody, depends_on: ~}]`)
		_, data = w.control("GET", "?data", "")
		for _, want := range []string{`"state":"waiting_for_input"`, `"prompt":"sure"`, `"key":"k"`, `"warnings":["trigger: the pipeline`} {
			if !strings.Contains(data, want) {
				t.Errorf("the page's data lacks %s:\n%s", want, data)
			}
		}
		req, _ := http.NewRequest("GET", "http://sim/?data", nil)
		resp, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("If-None-Match", resp.Header.Get("ETag"))
		resp, err = w.client.Do(req)
		if err != nil || resp.StatusCode != http.StatusNotModified {
			t.Errorf("while nothing happens: %v, %v; want 304", resp.StatusCode, err)
		}
	})
}

func TestMetrics(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		ids := w.build(`steps: [{command: a}, {command: b}, wait, {command: c}, {command: d, depends_on: ~, agents: {queue: big}}]`)
		w.acquire(w.session(), ids[0])
		w.session()
		m := w.call("GET", "metrics", simulator.DefaultAgentToken, "", 200)
		jobs, agents := m["jobs"].(map[string]any), m["agents"].(map[string]any)
		for name, want := range map[string]float64{"scheduled": 2, "running": 1, "waiting": 1, "total": 4} {
			if jobs[name] != want {
				t.Errorf("jobs %s = %v, want %v", name, jobs[name], want)
			}
		}
		if agents["busy"] != 1.0 || agents["idle"] != 1.0 {
			t.Errorf("agents = %v", agents)
		}
		q := w.call("GET", "metrics/queue?name=big", simulator.DefaultAgentToken, "", 200)
		if got := q["jobs"].(map[string]any)["scheduled"]; got != 1.0 {
			t.Errorf("queue big has %v scheduled, want 1", got)
		}
		q = w.call("GET", "metrics/queue?name=nobody", simulator.DefaultAgentToken, "", 200)
		if got := q["jobs"].(map[string]any)["total"]; got != 0.0 {
			t.Errorf("an unknown queue has %v jobs, want 0", got)
		}
	})
}
