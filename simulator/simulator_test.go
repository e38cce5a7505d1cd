package simulator_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/buildkite/agent/v3/api"
	"github.com/buildkite/agent/v3/logger"
	"github.com/buildkite/roko"
	"github.com/buildkite/stacksapi"
	"go.uber.org/goleak"

	"github.com/onejob-dev/onejob/simulator"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The agent's client keeps idle connections for a while after its test.
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		// A condition with a regular expression starts a clock, which runs for two seconds.
		goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock"),
	)
}

// lab is a simulator behind a real server.
type lab struct {
	*testing.T
	*simulator.Simulator
	url string
}

func newLab(t *testing.T, conf simulator.Config) *lab {
	t.Helper()
	sim := simulator.New(conf)
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		sim.Close()
		server.CloseClientConnections()
		server.Close()
	})
	return &lab{t, sim, server.URL}
}

// build creates a build from a pipeline.yml and returns its job IDs.
func (l *lab) build(pipeline string) (simulator.Build, []string) {
	l.Helper()
	b, err := l.CreateBuild(simulator.BuildRequest{Pipeline: []byte(pipeline)})
	if err != nil {
		l.Fatalf("CreateBuild: %v", err)
	}
	return b, b.JobIDs
}

func (l *lab) job(id string) simulator.Job {
	l.Helper()
	j, found := l.Job(id)
	if !found {
		l.Fatalf("job %s is gone", id)
	}
	return j
}

func (l *lab) wantState(id string, want simulator.JobState) {
	l.Helper()
	if got := l.job(id).State; got != want {
		l.Errorf("job %s is %s, want %s", id, got, want)
	}
}

func (l *lab) wantNoViolations() {
	l.Helper()
	for _, v := range l.CheckSettled() {
		l.Errorf("violation: %s", v)
	}
}

func (l *lab) wantViolation(kind string) {
	l.Helper()
	var kinds []string
	for _, v := range l.Violations() {
		if v.Kind == kind {
			return
		}
		kinds = append(kinds, v.Kind)
	}
	l.Errorf("violations are %v, want one of kind %s", kinds, kind)
}

func (l *lab) client(token string) *api.Client {
	return api.NewClient(logger.Discard, api.Config{Endpoint: l.url + "/v3", Token: token})
}

// session registers and connects an agent.
func (l *lab) session(tags ...string) *api.Client {
	l.Helper()
	return l.connect(true, tags...)
}

func (l *lab) connect(acquiring bool, tags ...string) *api.Client {
	l.Helper()
	client := l.client(simulator.DefaultAgentToken)
	reg, _, err := client.Register(l.Context(), &api.AgentRegisterRequest{Name: "agent-1", Hostname: "host", Tags: tags, IgnoreInDispatches: acquiring})
	if err != nil {
		l.Fatalf("Register: %v", err)
	}
	client = client.FromAgentRegisterResponse(reg)
	if _, err := client.Connect(l.Context()); err != nil {
		l.Fatalf("Connect: %v", err)
	}
	return client
}

// acquire takes a job and returns it with a client that has its token.
func (l *lab) acquire(session *api.Client, id string) (*api.Job, *api.Client) {
	l.Helper()
	job, _, err := session.AcquireJob(l.Context(), id)
	if err != nil {
		l.Fatalf("AcquireJob: %v", err)
	}
	conf := session.Config()
	if job.Token != "" {
		conf.Token = job.Token
	}
	return job, session.New(conf)
}

// start takes a job and starts it.
func (l *lab) start(id string) (*api.Job, *api.Client) {
	l.Helper()
	job, client := l.acquire(l.session(), id)
	job.StartedAt = now()
	if _, err := client.StartJob(l.Context(), job); err != nil {
		l.Fatalf("StartJob: %v", err)
	}
	return job, client
}

// run takes a job to its end.
func (l *lab) run(id, exitStatus string) {
	l.Helper()
	job, client := l.start(id)
	job.ExitStatus, job.FinishedAt = exitStatus, now()
	if _, err := client.FinishJob(l.Context(), job, nil); err != nil {
		l.Fatalf("FinishJob: %v", err)
	}
}

func now() string { return time.Now().UTC().Format(time.RFC3339Nano) }

func (l *lab) stacks(token string) *stacksapi.Client {
	l.Helper()
	base, err := url.Parse(l.url + "/v3/")
	if err != nil {
		l.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	client, err := stacksapi.NewClient(token, stacksapi.WithBaseURL(base),
		stacksapi.WithHTTPClient(&http.Client{Transport: transport}),
		stacksapi.WithRetrierOptions(roko.WithMaxAttempts(1), roko.WithStrategy(roko.Constant(0))))
	if err != nil {
		l.Fatal(err)
	}
	return client
}

// status is the HTTP status of an api.Client's answer.
func status(t *testing.T, resp *api.Response, err error) int {
	t.Helper()
	if resp == nil {
		t.Fatalf("no response: %v", err)
	}
	return resp.StatusCode
}

// stackStatus is the HTTP status of a stacksapi error, 200 for none.
func stackStatus(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return http.StatusOK
	}
	var failed *stacksapi.ErrorResponse
	if !errors.As(err, &failed) {
		t.Fatalf("not a status: %v", err)
	}
	return failed.Response.StatusCode
}

func TestWaitWakesOnChange(t *testing.T) {
	l := newLab(t, simulator.Config{})
	_, ids := l.build(`steps: [{command: "true"}]`)
	done := make(chan error, 1)
	go func() {
		done <- l.Wait(t.Context(), func() bool { return l.job(ids[0]).State == simulator.StateFinished })
	}()
	l.run(ids[0], "0")
	if err := <-done; err != nil {
		t.Errorf("Wait: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if err := l.Wait(ctx, func() bool { return false }); !errors.Is(err, why) {
		t.Errorf("Wait = %v, want %v", err, why)
	}
}
