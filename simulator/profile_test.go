package simulator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/simulator"
)

const clusterToken = simulator.DefaultAgentToken

// Each side of each assumption shows in the Simulator's answers.
func TestEachSideIsPlayed(t *testing.T) {
	for _, a := range assumptions.All {
		observe := observed[a.Name]
		if observe == nil {
			t.Errorf("%s: nothing looks at it", a.Name)
			continue
		}
		for _, side := range a.Sides {
			t.Run(a.Name+"="+side.Name, func(t *testing.T) {
				conf := simulator.Config{Profile: assumptions.Shipped().With(a.Name, side.Name), LogMaxSizeBytes: 10, SyncUploads: true}
				switch a.Name {
				case "register-unknown-queue", "acquire-other-queue":
					conf.Queues = []string{"default", "linux"}
				case "stack-limit":
					conf.MaxStacks = 1
				case "chunk-size", "log-limit":
					conf.LogMaxSizeBytes = 0
				}
				inBubble(t, conf, func(w *wire) {
					if got := observe(w); got != side.Name {
						t.Errorf("it shows as %q", got)
					}
				})
			})
		}
	}
	if len(observed) != len(assumptions.All) {
		t.Errorf("%d observations of %d assumptions", len(observed), len(assumptions.All))
	}
}

// observed are the calls by which a side of each assumption shows.
var observed = map[string]func(*wire) string{
	"unstarted-job": func(w *wire) string {
		id := w.job("")
		w.acquire(w.session(), id)
		time.Sleep(31 * time.Second)
		return sides[simulator.JobState]{simulator.StateScheduled: "offered-again", simulator.StateFinished: "finished", simulator.StateAccepted: "kept"}.of(w.state(id))
	},
	"unstarted-job-token": func(w *wire) string {
		id := w.job("")
		token := w.acquire(w.session(), id)
		time.Sleep(31 * time.Second)
		return sides[int]{401: "refused", 200: "reads-state"}.of(w.status("GET", "jobs/"+id, token, ""))
	},
	"disconnect-accepted": func(w *wire) string {
		id, session := w.job(""), w.session()
		w.acquire(session, id)
		w.call("POST", "disconnect", session, "", 200)
		return sides[simulator.JobState]{simulator.StateFinished: "ends-job", simulator.StateAccepted: "lost-later", simulator.StateScheduled: "offered-again"}.of(w.state(id))
	},
	"disconnect-running": func(w *wire) string {
		id, session := w.job(""), w.session()
		w.start(session, id)
		w.call("POST", "disconnect", session, "", 200)
		first := w.state(id)
		time.Sleep(5 * time.Minute)
		if j, _ := w.sim.Job(id); j.ExitStatus != "-1" {
			w.Errorf("the job has ended with %q", j.ExitStatus)
		}
		return sides[simulator.JobState]{simulator.StateFinished: "ends-job", simulator.StateRunning: "lost-later"}.of(first)
	},
	"disconnect-reason": func(w *wire) string {
		id, session := w.job("retry: {automatic: [{exit_status: -1, signal_reason: agent_stop}]}"), w.session()
		w.start(session, id)
		w.call("POST", "disconnect", session, "", 200)
		return sides[bool]{false: "none", true: "agent-stop"}.of(w.retried(id))
	},
	"locked-states": func(w *wire) string {
		id := w.job("")
		if err := w.sim.LimitJob(id); err != nil {
			w.Fatal(err)
		}
		return sides[int]{423: "all-waiting", 422: "dependencies"}.of(w.lockedBy(id).StatusCode)
	},
	"locked-retry-after": func(w *wire) string {
		id := w.build(`steps: [{command: a}, wait, {command: b}]`)[1]
		return sides[string]{"": "none", "5": "sent"}.of(w.lockedBy(id).Header.Get("Retry-After"))
	},
	"acquire-again": func(w *wire) string {
		id, session := w.job(""), w.session()
		w.acquire(session, id)
		return sides[int]{422: "refused", 200: "granted"}.of(w.status("PUT", "jobs/"+id+"/acquire", session, ""))
	},
	"acquire-unconnected": func(w *wire) string {
		session := w.call("POST", "register", clusterToken, `{"name":"a"}`, 200)["access_token"].(string)
		return sides[int]{200: "granted", 422: "refused"}.of(w.status("PUT", "jobs/"+w.job("")+"/acquire", session, ""))
	},
	"acquire-paused": func(w *wire) string {
		id, session := w.job(""), w.session()
		if err := w.sim.SetQueuePaused("default", true); err != nil {
			w.Fatal(err)
		}
		return sides[int]{200: "granted", 422: "refused"}.of(w.status("PUT", "jobs/"+id+"/acquire", session, ""))
	},
	"acquire-other-queue": func(w *wire) string {
		id := w.job("agents: {queue: linux}")
		return sides[int]{404: "not-found", 200: "granted"}.of(w.status("PUT", "jobs/"+id+"/acquire", w.session(), ""))
	},
	"register-unknown-queue": func(w *wire) string {
		return sides[int]{422: "refused", 200: "default-queue"}.of(w.status("POST", "register", clusterToken, `{"name":"a","meta_data":["queue=nowhere"]}`))
	},
	"session-reads-job": func(w *wire) string {
		id, session := w.job(""), w.session()
		w.acquire(session, id)
		return sides[int]{200: "allowed", 401: "refused"}.of(w.status("GET", "jobs/"+id, session, ""))
	},
	"start-again": func(w *wire) string {
		id := w.job("")
		token := w.start(w.session(), id)
		return sides[int]{200: "taken", 422: "refused"}.of(w.status("PUT", "jobs/"+id+"/start", token, ""))
	},
	"start-canceling": func(w *wire) string {
		id := w.job("")
		token := w.acquire(w.session(), id)
		if err := w.sim.CancelJob(id); err != nil {
			w.Fatal(err)
		}
		code := w.status("PUT", "jobs/"+id+"/start", token, "")
		if state := w.state(id); state != simulator.StateCanceling {
			w.Errorf("the job is %s", state)
		}
		w.call("PUT", "jobs/"+id+"/finish", token, `{"exit_status":"-1","signal_reason":"cancel"}`, 200)
		return sides[int]{422: "refused", 200: "taken"}.of(code)
	},
	"lost-agent": func(w *wire) string {
		session := w.session()
		time.Sleep(5 * time.Minute)
		return sides[int]{200: "revives", 401: "refused"}.of(w.status("POST", "heartbeat", session, ""))
	},
	"ended-job-token": func(w *wire) string {
		id := w.job("")
		token := w.start(w.session(), id)
		w.call("PUT", "jobs/"+id+"/finish", token, `{"exit_status":"0"}`, 200)
		again := sides[int]{401: "refused", 422: "reads-state"}.of(w.status("PUT", "jobs/"+id+"/finish", token, `{"exit_status":"0"}`))
		if read := (sides[int]{401: "refused", 200: "reads-state"}).of(w.status("GET", "jobs/"+id, token, "")); read != again {
			w.Errorf("finish again shows %s, the state %s", again, read)
		}
		return again
	},
	"heartbeat-interval": func(w *wire) string {
		return sides[any]{1.0: "short", 120.0: "two-minutes"}.of(w.call("POST", "register", clusterToken, "{}", 200)["heartbeat_interval"])
	},
	"job-status-interval": func(w *wire) string {
		return sides[any]{1.0: "short", 30.0: "half-minute"}.of(w.call("POST", "register", clusterToken, "{}", 200)["job_status_interval"])
	},
	"chunk-size": func(w *wire) string {
		job := w.call("PUT", "jobs/"+w.job("")+"/acquire", w.session(), "", 200)
		return sides[any]{102400.0: "100-kib", 1048576.0: "1-mib"}.of(job["chunks_max_size_bytes"])
	},
	"chunk-interval": func(w *wire) string {
		job := w.call("PUT", "jobs/"+w.job("")+"/acquire", w.session(), "", 200)
		return sides[any]{1.0: "short", 10.0: "ten-seconds"}.of(job["chunks_interval_seconds"])
	},
	"log-limit": func(w *wire) string {
		job := w.call("PUT", "jobs/"+w.job("")+"/acquire", w.session(), "", 200)
		return sides[any]{1073741824.0: "documented", nil: "unnamed"}.of(job["log_max_size_bytes"])
	},
	"chunk-unstarted": func(w *wire) string {
		id := w.job("")
		return sides[int]{422: "refused", 200: "taken"}.of(w.chunk(id, w.acquire(w.session(), id), "hello"))
	},
	"log-beyond-limit": func(w *wire) string {
		id := w.job("")
		return sides[int]{200: "dropped", 422: "refused"}.of(w.chunk(id, w.start(w.session(), id), "hello, world"))
	},
	"stack-finish-held": func(w *wire) string {
		id := w.job("")
		w.start(w.session(), id)
		return sides[int]{422: "refused", 200: "taken"}.of(w.stack("a").finish(id, "because"))
	},
	"stack-finish-other": func(w *wire) string {
		id := w.job("")
		w.stack("a").reserve(id, 60)
		return sides[int]{200: "taken", 422: "refused"}.of(w.stack("b").finish(id, "because"))
	},
	"stack-finish-unreserved": func(w *wire) string {
		return sides[int]{200: "taken", 422: "refused"}.of(w.stack("a").finish(w.job(""), "because"))
	},
	"stack-finish-again": func(w *wire) string {
		id, s := w.job(""), w.stack("a")
		if code := s.finish(id, "because"); code != 200 {
			w.Errorf("finish: %d", code)
		}
		return sides[int]{422: "refused", 200: "taken"}.of(s.finish(id, "because"))
	},
	"long-detail": func(w *wire) string {
		id := w.job("")
		code := w.stack("a").finish(id, strings.Repeat("x", 5000))
		if j, _ := w.sim.Job(id); code == 200 && len(j.StackFinish.Detail) != 4096 {
			w.Errorf("the detail has %d bytes", len(j.StackFinish.Detail))
		}
		return sides[int]{422: "refused", 200: "cut"}.of(code)
	},
	"notify-unreserved": func(w *wire) string {
		id, s := w.job(""), w.stack("a")
		w.call("POST", s.path("notifications"), clusterToken, `{"notifications":[{"job_uuid":"`+id+`","detail":"before"}]}`, 200)
		before, _ := w.sim.Job(id)
		s.reserve(id, 900)
		w.call("POST", s.path("notifications"), clusterToken, `{"notifications":[{"job_uuid":"`+id+`","detail":"after"}]}`, 200)
		after, _ := w.sim.Job(id)
		return sides[string]{"0 1": "refused", "1 2": "taken"}.of(fmt.Sprint(len(before.Notifications), " ", len(after.Notifications)))
	},
	"short-reservation": func(w *wire) string {
		id := w.job("")
		if code := w.stack("a").reserve(id, 20); code != 200 {
			return sides[int]{422: "refused"}.of(code)
		}
		time.Sleep(21 * time.Second)
		return sides[simulator.JobState]{simulator.StateScheduled: "taken", simulator.StateReserved: "raised"}.of(w.state(id))
	},
	"shorter-renewal": func(w *wire) string {
		id, s := w.job(""), w.stack("a")
		s.reserve(id, 900)
		s.reserve(id, 20)
		time.Sleep(21 * time.Second)
		return sides[simulator.JobState]{simulator.StateScheduled: "shortens", simulator.StateReserved: "ignored"}.of(w.state(id))
	},
	"job-list": func(w *wire) string {
		s := w.stack("a")
		w.job("")
		first := len(s.list())
		time.Sleep(6 * time.Second)
		if n := len(s.list()); n != 1 {
			w.Errorf("%d jobs are listed at last", n)
		}
		return sides[int]{1: "current", 0: "late"}.of(first)
	},
	"job-states": func(w *wire) string {
		s, id := w.stack("a"), w.job("")
		time.Sleep(time.Minute)
		s.reserve(id, 60)
		time.Sleep(time.Second)
		first := s.states(id)[id]
		time.Sleep(2 * time.Second)
		if state := s.states(id)[id]; state != "reserved" {
			w.Errorf("the job is %v at last", state)
		}
		return sides[any]{"reserved": "current", "scheduled": "late"}.of(first)
	},
	"unknown-job-state": func(w *wire) string {
		const unknown = "00000000-0000-4000-8000-000000000000"
		states := w.stack("a").states(unknown)
		state, there := states[unknown]
		switch {
		case states == nil:
			return "refused"
		case there && state == nil:
			return "null"
		case there:
			return fmt.Sprint(state)
		}
		return "left-out"
	},
	"lost-stack": func(w *wire) string {
		w.stack("a")
		time.Sleep(7 * time.Minute)
		if s := w.sim.Stacks()[0]; s.State != "lost" {
			w.Errorf("the stack is %s", s.State)
		}
		return sides[int]{200: "answered", 404: "not-found"}.of(w.status("GET", "stacks/a/scheduled-jobs?queue_key=default", clusterToken, ""))
	},
	"stack-limit": func(w *wire) string {
		w.stack("a")
		w.call("POST", "stacks/a/deregister", clusterToken, "", 204)
		return sides[int]{201: "connected", 403: "created"}.of(w.status("POST", "stacks/register", clusterToken, `{"key":"b","type":"custom","queue_key":"default","metadata":{}}`))
	},
	"refused-calls": func(w *wire) string {
		s := w.stack("a")
		for range 10 {
			s.list()
		}
		time.Sleep(900 * time.Millisecond)
		if code := w.status("GET", s.path("scheduled-jobs?queue_key=default"), clusterToken, ""); code != 429 {
			w.Errorf("the eleventh: %d", code)
		}
		for range 9 {
			w.status("GET", s.path("scheduled-jobs?queue_key=default"), clusterToken, "")
		}
		time.Sleep(200 * time.Millisecond)
		return sides[int]{200: "free", 429: "counted"}.of(w.status("GET", s.path("scheduled-jobs?queue_key=default"), clusterToken, ""))
	},
	"limit-retry-after": func(w *wire) string {
		s := w.stack("a")
		for range 10 {
			s.list()
		}
		resp := w.send("GET", s.path("scheduled-jobs?queue_key=default"), clusterToken, "", nil)
		return sides[string]{"429 ": "none", "429 1": "sent"}.of(fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Retry-After")))
	},
	"metrics-scheduled": func(w *wire) string {
		w.stack("a").reserve(w.job(""), 60)
		jobs := w.call("GET", "metrics", clusterToken, "", 200)["jobs"].(map[string]any)
		return sides[any]{1.0: "with-reserved", 0.0: "without-reserved"}.of(jobs["scheduled"])
	},
	"any-value-rule": func(w *wire) string {
		w.job(`agents: ["gpu="]`)
		return sides[any]{"gpu=": "as-written", "gpu=*": "star"}.of(w.stack("a").rules()[0])
	},
	"default-queue-rule": func(w *wire) string {
		w.job("")
		rules := w.stack("a").rules()
		if len(rules) == 0 {
			return "absent"
		}
		return sides[any]{"queue=default": "named"}.of(rules[0])
	},
	"star-lost-agent": func(w *wire) string {
		id := w.job(`retry: {automatic: [{exit_status: "*"}]}`)
		w.start(w.session(), id)
		if err := w.sim.LoseAgent(w.sim.Agents()[0].ID); err != nil {
			w.Fatal(err)
		}
		return sides[bool]{true: "matches", false: "spares"}.of(w.retried(id))
	},
	"star-stack-finish": func(w *wire) string {
		id := w.job(`retry: {automatic: true}`)
		w.stack("a").finish(id, "because")
		return sides[bool]{true: "matches", false: "spares"}.of(w.retried(id))
	},
	"exhausted-rule": func(w *wire) string {
		id, s := w.job(`retry: {automatic: [{exit_status: -1, limit: 1}, {signal_reason: stack_error, limit: 1}]}`), w.stack("a")
		s.finish(id, "because")
		j, _ := w.sim.Job(id)
		s.finish(j.RetriedBy, "because")
		return sides[bool]{false: "stops", true: "passes"}.of(w.retried(j.RetriedBy))
	},
}

// sides maps an observation to a side.
type sides[T comparable] map[T]string

func (s sides[T]) of(seen T) string {
	if side := s[seen]; side != "" {
		return side
	}
	return fmt.Sprint("neither: ", seen)
}

// job makes a build of one step, with attributes as in a YAML flow.
func (w *wire) job(attributes string) string {
	w.Helper()
	return w.build(`steps: [{command: a, ` + attributes + `}]`)[0]
}

func (w *wire) start(session, id string) (token string) {
	w.Helper()
	token = w.acquire(session, id)
	w.call("PUT", "jobs/"+id+"/start", token, "", 200)
	return token
}

func (w *wire) status(method, path, token, body string) int {
	w.Helper()
	code, _, err := w.try(method, path, token, body)
	if err != nil {
		w.Error(err)
	}
	return code
}

// send sends a call and returns the whole response, for tests that read headers.
func (w *wire) send(method, path, token, body string, header http.Header) *http.Response {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, "http://sim/v3/"+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Token "+token)
	resp, err := w.client.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp
}

func (w *wire) lockedBy(id string) *http.Response {
	w.Helper()
	return w.send("PUT", "jobs/"+id+"/acquire", w.session(), "", http.Header{"X-Buildkite-Lock-Acquire-Job": {"1"}})
}

func (w *wire) chunk(id, token, text string) int {
	w.Helper()
	return w.status("POST", fmt.Sprintf("jobs/%s/chunks?sequence=1&offset=0&size=%d", id, len(text)), token, text)
}

func (w *wire) retried(id string) bool {
	w.Helper()
	j, _ := w.sim.Job(id)
	return j.RetriedBy != ""
}

// wireStack is a registered stack.
type wireStack struct {
	*wire
	key string
}

func (w *wire) stack(key string) wireStack {
	w.Helper()
	w.call("POST", "stacks/register", clusterToken, `{"key":"`+key+`","type":"custom","queue_key":"default","metadata":{}}`, 201)
	return wireStack{w, key}
}

func (s wireStack) path(call string) string { return "stacks/" + s.key + "/" + call }

func (s wireStack) finish(id, detail string) int {
	s.Helper()
	return s.status("POST", s.path("jobs/"+id+"/finish"), clusterToken, `{"exit_status":-1,"detail":"`+detail+`"}`)
}

func (s wireStack) reserve(id string, seconds int) int {
	s.Helper()
	return s.status("PUT", s.path("scheduled-jobs/batch-reserve"), clusterToken, fmt.Sprintf(`{"job_uuids":[%q],"reservation_expiry_seconds":%d}`, id, seconds))
}

func (s wireStack) list() []any {
	s.Helper()
	return s.call("GET", s.path("scheduled-jobs?queue_key=default"), clusterToken, "", 200)["jobs"].([]any)
}

func (s wireStack) rules() []any {
	s.Helper()
	return s.list()[0].(map[string]any)["agent_query_rules"].([]any)
}

// states are nil if the call is refused.
func (s wireStack) states(id string) map[string]any {
	s.Helper()
	_, reply, err := s.try("POST", s.path("jobs/get-states"), clusterToken, fmt.Sprintf(`{"job_uuids":[%q]}`, id))
	if err != nil {
		s.Error(err)
	}
	states, _ := reply["states"].(map[string]any)
	return states
}
