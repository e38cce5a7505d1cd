package simulator_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/simulator"
)

const twoSteps = `
env: {COLOUR: red}
steps:
  - command: ["echo one", "echo two"]
    key: first
    label: ":one: first"
    env: {SIZE: big}
    artifact_paths: ["a/*", "b"]
    timeout_in_minutes: 5
    image: node:22
    plugins: [{docker#v1: {image: alpine}}]
  - wait
  - command: echo three
`

// lock is the header that asks for 423 if the job waits.
var lock = api.Header{Name: "X-Buildkite-Lock-Acquire-Job", Value: "1"}

func TestJobFromAcquireToFinish(t *testing.T) {
	l := newLab(t, simulator.Config{})
	build, ids := l.build(twoSteps)
	l.wantState(ids[0], simulator.StateScheduled)
	l.wantState(ids[1], simulator.StateWaiting)

	session := l.session("queue=default", "k8s:node=n1")
	_, resp, err := session.AcquireJob(t.Context(), ids[1], lock)
	if got := status(t, resp, err); got != http.StatusLocked {
		t.Errorf("acquiring a job that waits: %d, want 423", got)
	}
	job, client := l.acquire(session, ids[0])
	for name, want := range map[string]string{
		"BUILDKITE_JOB_ID":                   ids[0],
		"BUILDKITE_BUILD_ID":                 build.ID,
		"BUILDKITE_COMMAND":                  "echo one\necho two",
		"BUILDKITE_LABEL":                    ":one: first",
		"BUILDKITE_STEP_KEY":                 "first",
		"BUILDKITE_ARTIFACT_PATHS":           "a/*;b",
		"BUILDKITE_TIMEOUT":                  "5",
		"BUILDKITE_IMAGE":                    "node:22",
		"BUILDKITE_RETRY_COUNT":              "0",
		"BUILDKITE_PLUGINS":                  `[{"github.com/buildkite-plugins/docker-buildkite-plugin#v1":{"image":"alpine"}}]`,
		"BUILDKITE_AGENT_NAME":               "agent-1",
		"BUILDKITE_AGENT_META_DATA_QUEUE":    "default",
		"BUILDKITE_AGENT_META_DATA_K8S_NODE": "n1",
		"BUILDKITE_PIPELINE_PROVIDER":        "git",
		"COLOUR":                             "red",
		"SIZE":                               "big",
		"CI":                                 "true",
	} {
		if got := job.Env[name]; got != want {
			t.Errorf("env %s = %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"BUILDKITE_REPO", "BUILDKITE_COMMIT", "BUILDKITE_BRANCH", "BUILDKITE_ORGANIZATION_SLUG", "BUILDKITE_PIPELINE_SLUG"} {
		if job.Env[name] == "" {
			t.Errorf("env %s is empty: bootstrap would refuse", name)
		}
	}
	if job.Step.Command != "echo one\necho two" || job.ChunksMaxSizeBytes == 0 || job.Token == "" {
		t.Errorf("job = %+v", job)
	}

	job.StartedAt = now()
	if _, err := client.StartJob(t.Context(), job); err != nil {
		t.Fatalf("StartJob: %v", err)
	}
	l.wantState(ids[0], simulator.StateRunning)
	state, _, err := client.GetJobState(t.Context(), ids[0])
	if err != nil || state.State != "running" {
		t.Errorf("GetJobState = %+v, %v; want running", state, err)
	}
	text := "hello\nworld\n"
	for _, c := range []*api.Chunk{
		{Sequence: 2, Offset: 6, Size: 6, Data: []byte(text[6:])},
		{Sequence: 1, Offset: 0, Size: 6, Data: []byte(text[:6])},
	} {
		if _, err := client.UploadChunk(t.Context(), ids[0], c); err != nil {
			t.Fatalf("UploadChunk: %v", err)
		}
	}
	job.ExitStatus, job.FinishedAt = "0", now()
	if _, err := client.FinishJob(t.Context(), job, nil); err != nil {
		t.Fatalf("FinishJob: %v", err)
	}
	l.wantState(ids[0], simulator.StateFinished)
	l.wantState(ids[1], simulator.StateScheduled)
	if log, _ := l.Log(ids[0]); string(log) != text {
		t.Errorf("log = %q, want %q", log, text)
	}
	_, resp, err = client.GetJobState(t.Context(), ids[0])
	if got := status(t, resp, err); got != http.StatusUnauthorized {
		t.Errorf("job token after finish: %d, want 401", got)
	}
	state, _, err = session.GetJobState(t.Context(), ids[0])
	if err != nil || state.State != "finished" {
		t.Errorf("GetJobState of the session = %+v, %v; want finished", state, err)
	}
	l.run(ids[1], "0")
	if b, _ := l.Build(1); b.State != simulator.BuildPassed {
		t.Errorf("build is %s, want passed", b.State)
	}
	l.wantNoViolations()
}

func TestAcquireAnswers(t *testing.T) {
	l := newLab(t, simulator.Config{LockedRetryAfter: "30"})
	_, ids := l.build(`steps: [{command: a}, {command: b}, {command: c}, wait, {command: d}]`)
	holder := l.session()
	l.acquire(holder, ids[0])
	if err := l.CancelJob(ids[1]); err != nil {
		t.Fatal(err)
	}
	other := l.session()
	tests := []struct {
		name   string
		client *api.Client
		id     string
		want   int
	}{
		{"taken", other, ids[0], 422},
		{"again by the holder", holder, ids[0], 422},
		{"one job at a time", holder, ids[2], 422},
		{"canceled", other, ids[1], 422},
		{"waiting", other, ids[3], 423},
		{"unknown", other, "018f0000-0000-7000-8000-000000000001", 404},
		{"registration token", l.client(simulator.DefaultAgentToken), ids[2], 401},
		{"no such token", l.client("nonsense"), ids[2], 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, resp, err := tt.client.AcquireJob(t.Context(), tt.id, lock)
			if got := status(t, resp, err); got != tt.want {
				t.Errorf("acquire = %d, want %d", got, tt.want)
			}
			if tt.want == 423 && resp.Header.Get("Retry-After") != "30" {
				t.Errorf("Retry-After = %q, want 30", resp.Header.Get("Retry-After"))
			}
		})
	}
	if len(l.Violations()) != 0 {
		t.Errorf("refused calls are no violations: %v", l.Violations())
	}
}

func TestTokensOfTheWrongKind(t *testing.T) {
	l := newLab(t, simulator.Config{})
	_, ids := l.build(`steps: [{command: a}, {command: b}]`)
	session := l.session()
	job, client := l.acquire(session, ids[0])
	_, otherJob := l.acquire(l.session(), ids[1])
	registration := l.client(simulator.DefaultAgentToken)

	start := func(c *api.Client) (*api.Response, error) { return c.StartJob(t.Context(), job) }
	ping := func(c *api.Client) (*api.Response, error) { _, resp, err := c.Ping(t.Context()); return resp, err }
	state := func(c *api.Client) (*api.Response, error) {
		_, resp, err := c.GetJobState(t.Context(), ids[0])
		return resp, err
	}
	register := func(c *api.Client) (*api.Response, error) {
		_, resp, err := c.Register(t.Context(), &api.AgentRegisterRequest{})
		return resp, err
	}
	tests := []struct {
		name   string
		call   func(*api.Client) (*api.Response, error)
		client *api.Client
		want   int
	}{
		{"start with session", start, session, 401},
		{"start with registration", start, registration, 401},
		{"start with another job's", start, otherJob, 401},
		{"start with the job's", start, client, 200},
		{"ping with job's", ping, client, 401},
		{"ping with registration", ping, registration, 401},
		{"ping with session", ping, session, 200},
		{"state with session", state, session, 200},
		{"state with a session without the job", state, l.session(), 403},
		{"state with registration", state, registration, 401},
		{"register with session", register, session, 401},
		{"register with job's", register, client, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := tt.call(tt.client)
			if got := status(t, resp, err); got != tt.want {
				t.Errorf("status = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestWithoutJobTokens(t *testing.T) {
	l := newLab(t, simulator.Config{JobToken: new(false)})
	_, ids := l.build(`steps: [{command: a}]`)
	job, client := l.start(ids[0])
	if job.Token != "" {
		t.Errorf("token = %q, want none", job.Token)
	}
	job.ExitStatus = "3"
	if _, err := client.FinishJob(t.Context(), job, nil); err != nil {
		t.Fatalf("FinishJob: %v", err)
	}
	resp, err := client.FinishJob(t.Context(), job, nil)
	if got := status(t, resp, err); got != http.StatusUnprocessableEntity {
		t.Errorf("second finish: %d, want 422", got)
	}
	if all, _ := l.Repeats(); all != 1 {
		t.Errorf("repeats = %d, want 1", all)
	}
	l.wantNoViolations()
}

func TestLostReplies(t *testing.T) {
	l := newLab(t, simulator.Config{})
	_, ids := l.build(`steps: [{command: a}]`)
	session := l.session()

	l.AddFault(simulator.Fault{Endpoint: "acquire", Reset: "after", Times: 1})
	if _, _, err := session.AcquireJob(t.Context(), ids[0]); err == nil {
		t.Fatal("acquire got a reply that was withheld")
	}
	l.wantState(ids[0], simulator.StateAccepted)
	_, resp, err := session.AcquireJob(t.Context(), ids[0])
	if got := status(t, resp, err); got != http.StatusUnprocessableEntity {
		t.Errorf("acquire again: %d, want 422", got)
	}
	if all, provoked := l.Repeats(); all != 1 || provoked != 1 {
		t.Errorf("repeats = %d, %d provoked; want 1, 1", all, provoked)
	}
	if v := l.Violations(); len(v) != 0 {
		t.Errorf("violations = %v, want none", v)
	}
	if _, err := session.Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if j := l.job(ids[0]); j.State != simulator.StateFinished || j.ExitStatus != "-1" {
		t.Errorf("job = %s, %s; want it lost with its agent", j.State, j.ExitStatus)
	}
	l.wantNoViolations()
}

func TestIdempotentAcquire(t *testing.T) {
	l := newLab(t, simulator.Config{Profile: simulator.Profile{AcquireAgain: assumptions.AcquireAgainGranted}})
	_, ids := l.build(`steps: [{command: a}]`)
	session := l.session()
	l.AddFault(simulator.Fault{Endpoint: "acquire", Garbage: "after", Times: 1})
	if _, _, err := session.AcquireJob(t.Context(), ids[0]); err == nil {
		t.Fatal("garbage was taken for a job")
	}
	job, _, err := session.AcquireJob(t.Context(), ids[0])
	if err != nil || job.Token == "" {
		t.Errorf("acquire again = %v, %v; want the job", job, err)
	}
}

func TestLostFinishReply(t *testing.T) {
	l := newLab(t, simulator.Config{})
	_, ids := l.build(`steps: [{command: a}]`)
	job, client := l.start(ids[0])
	job.ExitStatus = "0"
	l.AddFault(simulator.Fault{Endpoint: "finish", Reset: "after", Times: 1})
	if _, err := client.FinishJob(t.Context(), job, nil); err == nil {
		t.Fatal("finish got a reply that was withheld")
	}
	resp, err := client.FinishJob(t.Context(), job, nil)
	if got := status(t, resp, err); got != http.StatusUnauthorized {
		t.Errorf("finish again: %d, want 401", got)
	}
	if all, provoked := l.Repeats(); all != 1 || provoked != 1 {
		t.Errorf("repeats = %d, %d provoked; want 1, 1", all, provoked)
	}
	l.wantNoViolations()

	job.ExitStatus = "1"
	_, _ = client.FinishJob(t.Context(), job, nil)
	l.wantViolation(simulator.ResultChanged)
}

func TestStartRepeats(t *testing.T) {
	for again, want := range map[assumptions.StartAgain]int{assumptions.StartAgainTaken: 200, assumptions.StartAgainRefused: 422} {
		t.Run(string(again), func(t *testing.T) {
			l := newLab(t, simulator.Config{Profile: simulator.Profile{StartAgain: again}})
			_, ids := l.build(`steps: [{command: a}]`)
			job, client := l.start(ids[0])
			resp, err := client.StartJob(t.Context(), job)
			if got := status(t, resp, err); got != want {
				t.Errorf("the same start again: %d, want %d", got, want)
			}
			job.StartedAt = strings.Replace(job.StartedAt, "20", "19", 1)
			resp, err = client.StartJob(t.Context(), job)
			if got := status(t, resp, err); got != 422 {
				t.Errorf("another start: %d, want 422", got)
			}
		})
	}
}

func TestFinishWithoutStart(t *testing.T) {
	tests := []struct {
		name      string
		job       api.Job
		violation bool
	}{
		{"refused", api.Job{ExitStatus: "-1", SignalReason: "agent_refused"}, false},
		{"stopped", api.Job{ExitStatus: "-1"}, false},
		{"as if it had run", api.Job{ExitStatus: "0"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, simulator.Config{})
			_, ids := l.build(`steps: [{command: a}]`)
			_, client := l.acquire(l.session(), ids[0])
			tt.job.ID = ids[0]
			if _, err := client.FinishJob(t.Context(), &tt.job, nil); err != nil {
				t.Fatalf("FinishJob: %v", err)
			}
			if got := len(l.Violations()) > 0; got != tt.violation {
				t.Errorf("violations = %v, want any: %v", l.Violations(), tt.violation)
			}
		})
	}
}
