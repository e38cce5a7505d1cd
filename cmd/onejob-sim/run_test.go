package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/gobuild"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// call speaks to a simulator and decodes the reply into reply.
func call(t *testing.T, method, url, token, body string, reply any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+token)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s = %d %s, %v", method, url, resp.StatusCode, raw, err)
	}
	if err := json.Unmarshal(raw, reply); err != nil {
		t.Fatal(err)
	}
}

// awaitBase waits for the ready file.
func awaitBase(t *testing.T, path string) string {
	t.Helper()
	for range 1000 {
		if raw, err := os.ReadFile(path); err == nil {
			return strings.TrimSpace(string(raw))
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the ready file doesn't come")
	return ""
}

func TestRun(t *testing.T) {
	pipeline := "steps: [{command: a}, {command: b}]"
	tests := []struct {
		name   string
		finish string // of the first job, without a start
		want   error
	}{
		{"clean", `{"exit_status":"-1","signal_reason":"agent_stop"}`, nil},
		{"violation", `{"exit_status":"0"}`, errViolations},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ready := filepath.Join(t.TempDir(), "ready")
			o := options{listen: "127.0.0.1:0", readyFile: ready, tokenFile: write(t, "token", "bkct_file\n"),
				pipelines: []string{write(t, "pipeline.yml", pipeline)}, slug: "demo", interval: 2}
			var out strings.Builder
			done := make(chan error, 1)
			go func() { done <- run(ctx, o, &out) }()

			base := awaitBase(t, ready)
			var jobs []simulator.Job
			call(t, "GET", base+"/_sim/jobs", "", "", &jobs)
			if len(jobs) != 2 {
				t.Fatalf("%d jobs, want 2", len(jobs))
			}
			var agent struct {
				AccessToken  string `json:"access_token"`
				PingInterval int    `json:"ping_interval"`
			}
			call(t, "POST", base+"/v3/register", "bkct_file", "{}", &agent)
			if agent.PingInterval != 2 {
				t.Errorf("ping interval = %d, want 2", agent.PingInterval)
			}
			var job struct{ Token string }
			call(t, "PUT", base+"/v3/jobs/"+jobs[0].ID+"/acquire", agent.AccessToken, "", &job)
			call(t, "PUT", base+"/v3/jobs/"+jobs[0].ID+"/finish", job.Token, tt.finish, &struct{}{})

			cancel()
			if err := <-done; !errors.Is(err, tt.want) {
				t.Errorf("run = %v, want %v", err, tt.want)
			}
			for _, want := range []string{"build 1", "1 finished, 1 scheduled", "violations "} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the summary lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nothing")
	tests := []struct {
		name string
		o    options
		want string
	}{
		{"no token file", options{tokenFile: missing}, "reading the token"},
		{"empty token file", options{tokenFile: write(t, "t", " \n")}, "is empty"},
		{"no pipeline", options{pipelines: []string{missing}}, "reading the pipeline"},
		{"bad pipeline", options{pipelines: []string{write(t, "p", "steps: [{command: a, shell: sh}]")}}, "is not a valid property"},
		{"negative timeout", options{heartbeatTimeout: -time.Second}, "--heartbeat-timeout -1s"},
		{"negative reservation", options{reservation: -time.Second}, "--reservation -1s"},
		{"negative interval", options{interval: -3}, "--interval -3"},
		{"no profile", options{profile: missing}, "neither shipped nor opposite"},
		{"bad profile", options{profile: write(t, "p.yaml", "job-list: later")}, "is not one of current, late"},
		{"bad address", options{listen: "nowhere:-1"}, "listening"},
		{"bad ready file", options{listen: "127.0.0.1:0", readyFile: filepath.Join(missing, "x")}, "ready file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := run(t.Context(), tt.o, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("run = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestProcess runs the binary: environment, signal, exit status, help.
func TestProcess(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "onejob-sim")
	if err := gobuild.Program(t.Context(), "", bin, "."); err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(t.TempDir(), "ready")
	cmd := exec.Command(bin)
	cmd.Env = []string{"ONEJOB_SIM_LISTEN=127.0.0.1:0", "ONEJOB_SIM_READY_FILE=" + ready, "ONEJOB_SIM_TOKEN=bkct_env",
		"ONEJOB_SIM_PIPELINE=" + write(t, "p.yml", "steps: [{command: a}]")}
	var out strings.Builder
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	base := awaitBase(t, ready)
	var identity struct {
		TokenType string `json:"token_type"`
	}
	call(t, "GET", base+"/v3/token", "bkct_env", "", &identity)
	if identity.TokenType == "" {
		t.Error("no token identity")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "1 scheduled") {
		t.Errorf("no summary:\n%s", out.String())
	}

	help, err := exec.Command(bin, "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(help), "EXAMPLES") || !strings.Contains(string(help), "ONEJOB_SIM_HEARTBEAT_TIMEOUT") {
		t.Errorf("help: %v\n%s", err, help)
	}
	bad := exec.Command(bin, "stray")
	if _, err := bad.CombinedOutput(); err == nil || bad.ProcessState.ExitCode() != 2 {
		t.Errorf("a stray argument: %v, want exit 2", err)
	}
}

// What a pipeline asks of the command line: variables, secrets, a pipeline to
// trigger, changed files.
func TestPipelineOptions(t *testing.T) {
	t.Setenv("WORD", "hello")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready := filepath.Join(t.TempDir(), "ready")
	pipeline := `steps:
- {command: "echo $WORD ${BUILDKITE_BRANCH} $$HOME", if: build.tag == "v1"}
- {command: docs, if_changed: "docs/**"}
- {trigger: other}
- {trigger: nobody}
- {input: go}`
	o := options{listen: "127.0.0.1:0", readyFile: ready, token: "bkct_x", branch: "main", slug: "demo",
		pipelines:    []string{write(t, "pipeline.yml", pipeline)},
		downstream:   pairs{"other": write(t, "other.yml", "steps: [{command: downstream}]")},
		env:          pairs{"BUILDKITE_TAG": "v1"},
		secrets:      pairs{"A": "flag"},
		profile:      write(t, "profile.yaml", "heartbeat-interval: two-minutes\n"),
		secretsFile:  write(t, "secrets", "# a comment\nA=file\n\nB=one,two=three\n"),
		changedFiles: write(t, "changed", "app/main.go\n"),
	}
	var out strings.Builder
	done := make(chan error, 1)
	go func() { done <- run(ctx, o, &out) }()
	base := awaitBase(t, ready)
	var jobs []simulator.Job
	call(t, "GET", base+"/_sim/jobs", "", "", &jobs)
	var got []string
	for _, j := range jobs {
		got = append(got, j.Command+" "+string(j.State))
	}
	if want := "echo hello main $HOME scheduled|docs skipped|downstream scheduled"; strings.Join(got, "|") != want {
		t.Errorf("jobs are %s, want %s", strings.Join(got, "|"), want)
	}
	var builds []simulator.Build
	call(t, "GET", base+"/_sim/builds", "", "", &builds)
	for _, s := range builds[0].Steps {
		if s.Type == "input" {
			call(t, "POST", base+"/_sim/steps/"+s.ID+"/unblock", "", "", &struct{}{})
		}
	}
	var agent struct {
		AccessToken string `json:"access_token"`
		Heartbeat   int    `json:"heartbeat_interval"`
	}
	call(t, "POST", base+"/v3/register", "bkct_x", "{}", &agent)
	if agent.Heartbeat != 120 {
		t.Errorf("the heartbeat interval is %d, want the profile's 120", agent.Heartbeat)
	}
	var job struct{ Token string }
	call(t, "PUT", base+"/v3/jobs/"+jobs[0].ID+"/acquire", agent.AccessToken, "", &job)
	for key, want := range map[string]string{"A": "flag", "B": "one,two=three"} {
		var secret struct{ Value string }
		call(t, "GET", base+"/v3/jobs/"+jobs[0].ID+"/secrets?key="+key, job.Token, "", &secret)
		if secret.Value != want {
			t.Errorf("secret %s is %q, want %q", key, secret.Value, want)
		}
	}
	call(t, "PUT", base+"/v3/jobs/"+jobs[0].ID+"/finish", job.Token, `{"exit_status":"-1","signal_reason":"agent_stop"}`, &struct{}{})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), `level=WARN msg=pipeline build=1 pipeline=demo warning="trigger: the pipeline \"nobody\" wasn't given`) {
		t.Errorf("no warning of the pipeline that wasn't given:\n%s", out.String())
	}
}

func TestPairs(t *testing.T) {
	var p pairs
	for _, text := range []string{"A=b,c=d", "B="} {
		if err := p.Set(text); err != nil {
			t.Error(err)
		}
	}
	if p["A"] != "b,c=d" || len(p) != 2 || p.String() != "" {
		t.Errorf("pairs are %v (%q)", map[string]string(p), p.String())
	}
	for _, text := range []string{"A", "=b"} {
		if p.Set(text) == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
