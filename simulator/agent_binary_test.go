package simulator_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/agentbin"
)

func needsStockAgent(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs the real agent: takes seconds, and minutes to build it once")
	}
}

// stockAgent runs the real buildkite-agent on one job and returns its exit code.
func stockAgent(l *lab, id string, args ...string) int {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), 2*time.Minute)
	defer cancel()
	dir := l.TempDir()
	cmd := exec.CommandContext(ctx, agentbin.Path(l.T), append([]string{
		"start", "--acquire-job", id, "--endpoint", l.url + "/v3", "--token", simulator.DefaultAgentToken,
		"--name", "stock", "--build-path", filepath.Join(dir, "builds"), "--hooks-path", filepath.Join(dir, "hooks"),
		"--plugins-path", filepath.Join(dir, "plugins"), "--sockets-path", filepath.Join(dir, "s"), "--reflect-exit-status",
	}, args...)...)
	cmd.Env = []string{"PATH=" + filepath.Dir(agentbin.Path(l.T)) + ":" + os.Getenv("PATH"), "HOME=" + dir, "BUILDKITE_AGENT_NO_COLOR=true"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if l.Failed() || err != nil {
		l.Logf("agent: %v\n%s", err, out.String())
	}
	if cmd.ProcessState == nil {
		l.Fatalf("running the agent: %v", err)
	}
	return cmd.ProcessState.ExitCode()
}

// repository makes a git repository with the given files and returns its path.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"add", "."},
		{"-c", "user.name=t", "-c", "user.email=t@t.example", "commit", "-q", "-m", "first"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

const helpers = `
set -eux
buildkite-agent annotate "some **text**" --context ctx.one --style info
buildkite-agent annotate " and more" --context ctx.one --append
buildkite-agent annotate "gone" --context ctx.two
buildkite-agent annotation remove --context ctx.two
buildkite-agent meta-data set colour red
buildkite-agent meta-data set-batch a=1 b=2
test "$(buildkite-agent meta-data get colour)" = red
test "$(buildkite-agent meta-data get missing --default none)" = none
buildkite-agent meta-data exists colour
buildkite-agent meta-data keys | grep -qx colour
echo one > one.txt
head -c 9000000 /dev/zero > big.bin
buildkite-agent artifact upload "one.txt;big.bin"
mkdir down
buildkite-agent artifact download "*.txt" down
cmp one.txt down/one.txt
buildkite-agent artifact download big.bin down
cmp big.bin down/big.bin
test "$(buildkite-agent artifact shasum one.txt)" = "$(sha1sum < one.txt | cut -d' ' -f1)"
buildkite-agent step update label " (updated)" --append
buildkite-agent step get label | grep -q "helpers (updated)"
buildkite-agent oidc request-token --audience there | grep -q '\.'
test "$(buildkite-agent secret get KEY)" = VALUE
buildkite-agent job update priority 7
echo 'steps: [{command: echo uploaded, key: uploaded}]' | buildkite-agent pipeline upload
mkdir deps; echo cached > deps/x
printf 'caches: [{name: deps, cache_key: [deps, {env: LOCK, fallback_limit: true}, {env: NEWER}], target_paths: [deps]}]' > cache.yml
cache() { BUILDKITE_AGENT_CACHE_STORE_URL="file://$PWD/store" LOCK=1 buildkite-agent cache "$@" --cache-config-file cache.yml; }
NEWER=1 cache restore; NEWER=1 cache save; rm -r deps
NEWER=2 cache restore; test "$(cat deps/x)" = cached
echo finished with helpers
`

func TestStockAgentRunsJobs(t *testing.T) {
	needsStockAgent(t)
	l := newLab(t, simulator.Config{Secrets: map[string]string{"KEY": "VALUE"}})
	repo := repository(t, map[string]string{"helpers.sh": helpers, "fail.sh": "echo no luck; exit 3\n"})
	build, err := l.CreateBuild(simulator.BuildRequest{Repo: repo, Pipeline: []byte(`
steps:
  - {command: sh helpers.sh, label: helpers, key: helpers, artifact_paths: "*.txt"}
  - wait
  - command: sh fail.sh
    retry: {automatic: {exit_status: 3, limit: 1}}
`)})
	if err != nil {
		t.Fatal(err)
	}
	if code := stockAgent(l, build.JobIDs[0]); code != 0 {
		log, _ := l.Log(build.JobIDs[0])
		t.Fatalf("agent exited with %d, want 0; the job's log:\n%s", code, log)
	}
	j := l.job(build.JobIDs[0])
	log, _ := l.Log(j.ID)
	if !j.Passed || !j.LogComplete || !strings.Contains(string(log), "finished with helpers") {
		t.Errorf("job = %+v, log:\n%s", j, log)
	}
	if j.Priority != 7 || j.Label != "helpers (updated)" {
		t.Errorf("priority %d, label %q; want 7, helpers (updated)", j.Priority, j.Label)
	}
	b, _ := l.Build(1)
	if len(b.Annotations) != 1 || b.Annotations[0].Body != "some **text** and more" {
		t.Errorf("annotations = %+v", b.Annotations)
	}
	if got := len(l.Artifacts(1)); got != 3 {
		t.Errorf("%d artifacts, want 3: two by command, one by path", got)
	}
	if got := len(b.JobIDs); got != 3 {
		t.Fatalf("%d jobs, want 3: one was uploaded", got)
	}
	uploaded, failing := b.JobIDs[1], b.JobIDs[2]
	l.wantState(uploaded, simulator.StateScheduled)
	l.wantState(failing, simulator.StateWaiting)
	if code := stockAgent(l, uploaded); code != 0 {
		t.Errorf("the uploaded job: agent exited with %d", code)
	}
	if code := stockAgent(l, failing); code != 3 {
		t.Errorf("the failing job: agent exited with %d, want 3", code)
	}
	retried := l.job(failing).RetriedBy
	if retried == "" {
		t.Fatal("the failing job was not retried")
	}
	if code := stockAgent(l, retried); code != 3 {
		t.Errorf("the retry: agent exited with %d, want 3", code)
	}
	if j := l.job(retried); j.RetriedBy != "" || j.RetriesCount != 1 {
		t.Errorf("the retry = %+v: want it to be the last", j)
	}
	if b, _ := l.Build(1); b.State != simulator.BuildFailed {
		t.Errorf("build is %s, want failed", b.State)
	}
	if code := stockAgent(l, retried); code != 27 {
		t.Errorf("acquiring a finished job: agent exited with %d, want 27", code)
	}
	l.wantNoViolations()
}

func TestStockAgentIsCanceled(t *testing.T) {
	needsStockAgent(t)
	l := newLab(t, simulator.Config{})
	repo := repository(t, map[string]string{"x": "x"})
	build, err := l.CreateBuild(simulator.BuildRequest{Repo: repo, Pipeline: []byte(`steps: [{command: sleep 60}, {command: sleep 60, timeout_in_minutes: 0.05}]`)})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		id   string
		act  func(id string) error
		want simulator.JobState
	}{
		{"canceled", build.JobIDs[0], l.CancelJob, simulator.StateCanceled},
		{"timed out", build.JobIDs[1], func(string) error { return nil }, simulator.StateTimedOut},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			acted := make(chan error, 1)
			go func() {
				err := l.Wait(t.Context(), func() bool { j, _ := l.Job(tt.id); return j.LogBytes > 0 })
				if err == nil {
					err = tt.act(tt.id)
				}
				acted <- err
			}()
			code := stockAgent(l, tt.id, "--cancel-grace-period", "2")
			if err := <-acted; err != nil {
				t.Fatal(err)
			}
			if code != 255 {
				t.Errorf("agent exited with %d, want 255", code)
			}
			l.wantState(tt.id, tt.want)
			if j := l.job(tt.id); j.Signal != "SIGTERM" || j.SignalReason != "cancel" {
				t.Errorf("ended by %q for %q, want SIGTERM for cancel", j.Signal, j.SignalReason)
			}
		})
	}
	l.wantNoViolations()
}

// TestStockAgentDispatched is the agent's usual mode: it pings for work.
func TestStockAgentDispatched(t *testing.T) {
	needsStockAgent(t)
	l := newLab(t, simulator.Config{})
	repo := repository(t, map[string]string{"x": "x"})
	build, err := l.CreateBuild(simulator.BuildRequest{Repo: repo, Pipeline: []byte(`steps: [{command: echo hello, agents: {size: big}}]`)})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(agentbin.Path(t), "start", "--endpoint", l.url+"/v3", "--token", simulator.DefaultAgentToken,
		"--tags", "size=big", "--disconnect-after-job", "--build-path", dir, "--hooks-path", dir, "--plugins-path", dir, "--sockets-path", filepath.Join(dir, "s"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("agent: %v\n%s", err, out)
	}
	l.wantState(build.JobIDs[0], simulator.StateFinished)
	l.wantNoViolations()
}

// TestStockAgentVerifiesSignatures: steps keep the signature that the uploading
// agent gave them, and the environment that it covers.
func TestStockAgentVerifiesSignatures(t *testing.T) {
	needsStockAgent(t)
	l := newLab(t, simulator.Config{})
	keys := t.TempDir()
	keygen := exec.Command(agentbin.Path(t), "tool", "keygen", "--alg", "EdDSA", "--key-id", "k",
		"--private-jwks-file", filepath.Join(keys, "private.json"), "--public-jwks-file", filepath.Join(keys, "public.json"))
	if out, err := keygen.CombinedOutput(); err != nil {
		t.Fatalf("keygen: %v\n%s", err, out)
	}
	repo := repository(t, map[string]string{"dynamic.yml": `
env: {COLOUR: red}
steps:
  - command: ["test $$COLOUR = red", "echo signed {{matrix}}"]
    key: signed
    env: {SIZE: big}
    matrix: [one, two]
`})
	build, err := l.CreateBuild(simulator.BuildRequest{Repo: repo, Pipeline: []byte(`steps: [{command: buildkite-agent pipeline upload dynamic.yml}, {command: echo unsigned}]`)})
	if err != nil {
		t.Fatal(err)
	}
	if code := stockAgent(l, build.JobIDs[0], "--signing-jwks-file", filepath.Join(keys, "private.json"), "--signing-jwks-key-id", "k"); code != 0 {
		log, _ := l.Log(build.JobIDs[0])
		t.Fatalf("upload: agent exited with %d:\n%s", code, log)
	}
	b, _ := l.Build(1)
	if len(b.JobIDs) != 4 {
		t.Fatalf("%d jobs, want 4", len(b.JobIDs))
	}
	verify := []string{"--verification-jwks-file", filepath.Join(keys, "public.json")}
	for _, id := range b.JobIDs[1:3] {
		if code := stockAgent(l, id, verify...); code != 0 {
			log, _ := l.Log(id)
			t.Errorf("signed job: agent exited with %d:\n%s", code, log)
		}
	}
	unsigned := b.JobIDs[3]
	stockAgent(l, unsigned, verify...)
	if j := l.job(unsigned); j.SignalReason != "signature_rejected" || j.Passed {
		t.Errorf("unsigned job = %+v, want signature_rejected", j)
	}
	l.wantNoViolations()
}
