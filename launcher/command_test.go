package launcher

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/buildkite/shellwords"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/signals"
)

// TestHoldStep: a folder that can't be written is this pod's fault, not the job's.
func TestHoldStep(t *testing.T) {
	if program, _, err := HoldStep("", false); program != "" || err != nil {
		t.Errorf("%q, %v", program, err)
	}
	if _, _, err := HoldStep(filepath.Join(t.TempDir(), "none"), false); !errors.Is(err, ErrUnready) {
		t.Errorf("%v", err)
	}
}

// TestHoldStepMounted: a volume has the programs, so that there is no agent to copy; the
// folder for sockets is there before the command's container learns of the runner.
func TestHoldStepMounted(t *testing.T) {
	beside := t.TempDir()
	for _, name := range []string{contract.StepProgram, "buildkite-agent"} {
		if err := os.WriteFile(filepath.Join(beside, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", beside)
	for _, mounted := range []bool{true, false} {
		dir := t.TempDir()
		step, agent, err := HoldStep(dir, mounted)
		if err != nil || step == "" || (agent == "") != mounted {
			t.Errorf("mounted %t: %q, %q, %v", mounted, step, agent, err)
		}
		info, err := os.Stat(filepath.Join(dir, "sockets"))
		if (err == nil) != mounted || err == nil && info.Mode().Perm() != 0o777 {
			t.Errorf("mounted %t: the sockets' folder is %v, %v", mounted, info, err)
		}
	}
}

// TestInCommand: the job's runner gets a command line that starts the runner's side, with
// the bootstrap's own behind it.
func TestInCommand(t *testing.T) {
	r := &run{Config: Config{StepDir: "/onejob", Step: "/usr/local/bin/onejob-step", Image: "node:22"}}
	o := r.inCommand(Options{BootstrapScript: "/usr/local/bin/buildkite-agent bootstrap"})
	words, err := shellwords.Split(o.BootstrapScript)
	if got, want := strings.Join(words, "|"), "/usr/local/bin/onejob-step|serve|--dir|/onejob|--image|node:22|--|/usr/local/bin/buildkite-agent|bootstrap"; got != want || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if o.JobContextDir != "/onejob" {
		t.Errorf("the job's files are in %q", o.JobContextDir)
	}
	r.Commands, r.CheckoutEnv = "lint=node:22 test=golang:1", "=/env/0"
	words, err = shellwords.Split(r.inCommand(Options{BootstrapScript: "bootstrap"}).BootstrapScript)
	if got, want := strings.Join(words[4:], "|"), "--image|node:22|--commands|lint=node:22 test=golang:1|--checkout-env|=/env/0|--|bootstrap"; got != want || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	r.StepDir = ""
	if o := r.inCommand(Options{BootstrapScript: "x"}); o.BootstrapScript != "x" || o.JobContextDir != "" {
		t.Errorf("%+v", o)
	}
}

// TestMirrored: a job that updates mirrors repairs them first, wherever it checks out.
func TestMirrored(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, contract.StepProgram), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	for _, tt := range []struct {
		path string
		skip bool
		want string
	}{
		{"", false, "bootstrap"},
		{"/m", true, "bootstrap"},
		{"/m", false, filepath.Join(dir, contract.StepProgram) + " mirror -- bootstrap"},
	} {
		if got := mirrored(Options{BootstrapScript: "bootstrap", GitMirrorsPath: tt.path, GitMirrorsSkipUpdate: tt.skip}).BootstrapScript; got != tt.want {
			t.Errorf("%q, %v: got %s, want %s", tt.path, tt.skip, got, tt.want)
		}
	}
}

// attemptInTwo runs an attempt whose command has a container of its own.
func attemptInTwo(t *testing.T, set func(*Config)) (*buildkite, *signals.Watcher, <-chan contract.Message) {
	t.Helper()
	budget, err := NewBudget(0, 10, -1, false)
	if err != nil {
		t.Fatal(err)
	}
	b := new(buildkite)
	b.alive.Store(true)
	w, done := b.attempt(t, t.TempDir(), "exit 1", budget, set)
	return b, w, done
}

// TestNoJobWithoutItsContainer: a runner whose command's container isn't there doesn't take
// the job; told to stop, it says that it never had it.
func TestNoJobWithoutItsContainer(t *testing.T) {
	b, watch, end := attemptInTwo(t, func(c *Config) { c.StepDir, c.Image = t.TempDir(), "node:22" })
	for range 500 {
		if b.had("connect") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond) // for what must not happen
	if b.had("acquire") {
		t.Error("the job was acquired")
	}
	watch.Deliver(syscall.SIGTERM)
	m := result(t, end)
	if m.Outcome != contract.OutcomeStopped || m.ExitCode != contract.ExitTerminated || !strings.Contains(m.Reason, "node:22") {
		t.Errorf("%+v", m)
	}
	if b.had("acquire") {
		t.Error("the job was acquired")
	}
}

// TestJobOnceItsContainerIsThere: then it does.
func TestJobOnceItsContainerIsThere(t *testing.T) {
	dir := t.TempDir()
	agent := filepath.Join(t.TempDir(), "buildkite-agent")
	if err := os.WriteFile(agent, []byte("the agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	b, _, end := attemptInTwo(t, func(c *Config) { c.StepDir, c.StepAgent = dir, agent })
	if err := os.WriteFile(filepath.Join(dir, "command"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	result(t, end)
	if !b.had("acquire") {
		t.Error("the job wasn't acquired")
	}
	if brought, err := os.ReadFile(filepath.Join(dir, "bin", "buildkite-agent")); err != nil || string(brought) != "the agent" {
		t.Errorf("the command's container finds the agent %q: %v", brought, err)
	}
}
