package launcher

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/signals"
)

const job = "018f0000-0000-7000-8000-00000000000a" // contract.SampleJobID, untyped

// buildkite grants the job, and takes all that it is told. Its heartbeats are
// refused, unless alive is set.
type buildkite struct {
	mu    sync.Mutex
	calls []string
	name  string // that was registered
	alive atomic.Bool
	state string // of the job
}

func (b *buildkite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	call := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	b.calls = append(b.calls, call)
	switch call {
	case "register":
		var body struct{ Name string }
		json.NewDecoder(r.Body).Decode(&body)
		b.name = body.Name
		io.WriteString(w, `{"id":"agent-1","access_token":"session","heartbeat_interval":1,"job_status_interval":1}`)
	case "acquire":
		fmt.Fprintf(w, `{"id":%q,"env":{}}`, job)
	case "heartbeat":
		if !b.alive.Load() {
			w.Header().Set("Content-Type", "application/json") // else it isn't Buildkite's word
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"message":"no such agent"}`)
		}
	case job:
		fmt.Fprintf(w, `{"state":%q}`, b.state)
	default:
		io.WriteString(w, `{}`)
	}
}

func (b *buildkite) had(call string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.calls {
		if c == call {
			return true
		}
	}
	return false
}

// attempt runs an attempt whose onejob-run is a shell script, in a folder that
// has its hooks.
func attempt(t *testing.T, dir, script string) (*buildkite, *signals.Watcher, <-chan contract.Message) {
	t.Helper()
	budget, err := NewBudget(0, 10, -1, false)
	if err != nil {
		t.Fatal(err)
	}
	b := new(buildkite)
	w, done := b.attempt(t, dir, script, budget)
	return b, w, done
}

func (b *buildkite) attempt(t *testing.T, dir, script string, budget Budget, with ...func(*Config)) (*signals.Watcher, <-chan contract.Message) {
	t.Helper()
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	write(t, dir, "runner", script)
	w := signals.Watch(t.Context())
	t.Cleanup(w.Close)
	done := make(chan contract.Message, 1)
	conf := Config{
		JobID: job, Token: "cluster", Budget: budget, Runner: filepath.Join(dir, "runner"),
		Options: Options{Endpoint: server.URL + "/v3", Name: "a-%spawn", HooksPath: dir},
		Acquire: acquire.DefaultAcquire, Register: acquire.DefaultRegister, Environ: append(os.Environ(), "DIR="+dir),
		Transport: acquire.NewTransport(false), Rand: acquire.NewRand(1), Log: slog.New(slog.DiscardHandler),
	}
	for _, set := range with {
		set(&conf)
	}
	go func() { done <- Run(w, conf) }()
	return w, done
}

// write makes a script. A child of a test beside that is made meanwhile would
// have it open for writing for a moment, in which it can't be executed.
func write(t *testing.T, dir, name, script string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, path string) string {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 && b[len(b)-1] == '\n' {
			return string(b)
		}
	}
	t.Fatalf("waited in vain for %s", filepath.Base(path))
	return ""
}

func result(t *testing.T, done <-chan contract.Message) contract.Message {
	t.Helper()
	select {
	case m := <-done:
		return m
	case <-time.After(30 * time.Second):
		t.Fatal("Run doesn't end")
		return contract.Message{}
	}
}

// A signal that comes after the session was lost still sets the report's time.
func TestSignalAfterTheSessionWasLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, w, done := attempt(t, dir, `
		read handover
		echo '{"Start":{"Sent":true,"Delivered":true}}' >&3
		read control; echo "$control" >$DIR/lost
		read control; echo "$control" >$DIR/signalled
		echo '{"Ran":true,"Finish":{"Sent":true,"Delivered":true},"ExitStatus":"-1","Final":true}' >&3`)
	var c Control
	if err := json.Unmarshal([]byte(await(t, filepath.Join(dir, "lost"))), &c); err != nil || !c.ReportBy.IsZero() {
		t.Errorf("control %+v, %v; want one without a time", c, err)
	}
	w.Deliver(syscall.SIGTERM)
	if err := json.Unmarshal([]byte(await(t, filepath.Join(dir, "signalled"))), &c); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(c.ReportBy); left <= 0 || left > 10*time.Second {
		t.Errorf("there are %v to report, want up to the 10s of the budget", left)
	}
	if m := result(t, done); m.Outcome != contract.OutcomeFinished || m.Received != "SIGTERM" {
		t.Errorf("message %+v", m)
	}
}

// A job that drains is cancelled when the session is lost, not only at the end
// of the drain.
func TestSessionIsLostWhileDraining(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	budget, err := NewBudget(time.Hour, 10, -1, true)
	if err != nil {
		t.Fatal(err)
	}
	b := new(buildkite)
	b.alive.Store(true)
	w, done := b.attempt(t, dir, `
		read handover
		echo '{"Start":{"Sent":true,"Delivered":true}}' >&3
		echo >$DIR/begun
		read control; echo "$control" >$DIR/lost
		echo '{"Ran":true,"Finish":{"Sent":true,"Delivered":true},"ExitStatus":"-1","Final":true}' >&3`, budget)
	await(t, filepath.Join(dir, "begun"))
	w.Deliver(syscall.SIGTERM)
	b.alive.Store(false)
	var c Control
	if err := json.Unmarshal([]byte(await(t, filepath.Join(dir, "lost"))), &c); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(c.Why, "heartbeat") || c.Force || time.Until(c.ReportBy) < 50*time.Minute {
		t.Errorf("control %+v; want one for the heartbeat, with the hour's time", c)
	}
	m := result(t, done)
	if m.Outcome != contract.OutcomeFinished || m.Received != "SIGTERM" {
		t.Errorf("message %+v", m)
	}
	if !m.SessionLost || !strings.Contains(m.Reason, "the session was lost") || !strings.Contains(m.Reason, "no such agent") {
		t.Errorf("message %+v; want it to say that the session was lost, and why", m)
	}
}

// What was delivered is delivered, whatever becomes of the child afterwards.
func TestChildDiesAfterFinish(t *testing.T) {
	t.Parallel()
	b, _, done := attempt(t, t.TempDir(), `
		read handover
		echo '{"Start":{"Sent":true,"Delivered":true}}' >&3
		echo '{"Ran":true,"Finish":{"Sent":true,"Delivered":true},"ExitStatus":"3"}' >&3
		kill -9 $$`)
	m := result(t, done)
	if m.ExitCode != contract.ExitOK || m.ExitStatus == nil || *m.ExitStatus != 3 {
		t.Errorf("message %+v, want the job's end with status 3", m)
	}
	if b.had("finish") || b.had(job) {
		t.Errorf("calls %v: there was nothing to finish or to ask", b.calls)
	}
}

// The job had ended when the child died over its report: that is reported in its
// place, and nothing else is said of the job.
func TestChildDiesOverFinish(t *testing.T) {
	t.Parallel()
	b, _, done := attempt(t, t.TempDir(), `
		read handover
		echo '{"Start":{"Sent":true,"Delivered":true},"Ran":true,"Finish":{"Sent":true},"ExitStatus":"3"}' >&3
		kill -9 $$`)
	m := result(t, done)
	if m.ExitCode != contract.ExitOK || m.Outcome != contract.OutcomeFinished || m.ExitStatus == nil || *m.ExitStatus != 3 {
		t.Errorf("message %+v, want the job's end with status 3", m)
	}
	if !b.had("finish") || b.had("chunks") {
		t.Errorf("calls %v, want finish and nothing in the log", b.calls)
	}
}

// JobRunner reports the end of a job whose process couldn't be started, or that
// was stopped before it was. Neither ran.
func TestNothingRan(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]contract.Outcome{
		"process_run_error": contract.OutcomeRunnerError, "agent_stop": contract.OutcomeStoppedAcquired, "agent_refused": contract.OutcomeDeclined,
	} {
		_, _, done := attempt(t, t.TempDir(), `
			read handover
			echo '{"Start":{"Sent":true,"Delivered":true},"Finish":{"Sent":true,"Delivered":true},"ExitStatus":"-1","SignalReason":"`+reason+`","Final":true}' >&3`)
		if m := result(t, done); m.ExitCode != contract.ExitNotRun || m.Outcome != want {
			t.Errorf("%s: message %+v, want %s and 70", reason, m, want)
		}
	}
}

// A child that hangs is killed in time for its job's end to be reported, with
// the true reason.
func TestChildHangs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	budget, err := NewBudget(6*time.Second, 2, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	b := new(buildkite)
	w, done := b.attempt(t, dir, `
		read handover
		echo '{"Start":{"Sent":true,"Delivered":true},"Ran":true,"StartedAt":"2026-01-01T00:00:00Z"}' >&3
		echo >$DIR/begun
		exec sleep 600`, budget)
	await(t, filepath.Join(dir, "begun"))
	w.Deliver(syscall.SIGTERM)
	m := result(t, done)
	if m.ExitCode != contract.ExitNotRun || m.Outcome != contract.OutcomeRunnerError || m.SignalReason != "agent_stop" {
		t.Errorf("message %+v", m)
	}
	if !strings.Contains(m.Reason, "was killed because it did not end in time") || strings.Contains(m.Reason, "memory") {
		t.Errorf("the reason is %q", m.Reason)
	}
}

// A result that couldn't be reported is in the message, so that the scheduler
// can.
func TestResultIsUndelivered(t *testing.T) {
	t.Parallel()
	_, _, done := attempt(t, t.TempDir(), `
		read handover
		echo '{"Start":{"Sent":true,"Delivered":true},"Ran":true,"Finish":{"Sent":true,"Err":"no answer"},"ExitStatus":"0","Final":true}' >&3`)
	m := result(t, done)
	if m.ExitCode != contract.ExitNotRun || m.Outcome != contract.OutcomeUndelivered || m.ExitStatus == nil || *m.ExitStatus != 0 {
		t.Errorf("message %+v, want 70 with the job's status 0", m)
	}
}

// Nothing was acquired: that is no matter of the configuration (78), but a
// stop (143).
func TestSignalDuringTheStartupHook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "agent-startup", "echo begun >$DIR/begun\nexec sleep 60")
	write(t, dir, "agent-shutdown", "echo ended >$DIR/ended")
	b, w, done := attempt(t, dir, "exit 1")
	await(t, filepath.Join(dir, "begun"))
	begin := time.Now()
	w.Deliver(syscall.SIGTERM)
	m := result(t, done)
	if m.Outcome != contract.OutcomeStopped || m.ExitCode != contract.ExitTerminated {
		t.Errorf("message %+v, want that it was stopped", m)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	await(t, filepath.Join(dir, "ended"))
	if b.had("connect") || !b.had("disconnect") {
		t.Errorf("calls %v", b.calls)
	}
	if b.name != "a-1" {
		t.Errorf("registered as %q, want a-1", b.name)
	}
}

// A shutdown hook that hangs doesn't keep Buildkite waiting.
func TestShutdownHookComesLast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "agent-shutdown", "echo begun >$DIR/begun\nread line <$DIR/go")
	if err := syscall.Mkfifo(filepath.Join(dir, "go"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, _, done := attempt(t, dir, `
		read handover
		echo '{"Start":{"Sent":true,"Delivered":true},"Ran":true,"Finish":{"Sent":true,"Delivered":true},"ExitStatus":"0","Final":true}' >&3`)
	await(t, filepath.Join(dir, "begun"))
	if !b.had("disconnect") {
		t.Error("the hook runs before the disconnect")
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	if m := result(t, done); m.ExitCode != contract.ExitOK {
		t.Errorf("message %+v", m)
	}
}

// What the container used is in the message of a job that ran, and in no other.
func TestUseOfAJobThatRan(t *testing.T) {
	t.Parallel()
	for _, ran := range []bool{true, false} {
		dir := t.TempDir()
		budget, err := NewBudget(0, 10, -1, false)
		if err != nil {
			t.Fatal(err)
		}
		if !ran {
			write(t, dir, "agent-startup", "exit 1")
		}
		_, done := new(buildkite).attempt(t, dir, `
			read handover
			echo '{"Start":{"Sent":true,"Delivered":true},"Ran":true,"Finish":{"Sent":true,"Delivered":true},"ExitStatus":"0","Final":true}' >&3`, budget,
			func(c *Config) { c.Use = func() *contract.Use { return &contract.Use{MemoryPeak: 5} } })
		if m := result(t, done); (m.Use != nil) != ran || (m.Outcome == contract.OutcomeFinished) != ran {
			t.Errorf("ran %v: %s, use %+v", ran, m.Outcome, m.Use)
		}
	}
}
