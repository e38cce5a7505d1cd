package runner_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

// patience guards against hangs. The stock agent's longest case takes 330 s.
const patience = 7 * time.Minute

// open is how many labs there are.
var open atomic.Int64

// lab is a Buildkite of a test's own, and a directory for its processes.
type lab struct {
	*testing.T
	*simulator.Simulator
	url   string // without /v3
	token string
	dir   string
	// script is a bootstrap that only runs the command.
	script string
}

func newLab(t *testing.T, conf simulator.Config) *lab {
	t.Helper()
	return serve(t, conf, (*httptest.Server).Start)
}

// serve makes a lab whose server start starts.
func serve(t *testing.T, conf simulator.Config, start func(*httptest.Server)) *lab {
	t.Helper()
	if conf.AgentToken == "" {
		conf.AgentToken = simulator.DefaultAgentToken
	}
	open.Add(1)
	t.Cleanup(func() { open.Add(-1) })
	sim := simulator.New(conf)
	server := httptest.NewUnstartedServer(sim)
	start(server)
	t.Cleanup(func() {
		sim.Close()
		server.CloseClientConnections()
		server.Close()
	})
	// Not t.TempDir: jobs of other users must get in.
	dir, err := os.MkdirTemp("", "onejob-runner-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l := &lab{T: t, Simulator: sim, url: server.URL, token: conf.AgentToken, dir: dir}
	l.script = l.write("bootstrap", "#!/bin/sh\nexec /bin/sh -c \"$BUILDKITE_COMMAND\"\n", 0o755)
	return l
}

// write makes a file in the lab's directory and returns its path.
func (l *lab) write(name, text string, mode os.FileMode) string {
	l.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		l.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		l.Fatal(err)
	}
	return path
}

// build makes a build and returns its jobs' IDs.
func (l *lab) build(req simulator.BuildRequest, pipeline string) []string {
	l.Helper()
	req.Pipeline = []byte(pipeline)
	b, err := l.CreateBuild(req)
	if err != nil {
		l.Fatalf("CreateBuild: %v", err)
	}
	return b.JobIDs
}

// command makes a build of one command and returns its job's ID.
func (l *lab) command(command string) string {
	l.Helper()
	return l.build(simulator.BuildRequest{}, fmt.Sprintf("steps: [{command: %q}]", command))[0]
}

func (l *lab) job(id string) simulator.Job {
	l.Helper()
	j, found := l.Job(id)
	if !found {
		l.Fatalf("job %s is gone", id)
	}
	return j
}

func (l *lab) log(id string) string {
	log, _ := l.Log(id)
	return string(log)
}

// await waits until cond holds, which what says.
func (l *lab) await(what string, cond func() bool) {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !cond() {
		if ctx.Err() != nil {
			l.Fatalf("waited in vain for %s", what)
		}
		// Faults that hold a request change nothing that Wait would see.
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		l.Wait(short, cond)
		cancel()
	}
}

// awaitCall waits until an endpoint has answered n calls.
func (l *lab) awaitCall(endpoint string, n int) {
	l.Helper()
	l.await(fmt.Sprintf("call %d of %s", n, endpoint), func() bool { return l.Count(endpoint) >= n })
}

// wantSettled asserts that the ledger has no violation, and that the job, if
// it was acquired, has come to an end.
func (l *lab) wantSettled(ids ...string) {
	l.Helper()
	for _, v := range l.CheckSettled() {
		l.Errorf("violation: %s", v)
	}
	for _, id := range ids {
		if j := l.job(id); j.State.Held() {
			l.Errorf("job %s is %s: nobody will finish it", id, j.State)
		}
	}
}

// wantJob asserts how a job ended.
func (l *lab) wantJob(id, exitStatus, signal, reason string) {
	l.Helper()
	j := l.job(id)
	got := fmt.Sprintf("%s/%s/%s", j.ExitStatus, j.Signal, j.SignalReason)
	if want := fmt.Sprintf("%s/%s/%s", exitStatus, signal, reason); got != want || !j.State.Terminal() {
		l.Errorf("job is %s with %s, want it to have ended with %s; its log:\n%s", j.State, got, want, l.log(id))
	}
}

// calls returns the requests that the lab answered, in order, as
// "endpoint" or "endpoint:status", the same ones in a row as one with a count.
// What comes at intervals is left out while it goes well, and so is drop.
func (l *lab) calls(drop ...string) string {
	type entry struct {
		name string
		n    int
	}
	var list []entry
	for _, r := range l.Requests() {
		name := r.Endpoint
		switch {
		case slices.Contains(drop, r.Endpoint):
			continue
		case r.Status < 200 || r.Status > 299:
			name = fmt.Sprintf("%s:%d", r.Endpoint, r.Status)
		case slices.Contains([]string{"heartbeat", "job_state"}, r.Endpoint):
			continue
		}
		if n := len(list); n > 0 && list[n-1].name == name {
			list[n-1].n++
		} else {
			list = append(list, entry{name, 1})
		}
	}
	var words []string
	for _, e := range list {
		switch {
		case e.n > 1 && e.name != "chunks": // how often a log is flushed is a matter of time
			words = append(words, fmt.Sprintf("%s*%d", e.name, e.n))
		default:
			words = append(words, e.name)
		}
	}
	return strings.Join(words, " ")
}
