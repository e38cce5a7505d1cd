package simulator_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/simulator"
)

// wire speaks JSON to a simulator in process, in a bubble.
type wire struct {
	testing.TB
	sim    *simulator.Simulator
	client *http.Client
}

func inBubble(t *testing.T, conf simulator.Config, f func(w *wire)) {
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(conf)
		defer synctest.Wait()
		defer sim.Close()
		f(&wire{t, sim, &http.Client{Transport: sim.Transport()}})
	})
}

func (w *wire) try(method, path, token, body string) (int, map[string]any, error) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, "http://sim/v3/"+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+token)
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, nil, err
	}
	var fields map[string]any
	_ = json.Unmarshal(raw, &fields)
	return resp.StatusCode, fields, nil
}

// call wants the given status and returns the reply.
func (w *wire) call(method, path, token, body string, want int) map[string]any {
	w.Helper()
	got, fields, err := w.try(method, path, token, body)
	if err != nil || got != want {
		w.Errorf("%s %s = %d, %v; want %d", method, path, got, err, want)
	}
	return fields
}

func (w *wire) build(pipeline string) []string {
	w.Helper()
	b, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte(pipeline)})
	if err != nil {
		w.Fatal(err)
	}
	return b.JobIDs
}

func (w *wire) session() string {
	w.Helper()
	reg := w.call("POST", "register", simulator.DefaultAgentToken, `{"name":"a","ignore_in_dispatches":true}`, 200)
	token, _ := reg["access_token"].(string)
	w.call("POST", "connect", token, "", 200)
	return token
}

func (w *wire) acquire(session, id string) string {
	w.Helper()
	token, _ := w.call("PUT", "jobs/"+id+"/acquire", session, "", 200)["token"].(string)
	return token
}

func (w *wire) state(id string) simulator.JobState {
	w.Helper()
	j, found := w.sim.Job(id)
	if !found {
		w.Fatalf("no job %s", id)
	}
	return j.State
}

func TestReservationExpires(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		ids := w.build(`steps: [{command: a}, {command: b}]`)
		w.call("POST", "stacks/register", simulator.DefaultAgentToken, `{"key":"s","type":"custom","queue_key":"default","metadata":{}}`, 201)
		reserve := func(body string) {
			w.call("PUT", "stacks/s/scheduled-jobs/batch-reserve", simulator.DefaultAgentToken, body, 200)
		}
		reserve(`{"job_uuids":["` + ids[0] + `"],"reservation_expiry_seconds":60}`)
		reserve(`{"job_uuids":["` + ids[1] + `"]}`)
		time.Sleep(59 * time.Second)
		reserve(`{"job_uuids":["` + ids[0] + `"],"reservation_expiry_seconds":60}`)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if got := w.state(ids[0]); got != simulator.StateReserved {
			t.Errorf("extended reservation: %s after 118 s, want reserved", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.state(ids[0]); got != simulator.StateScheduled {
			t.Errorf("%s when the reservation is over, want scheduled", got)
		}
		if got := w.state(ids[1]); got != simulator.StateReserved {
			t.Errorf("default reservation: %s after 119 s, want reserved", got)
		}
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if got := w.state(ids[1]); got != simulator.StateScheduled {
			t.Errorf("default reservation: %s after 15 min, want scheduled", got)
		}
		page := w.call("GET", "stacks/s/scheduled-jobs?queue_key=default", simulator.DefaultAgentToken, "", 200)
		jobs, _ := page["jobs"].([]any)
		if len(jobs) != 2 || jobs[0].(map[string]any)["id"] != ids[0] {
			t.Errorf("listed %v, want both in their old order", jobs)
		}
	})
}

func TestSilentAgentIsLost(t *testing.T) {
	inBubble(t, simulator.Config{HeartbeatTimeout: time.Minute}, func(w *wire) {
		ids := w.build(`steps: [{command: a, retry: {automatic: {exit_status: -1, limit: 1}}}]`)
		session := w.session()
		token := w.acquire(session, ids[0])
		w.call("PUT", "jobs/"+ids[0]+"/start", token, `{"started_at":"x"}`, 200)
		for range 5 {
			time.Sleep(50 * time.Second)
			w.call("POST", "heartbeat", session, `{"sent_at":"now"}`, 200)
		}
		// Only connect and heartbeat count as signs of life.
		time.Sleep(59 * time.Second)
		w.call("GET", "jobs/"+ids[0], token, "", 200)
		time.Sleep(21 * time.Second) // it is noticed up to 20 s late
		synctest.Wait()
		j, _ := w.sim.Job(ids[0])
		if j.State != simulator.StateFinished || j.ExitStatus != "-1" || j.Passed {
			t.Errorf("job = %s, exit %s; want it failed with -1", j.State, j.ExitStatus)
		}
		if j.RetriedBy == "" {
			t.Error("not retried by its rule for -1")
		}
		// The agent comes back, its job doesn't.
		w.call("POST", "heartbeat", session, "", 200)
		if a := w.sim.Agents()[0]; a.State != "connected" {
			t.Errorf("after a heartbeat the agent is %s, want connected", a.State)
		}
		w.call("GET", "jobs/"+ids[0], token, "", 401)
		// The lost agent's runner may still report a result. That is late, not a violation.
		w.call("PUT", "jobs/"+ids[0]+"/finish", token, `{"exit_status":"0"}`, 401)
		if v := w.sim.CheckSettled(); len(v) != 0 {
			t.Errorf("violations = %v, want none", v)
		}
	})
}

func TestStepTimesOut(t *testing.T) {
	inBubble(t, simulator.Config{HeartbeatTimeout: time.Hour, Profile: simulator.Profile{UnstartedJob: assumptions.UnstartedJobKept}}, func(w *wire) {
		ids := w.build(`steps: [{command: a, timeout_in_minutes: 2}]`)
		token := w.acquire(w.session(), ids[0])
		time.Sleep(5 * time.Minute) // the clock starts with the job
		w.call("PUT", "jobs/"+ids[0]+"/start", token, "", 200)
		time.Sleep(119 * time.Second)
		if got := w.call("GET", "jobs/"+ids[0], token, "", 200)["state"]; got != "running" {
			t.Errorf("state = %v before the time is up", got)
		}
		time.Sleep(2 * time.Second)
		if got := w.call("GET", "jobs/"+ids[0], token, "", 200)["state"]; got != "timing_out" {
			t.Errorf("state = %v, want timing_out", got)
		}
		w.call("PUT", "jobs/"+ids[0]+"/finish", token, `{"exit_status":"-1","signal":"SIGTERM","signal_reason":"cancel"}`, 200)
		if got := w.state(ids[0]); got != simulator.StateTimedOut {
			t.Errorf("state = %s, want timed_out", got)
		}
	})
}

func TestFaults(t *testing.T) {
	reset := func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
	tests := []struct {
		name      string
		fault     simulator.Fault
		wantCode  int
		wantErr   func(error) bool
		wantState simulator.JobState
		withheld  bool
	}{
		{"status", simulator.Fault{Status: 503, Header: map[string]string{"Retry-After": "30"}}, 503, nil, simulator.StateScheduled, false},
		{"reset before", simulator.Fault{Reset: "before"}, 0, reset, simulator.StateScheduled, false},
		{"reset after", simulator.Fault{Reset: "after"}, 0, reset, simulator.StateAccepted, true},
		{"garbage before", simulator.Fault{Garbage: "before"}, 200, nil, simulator.StateScheduled, false},
		{"garbage after", simulator.Fault{Garbage: "after"}, 200, nil, simulator.StateAccepted, true},
		{"truncated", simulator.Fault{Truncate: true}, 200, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }, simulator.StateAccepted, true},
		{"delayed", simulator.Fault{Delay: 10 * time.Second}, 200, nil, simulator.StateAccepted, false},
		{"delayed beyond the client", simulator.Fault{Delay: 2 * time.Minute}, 0, func(err error) bool { return err != nil }, simulator.StateAccepted, true},
		{"hanging", simulator.Fault{Hang: true}, 0, func(err error) bool { return err != nil }, simulator.StateScheduled, false},
		{"hanging after", simulator.Fault{Hang: true, Reset: "after"}, 0, func(err error) bool { return err != nil }, simulator.StateAccepted, true},
		{"of another job", simulator.Fault{Status: 500, JobID: "other"}, 200, nil, simulator.StateAccepted, false},
		{"skipped", simulator.Fault{Status: 500, Skip: 1}, 200, nil, simulator.StateAccepted, false},
		{"not yet", simulator.Fault{Status: 500, From: time.Hour}, 200, nil, simulator.StateAccepted, false},
		{"no more", simulator.Fault{Status: 500, Until: time.Second}, 200, nil, simulator.StateAccepted, false},
		{"never", simulator.Fault{Status: 500, Probability: 1e-12}, 200, nil, simulator.StateAccepted, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, simulator.Config{Profile: simulator.Profile{UnstartedJob: assumptions.UnstartedJobKept}}, func(w *wire) {
				w.client.Timeout = time.Minute
				ids := w.build(`steps: [{command: a}]`)
				session := w.session()
				tt.fault.Endpoint, tt.fault.Times = "acquire", 1
				w.sim.AddFault(tt.fault)
				time.Sleep(2 * time.Second)
				code, _, err := w.try("PUT", "jobs/"+ids[0]+"/acquire", session, "")
				if code != tt.wantCode || (err != nil) != (tt.wantErr != nil) || tt.wantErr != nil && !tt.wantErr(err) {
					t.Errorf("acquire = %d, %v; want %d", code, err, tt.wantCode)
				}
				time.Sleep(time.Minute) // the delay that outlives its client
				synctest.Wait()
				if got := w.state(ids[0]); got != tt.wantState {
					t.Errorf("job is %s, want %s", got, tt.wantState)
				}
				withheld := false
				for _, e := range w.sim.Ledger() {
					withheld = withheld || e.Withheld
				}
				if withheld != tt.withheld {
					t.Errorf("withheld = %v, want %v", withheld, tt.withheld)
				}
				if tt.withheld {
					w.call("PUT", "jobs/"+ids[0]+"/acquire", session, "", 422)
					if all, provoked := w.sim.Repeats(); all != 1 || provoked != 1 {
						t.Errorf("repeats = %d, %d provoked; want 1, 1", all, provoked)
					}
				}
			})
		})
	}
}

func TestOutageWindow(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		session := w.session()
		w.sim.AddFault(simulator.Fault{Endpoint: "agent/*", Status: 503, From: 10 * time.Second, Until: 20 * time.Second})
		for second, want := range []int{200, 200, 503, 503, 200} {
			w.call("GET", "ping", session, "", want)
			_ = second
			time.Sleep(5 * time.Second)
		}
		if got := w.sim.Count("ping", 503); got != 2 {
			t.Errorf("%d pings got 503, want 2", got)
		}
	})
}

// TestAbandonedJobs: a session that has a job must not disconnect before it sent a finish. The
// job fails in any case.
func TestAbandonedJobs(t *testing.T) {
	const finish = `{"exit_status":"-1"}`
	tests := []struct {
		name string
		act  func(w *wire, session, id string)
		want []string
	}{
		{"left", func(w *wire, session, id string) { w.acquire(session, id) }, []string{simulator.Abandoned}},
		{"left while it runs", func(w *wire, session, id string) {
			w.call("PUT", "jobs/"+id+"/start", w.acquire(session, id), "{}", 200)
		}, []string{simulator.Abandoned}},
		{"left after a refused start", func(w *wire, session, id string) {
			w.sim.AddFault(simulator.Fault{Endpoint: "start", Status: 422})
			w.call("PUT", "jobs/"+id+"/start", w.acquire(session, id), "{}", 422)
		}, []string{simulator.Abandoned}},
		{"finished", func(w *wire, session, id string) {
			w.call("PUT", "jobs/"+id+"/finish", w.acquire(session, id), finish, 200)
		}, nil},
		{"its finish was refused", func(w *wire, session, id string) {
			w.sim.AddFault(simulator.Fault{Endpoint: "finish", Status: 503})
			w.call("PUT", "jobs/"+id+"/finish", w.acquire(session, id), finish, 503)
		}, nil},
		{"its grant was lost", func(w *wire, session, id string) {
			w.sim.AddFault(simulator.Fault{Endpoint: "acquire", Garbage: "after", Times: 1})
			w.call("PUT", "jobs/"+id+"/acquire", session, "", 200)
		}, nil},
		{"its grant was cut", func(w *wire, session, id string) {
			w.sim.AddFault(simulator.Fault{Endpoint: "acquire", Truncate: true, Times: 1})
			_, _, _ = w.try("PUT", "jobs/"+id+"/acquire", session, "")
		}, nil},
		{"its grant was lost on the way", func(w *wire, session, id string) {
			w.call("PUT", "jobs/"+id+"/acquire", session, "", 200)
			w.call("PUT", "jobs/"+id+"/acquire", session, "", 422)
		}, nil},
		{"never acquired", func(*wire, string, string) {}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, simulator.Config{}, func(w *wire) {
				id := w.build(`steps: [{command: a}]`)[0]
				session := w.session()
				tt.act(w, session, id)
				if v := w.sim.CheckSettled(); len(v) != 0 {
					t.Errorf("violations = %v while the agent lives, want none", v)
				}
				w.call("POST", "disconnect", session, "", 200)
				w.call("POST", "disconnect", session, "", 200)
				var got []string
				for _, v := range w.sim.CheckSettled() {
					got = append(got, v.Kind)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("violations = %q, want %q", got, tt.want)
				}
				if state := w.state(id); state.Held() {
					t.Errorf("the job is %s, and its agent has gone", state)
				}
				w.call("PUT", "jobs/"+id+"/acquire", session, "", 401)
			})
		})
	}
	t.Run("given again", func(t *testing.T) {
		inBubble(t, simulator.Config{Profile: simulator.Profile{AcquireAgain: assumptions.AcquireAgainGranted}}, func(w *wire) {
			id, session := w.build(`steps: [{command: a}]`)[0], w.session()
			w.acquire(session, id)
			w.acquire(session, id)
			w.call("POST", "disconnect", session, "", 200)
			if v := w.sim.Violations(); len(v) != 1 || v[0].Kind != simulator.Abandoned {
				t.Errorf("violations = %v, want that the job was abandoned", v)
			}
		})
	})
	// An agent that is silent has not left: Buildkite fails its job.
	t.Run("lost", func(t *testing.T) {
		inBubble(t, simulator.Config{}, func(w *wire) {
			id, session := w.build(`steps: [{command: a}]`)[0], w.session()
			w.call("PUT", "jobs/"+id+"/start", w.acquire(session, id), "", 200)
			time.Sleep(time.Hour)
			if v := w.sim.CheckSettled(); len(v) != 0 || w.state(id) != simulator.StateFinished {
				t.Errorf("the job is %s, violations = %v; want it finished, and none", w.state(id), v)
			}
		})
	})
}

func TestRotatedToken(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		session := w.session()
		if err := w.sim.RotateAgentToken("bkct_new"); err != nil {
			t.Fatal(err)
		}
		w.call("GET", "token", simulator.DefaultAgentToken, "", 401)
		ident := w.call("GET", "token", "bkct_new", "", 200)
		if ident["cluster_uuid"] == "" || ident["organization_slug"] != "acme" {
			t.Errorf("identity = %v", ident)
		}
		w.call("GET", "ping", session, "", 200)
	})
}

func TestRegisterReplyMayBeAbsurd(t *testing.T) {
	conf := simulator.Config{RegisterReply: func(reply map[string]any) { reply["heartbeat_interval"] = 0 }}
	inBubble(t, conf, func(w *wire) {
		reg := w.call("POST", "register", simulator.DefaultAgentToken, "{}", 200)
		if reg["heartbeat_interval"] != 0.0 || reg["ping_interval"] != 1.0 {
			t.Errorf("reply = %v", reg)
		}
	})
}

func TestPausedAgent(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		session := w.session()
		w.call("POST", "pause", session, `{"note":"lunch","timeout_in_minutes":1}`, 200)
		if got := w.call("GET", "ping", session, "", 200); got["action"] != "pause" || got["message"] != "lunch" {
			t.Errorf("ping = %v, want pause", got)
		}
		time.Sleep(61 * time.Second)
		if got := w.call("GET", "ping", session, "", 200); got["action"] != "idle" {
			t.Errorf("ping = %v, want idle when the pause is over", got)
		}
		w.call("POST", "stop", session, "{}", 200)
		if got := w.call("GET", "ping", session, "", 200); got["action"] != "disconnect" {
			t.Errorf("ping = %v, want disconnect after stop", got)
		}
	})
}

func TestPathsAndBases(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		for _, url := range []string{"http://sim/v3/token", "http://sim/token", "http://sim/v3//token", "http://sim//token/"} {
			req, _ := http.NewRequest("GET", url, nil)
			req.Header.Set("Authorization", "Token "+simulator.DefaultAgentToken)
			resp, err := w.client.Do(req)
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("%s: %v, %v", url, resp, err)
			}
		}
		req, _ := http.NewRequest("POST", "http://sim/agentedge.v1.AgentEdgeService/StreamPings", nil)
		if resp, err := w.client.Do(req); err != nil || resp.StatusCode != 404 {
			t.Errorf("StreamPings: %v, %v; want 404", resp, err)
		}
		w.call("GET", "register", simulator.DefaultAgentToken, "", 405)
		w.call("GET", "nothing/here", simulator.DefaultAgentToken, "", 404)
		if got := w.sim.Count("stream_pings"); got != 1 {
			t.Errorf("stream_pings counted %d, want 1", got)
		}
	})
}

func TestCancelStepByForce(t *testing.T) {
	inBubble(t, simulator.Config{HeartbeatTimeout: time.Hour}, func(w *wire) {
		ids := w.build(`steps: [{command: a, key: a}, {command: b, key: b}]`)
		stuck := w.acquire(w.session(), ids[1])
		w.call("PUT", "jobs/"+ids[1]+"/start", stuck, "", 200)
		token := w.acquire(w.session(), ids[0])
		w.call("POST", "steps/b/cancel", token, `{"force":true,"force_grace_period":30}`, 200)
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if got := w.state(ids[1]); got != simulator.StateCanceling {
			t.Errorf("within the grace the job is %s, want canceling", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.state(ids[1]); got != simulator.StateCanceled {
			t.Errorf("after the grace the job is %s, want canceled", got)
		}
		w.call("GET", "jobs/"+ids[1], stuck, "", 401)
	})
}

func TestLoseAgent(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		ids := w.build(`steps: [{command: a}]`)
		session := w.session()
		w.acquire(session, ids[0])
		agent := w.sim.Agents()[0]
		if agent.JobID != ids[0] || agent.State != "connected" {
			t.Errorf("agent = %+v", agent)
		}
		if err := w.sim.PauseAgent(agent.ID); err != nil {
			t.Fatal(err)
		}
		if got := w.call("GET", "ping", session, "", 200)["action"]; got != "pause" {
			t.Errorf("ping = %v, want pause", got)
		}
		if err := w.sim.ResumeAgent(agent.ID); err != nil {
			t.Fatal(err)
		}
		if err := w.sim.LoseAgent(agent.ID); err != nil {
			t.Fatal(err)
		}
		if agent, _ = w.sim.Agent(agent.ID); agent.State != "lost" || agent.JobID != "" {
			t.Errorf("agent = %+v", agent)
		}
		if got := w.state(ids[0]); got != simulator.StateFinished {
			t.Errorf("its job is %s, want finished", got)
		}
		if err := w.sim.LoseAgent("nobody"); !errors.Is(err, simulator.ErrNotFound) {
			t.Errorf("LoseAgent of nobody: %v", err)
		}
	})
}

// TestDispatchedAgents: an agent that pings for work gets the most urgent job
// that its tags satisfy, and a job that it never accepts goes back.
func TestDispatchedAgents(t *testing.T) {
	inBubble(t, simulator.Config{HeartbeatTimeout: time.Minute}, func(w *wire) {
		ids := w.build(`steps: [{command: a}, {command: b, priority: 2}, {command: c, priority: 9, agents: {size: big}}]`)
		reg := w.call("POST", "register", simulator.DefaultAgentToken, `{"name":"a","meta_data":["size=small"]}`, 200)
		session := reg["access_token"].(string)
		w.call("POST", "connect", session, "", 200)
		if err := w.sim.SetQueuePaused("default", true); err != nil {
			t.Fatal(err)
		}
		if ping := w.call("GET", "ping", session, "", 200); ping["job"] != nil {
			t.Errorf("ping = %v on a paused queue", ping)
		}
		if err := w.sim.SetQueuePaused("default", false); err != nil {
			t.Fatal(err)
		}
		for range 2 { // asked again it is the same
			ping := w.call("GET", "ping", session, "", 200)
			if job, _ := ping["job"].(map[string]any); job["id"] != ids[1] {
				t.Errorf("ping = %v, want job %s", ping, ids[1])
			}
		}
		w.call("PUT", "jobs/"+ids[0]+"/accept", session, "", 422)
		time.Sleep(80 * time.Second)
		synctest.Wait()
		if got := w.state(ids[1]); got != simulator.StateScheduled {
			t.Errorf("the job of an agent that vanished is %s, want scheduled", got)
		}
		for _, v := range w.sim.CheckSettled() {
			t.Errorf("violation: %s", v)
		}
	})
}
