package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buildkite/agent/v3/version"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/signals"
	"github.com/onejob-dev/onejob/stacks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	id     = "018f0000-0000-7000-8000-00000000000a" // contract.SampleJobID, untyped
	secret = "bkct_very-secret"
)

// try runs args with exactly env, and returns the exit code, what was printed,
// and the termination message.
func try(t *testing.T, env map[string]string, args ...string) (int, string, contract.Message) {
	t.Helper()
	code, printed, text := tried(t, env, args...)
	msg, err := contract.ParseMessage(text)
	if err != nil && code != 0 {
		t.Errorf("no termination message: %v", err)
	}
	return code, printed, msg
}

// tried is try, with the termination message as the kubelet finds it.
func tried(t *testing.T, env map[string]string, args ...string) (int, string, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "message")
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "BUILDKITE") || strings.HasPrefix(name, "ONEJOB") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	t.Setenv(contract.EnvTerminationMessagePath, path)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = w, w
	printed := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		printed <- string(b)
	}()
	watch := signals.Watch(t.Context())
	defer watch.Close()
	code := run(append([]string{"onejob-agent"}, args...), watch)
	os.Stdout, os.Stderr = stdout, stderr
	w.Close()
	text, _ := os.ReadFile(path)
	return code, <-printed, string(text)
}

// anotherAgent is one of another major version.
func anotherAgent(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "buildkite-agent")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho buildkite-agent version 4.0.3+x\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRefusesBadSettings has each mistake named before Buildkite hears of us:
// the endpoint here refuses connections, which would be exit code 75.
func TestRefusesBadSettings(t *testing.T) {
	good := func(change map[string]string) map[string]string {
		env := map[string]string{
			contract.EnvToken: secret, contract.EnvEndpoint: "http://127.0.0.1:1/v3",
			"BUILDKITE_BUILD_PATH": t.TempDir(), "BUILDKITE_BOOTSTRAP_SCRIPT_PATH": "/bin/true",
		}
		for k, v := range change {
			env[k] = v
		}
		return env
	}
	for _, tt := range []struct {
		name string
		env  map[string]string
		args []string
		says []string
	}{
		{"no job ID", nil, nil, []string{"no job ID", contract.EnvJobID}},
		{"a bad job ID", nil, []string{"42"}, []string{`"42"`, "UUID"}},
		{"a bad job ID in the environment", map[string]string{contract.EnvJobID: "x"}, nil, []string{`"x"`, "UUID"}},
		{"two job IDs", nil, []string{id, id}, []string{"2 arguments"}},
		{"no token", map[string]string{contract.EnvToken: ""}, []string{id}, []string{"no agent token", contract.EnvToken, "--token-file"}},
		{"a torn token", map[string]string{contract.EnvToken: secret + " x"}, []string{id}, []string{"a space"}},
		{"no token file", nil, []string{"--token-file", "/does/not/exist", id}, []string{"token-file", "/does/not/exist"}},
		{"a bad endpoint", map[string]string{contract.EnvEndpoint: "buildkite"}, []string{id}, []string{"endpoint", "no http or https scheme"}},
		{"another agent", map[string]string{"BUILDKITE_BOOTSTRAP_SCRIPT_PATH": anotherAgent(t) + " bootstrap"}, []string{id}, []string{"is agent v4.0.3+x", "made for agent v" + version.Version()}},
		{"no bootstrap", map[string]string{"BUILDKITE_BOOTSTRAP_SCRIPT_PATH": "/no/such/agent bootstrap"}, []string{id}, []string{"bootstrap-script", "/no/such/agent"}},
		{"no folder for builds", map[string]string{"BUILDKITE_BUILD_PATH": ""}, []string{id}, []string{"BUILDKITE_BUILD_PATH"}},
		{"an unknown flag", nil, []string{"--no-such-flag", id}, []string{"no-such-flag"}},
		{"a flag of the agent's that isn't offered", nil, []string{"--signing-aws-kms-key=x", id}, []string{"--signing-aws-kms-key isn't offered", "JWKS"}},
		{"a key that verifies jobs", map[string]string{"BUILDKITE_AGENT_SIGNING_AWS_KMS_KEY": "x"}, []string{id}, []string{"BUILDKITE_AGENT_SIGNING_AWS_KMS_KEY is set", "JWKS"}},
		{"such a key of another cloud", map[string]string{"BUILDKITE_AGENT_SIGNING_GCP_KMS_KEY": "x"}, []string{id}, []string{"BUILDKITE_AGENT_SIGNING_GCP_KMS_KEY is set", "JWKS"}},
		{"a configuration file", map[string]string{"BUILDKITE_AGENT_CONFIG": "/x"}, []string{id}, []string{"BUILDKITE_AGENT_CONFIG is set", "second place"}},
		{"a flag of another type", nil, []string{"--acquire-attempts=many", id}, []string{"many"}},
		{"no attempts", nil, []string{"--acquire-attempts=0", id}, []string{"attempts is 0"}},
		{"an empty jitter", nil, []string{"--acquire-jitter-min=9s", id}, []string{"jitter"}},
		{"no room for the report", nil, []string{"--signal-grace-period-seconds=10", id}, []string{"reporting"}},
		{"a grace that is too short", nil, []string{"--termination-grace-seconds=5", id}, []string{"kubelet"}},
		{"a bad on-term", nil, []string{"--on-term=hope", id}, []string{"on-term", "hope"}},
		{"no onejob-run", map[string]string{"PATH": "/nowhere"}, []string{id}, []string{"onejob-run", "PATH"}},
		{"several at once", map[string]string{contract.EnvEndpoint: "x", contract.EnvToken: ""}, []string{"y"}, []string{"UUID", "no agent token", "endpoint"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, printed, msg := try(t, good(tt.env), tt.args...)
			if code != contract.ExitConfig || msg.ExitCode != code || msg.Outcome != contract.OutcomeConfig {
				t.Errorf("exit %d, message %+v; want %d", code, msg, contract.ExitConfig)
			}
			for _, want := range tt.says {
				if !strings.Contains(printed, want) || !strings.Contains(msg.Reason, want) {
					t.Errorf("doesn't say %q:\n%s\nmessage: %s", want, printed, msg.Reason)
				}
			}
			if strings.Contains(printed+msg.Reason, secret) {
				t.Error("the token is shown")
			}
		})
	}
}

// A runner whose image is older than the scheduler leaves a message that a scheduler takes
// for the fault of its node's image, whatever else the runner finds wrong with the pod: the
// job is tried on another node.
func TestAnotherContractIsTriedElsewhere(t *testing.T) {
	env := map[string]string{
		contract.EnvToken: secret, contract.EnvEndpoint: "http://127.0.0.1:1/v3", contract.EnvContractVersion: "99",
		"BUILDKITE_BUILD_PATH": t.TempDir(), "BUILDKITE_BOOTSTRAP_SCRIPT_PATH": "/bin/true",
	}
	for _, args := range [][]string{{id}, {"--on-term=hope", id}} {
		code, printed, message := tried(t, env, args...)
		for _, want := range []string{"version 99", "versions 1 to 3", "use an image of the scheduler's release"} {
			if !strings.Contains(printed, want) || !strings.Contains(message, want) {
				t.Errorf("doesn't say %q:\n%s\nmessage: %s", want, printed, message)
			}
		}
		pod := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "node-1"}, Status: corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{
			{Name: contract.AgentContainer, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: int32(code), Reason: "Error", Message: message}}},
		}}}
		now := time.Now()
		f := decide.Facts{
			Now: now, State: stacks.StateReserved, StateAt: now, ToldAt: now, EndedAt: now.Add(-time.Second), Attempt: 1,
			KJob: decide.KJob{Exists: true, Finished: true}, Pod: decide.OfPod(pod), Policy: decide.Policy{MaxAttempts: 10},
		}
		if d, nodes := decide.On(f), f.NodeFaults().Nodes(); code != contract.ExitConfig || d.Action != decide.Attempt || !slices.Equal(nodes, []string{"node-1"}) {
			t.Errorf("exit %d, then %+v avoiding %q; want %d, and an attempt that avoids node-1", code, d, nodes, contract.ExitConfig)
		}
	}
}

// A folder that can't be made or written is its node's fault: another pod may be
// well. That it is so doesn't hide a mistake that every pod would have.
func TestBuildPathIsTheNodes(t *testing.T) {
	env := map[string]string{
		contract.EnvToken: secret, contract.EnvEndpoint: "http://127.0.0.1:1/v3",
		"BUILDKITE_BUILD_PATH": "/proc/nowhere", "BUILDKITE_BOOTSTRAP_SCRIPT_PATH": "/bin/true",
		"PATH": beside(t) + ":" + os.Getenv("PATH"),
	}
	code, printed, msg := try(t, env, id)
	if code != contract.ExitExhausted || msg.ExitCode != code || msg.Outcome != contract.OutcomeUnready {
		t.Errorf("exit %d, message %+v; want %d, unready", code, msg, contract.ExitExhausted)
	}
	if os.Getenv(contract.EnvToken) != "" {
		t.Error("the token is in the environment after it was read")
	}
	for _, want := range []string{"/proc/nowhere", "can't be created or written by uid", "no such file or directory"} {
		if !strings.Contains(printed, want) || !strings.Contains(msg.Reason, want) {
			t.Errorf("doesn't say %q:\n%s\nmessage: %s", want, printed, msg.Reason)
		}
	}
	if code, _, msg := try(t, env, "--log-format=xml", id); code != contract.ExitConfig || !strings.Contains(msg.Reason, "log-format") {
		t.Errorf("exit %d, message %+v; want %d", code, msg, contract.ExitConfig)
	}
}

// beside is a folder with an onejob-run.
func beside(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "onejob-run"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestWarnsOfVariables: those of the agent's that are refused elsewhere, and the
// job ID and the token, are none that have no effect.
func TestWarnsOfVariables(t *testing.T) {
	_, printed, msg := try(t, map[string]string{
		"BUILDKITE_AGENT_SPAWN": "3", "BUILDKITE_AGENT_PING_MODE": "", "BUILDKITE_AGENT_CONFIG": "/x",
		contract.EnvToken: secret, contract.EnvJobID: id,
	})
	const says = "a variable of the agent has no effect here"
	if strings.Count(printed, says) != 1 || !strings.Contains(printed, "BUILDKITE_AGENT_SPAWN") || !strings.Contains(printed, "one process, one job") {
		t.Errorf("want one warning, of BUILDKITE_AGENT_SPAWN:\n%s", printed)
	}
	if strings.Contains(msg.Reason, "SPAWN") {
		t.Errorf("it is refused: %s", msg.Reason)
	}
}

func TestHelpTeaches(t *testing.T) {
	code, printed, _ := try(t, nil, "--help")
	if code != 0 {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{"JOB_ID", "Run one job", "Exit status", "BUILDKITE_AGENT_TOKEN", "--on-term", "--git-clone-flags", "ONEJOB_ACQUIRE_ATTEMPTS"} {
		if !strings.Contains(printed, want) {
			t.Errorf("the help doesn't mention %s", want)
		}
	}
	// No flag takes a token: it would be in argv.
	if strings.Contains(printed, "--token ") {
		t.Error("there is a --token")
	}
}

func TestVersion(t *testing.T) {
	if code, printed, _ := try(t, nil, "--version"); code != 0 || !strings.Contains(printed, "agent 3.138.1") || !strings.Contains(printed, "contract 3") {
		t.Errorf("exit %d: %s", code, printed)
	}
}

// Before there is a job, the token's file is deleted where it was made for the runner alone;
// somebody else's file stays.
func TestTokenFile(t *testing.T) {
	if f := newFlags(); f.ownToken != contract.SecretsToken {
		t.Errorf("the runner's own token is taken to be in %q, want %q", f.ownToken, contract.SecretsToken)
	}
	for _, own := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		f := newFlags()
		if f.tokenFile = path; own {
			f.ownToken = path
		}
		if got, err := f.token(); err != nil || got != secret {
			t.Errorf("token = %q, %v; a trailing newline is none of it", got, err)
		}
		if _, err := os.Stat(path); os.IsNotExist(err) != own {
			t.Errorf("a file of the runner's own (%t): %v after it was read", own, err)
		}
	}
}

// The hold's command shows a container that the pod has.
func TestShownContainer(t *testing.T) {
	several := contract.CommandsValue([]contract.Command{{Name: "test", Image: "a"}, {Name: "lint", Image: "b"}})
	for _, tt := range []struct{ dir, commands, want string }{{"", "", "agent"}, {"/onejob", "", "command"}, {"/onejob", several, "command-test"}} {
		if got := shown(tt.dir, tt.commands); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.commands, got, tt.want)
		}
	}
}
