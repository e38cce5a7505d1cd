package runner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// TestJobHooks: checkout, global hooks, the repository's, and a plugin's, all in
// their order, and what an environment hook exports.
func TestJobHooks(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	plugin := l.repository("shout-buildkite-plugin", map[string]string{
		"plugin.yml":        "name: Shout\nconfiguration: {properties: {word: {type: string}}}\n",
		"hooks/environment": "echo hook:plugin:environment; export SHOUTED=$BUILDKITE_PLUGIN_SHOUT_WORD",
		"hooks/pre-command": "echo hook:plugin:pre-command",
		"hooks/pre-exit":    "echo hook:plugin:pre-exit",
	})
	repo := l.repository("repo", map[string]string{
		"data.txt":                     "checked out",
		".buildkite/hooks/pre-command": "echo hook:local:pre-command",
		".buildkite/hooks/pre-exit":    "echo hook:local:pre-exit",
	})
	hooks := l.hooks("global", map[string]string{
		"environment": "export FROM_HOOK=seen", "pre-checkout": "", "post-checkout": "",
		"pre-command": "", "post-command": "echo status $BUILDKITE_COMMAND_EXIT_STATUS", "pre-exit": "",
	})
	l.hooks("more", map[string]string{"pre-command": ""})
	id := l.built(repo, fmt.Sprintf(`
steps:
  - command: "cat data.txt; echo $FROM_HOOK $SHOUTED; git log --format=%%s"
    plugins: ["file://%s#main": {word: LOUD}]
`, plugin))[0]
	p := l.pass(id, "--hooks-path="+hooks, "--additional-hooks-paths="+filepath.Join(l.dir, "more"))
	l.wantInLog(id, "hook:global:environment", "hook:plugin:environment", "hook:global:pre-checkout", "hook:global:post-checkout",
		"hook:global:pre-command", "hook:more:pre-command", "hook:local:pre-command", "hook:plugin:pre-command",
		"checked out", "seen LOUD", "first", "hook:global:post-command", "status 0", "pre-exit")
	l.wantInLog(id, "hook:local:pre-exit")
	l.wantInLog(id, "hook:plugin:pre-exit")
	p.gone()
	l.wantSettled(id)
}

// TestJobGitMirrors: two jobs share a mirror.
func TestJobGitMirrors(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	repo := l.repository("repo", map[string]string{"data.txt": "from the mirror"})
	mirrors := filepath.Join(l.dir, "mirrors")
	for range 2 {
		id := l.built(repo, `steps: [{command: "cat data.txt; cat .git/objects/info/alternates"}]`)[0]
		l.pass(id, "--git-mirrors-path="+mirrors)
		l.wantInLog(id, "from the mirror", mirrors)
	}
	if entries, err := os.ReadDir(mirrors); err != nil || len(entries) == 0 {
		t.Errorf("the folder for mirrors holds %v (%v)", entries, err)
	}
	l.wantSettled()
}

// TestJobLifecycleHooks: agent-startup and agent-shutdown run once each, around
// the job, and a startup hook that fails ends the runner before it acquires.
func TestJobLifecycleHooks(t *testing.T) {
	t.Parallel()
	t.Run("both", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, simulator.Config{})
		hooks := l.hooks("global", map[string]string{"agent-startup": "echo token=[$BUILDKITE_AGENT_TOKEN]", "agent-shutdown": ""})
		p := l.ours(l.command("echo hello"), "--hooks-path="+hooks)
		p.wantExit(contract.ExitOK)
		out := p.output()
		if i, j := strings.Index(out, "hook:global:agent-startup"), strings.Index(out, "hook:global:agent-shutdown"); i < 0 || j < i {
			t.Errorf("startup at %d, shutdown at %d of our output", i, j)
		}
		if !strings.Contains(out, "token=[]") {
			t.Error("the hook has the token")
		}
	})
	t.Run("killed in the last", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, simulator.Config{})
		begun := filepath.Join(l.dir, "begun")
		hooks := l.hooks("global", map[string]string{"agent-shutdown": "echo >" + begun + "\nexec sleep 600"})
		id := l.command("echo hello; exit 3")
		p := l.ours(id, "--hooks-path="+hooks)
		l.await("the agent-shutdown hook", func() bool { _, err := os.Stat(begun); return err == nil })
		p.signal(syscall.SIGKILL)
		p.wantExit(137)
		b, err := os.ReadFile(filepath.Join(p.dir, "message"))
		if err != nil {
			t.Fatal(err)
		}
		if m, err := contract.ParseMessage(string(b)); err != nil || m.Outcome != contract.OutcomeFinished || m.Code() != contract.ExitOK || m.ExitStatus == nil || *m.ExitStatus != 3 {
			t.Errorf("the termination message is %s (%v), want what became of the job", b, err)
		}
	})
	t.Run("refusing", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, simulator.Config{})
		hooks := l.hooks("global", map[string]string{"agent-startup": "exit 1"})
		id := l.command("echo never")
		p := l.ours(id, "--hooks-path="+hooks)
		p.wantExit(contract.ExitExhausted) // for another pod may do better
		p.wantOutcome(contract.OutcomeUnready)
		if n := l.Count("acquire"); n > 0 {
			t.Errorf("%d acquires, want none", n)
		}
	})
}

// TestJobPreBootstrap: a pre-bootstrap hook that fails refuses the job.
func TestJobPreBootstrap(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	hooks := l.hooks("global", map[string]string{"pre-bootstrap": "exit 1"})
	id := l.command("echo never")
	p := l.ours(id, l.real(), "--hooks-path="+hooks)
	p.wantExit(contract.ExitNotRun)
	if m := p.wantOutcome(contract.OutcomeDeclined); m.ExitStatus == nil || *m.ExitStatus != -1 || m.SignalReason != "agent_refused" {
		t.Errorf("message %+v, want what Buildkite was told", m)
	}
	l.wantJob(id, "-1", "", "agent_refused")
	l.wantNotInLog(id, "\nnever")
	l.wantSettled(id)
}

// TestStopDuringPreBootstrap: a stop that ends a pre-bootstrap hook is reported as
// a stop, for which retry rules are, and not as the hook's refusal.
func TestStopDuringPreBootstrap(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	begun := filepath.Join(l.dir, "begun")
	hooks := l.hooks("global", map[string]string{"pre-bootstrap": "echo >" + begun + "\nexec sleep 600"})
	id := l.command("echo never")
	p := l.ours(id, l.real(), "--hooks-path="+hooks)
	l.await("the hook", func() bool { _, err := os.Stat(begun); return err == nil })
	p.signal(syscall.SIGTERM)
	p.wantExit(contract.ExitNotRun)
	p.wantOutcome(contract.OutcomeStoppedAcquired)
	l.wantJob(id, "-1", "", "agent_stop")
	l.wantSettled(id)
}

// TestJobBootstrapCannotRun: an image whose bootstrap can't be executed is not
// one in which jobs run.
func TestJobBootstrapCannotRun(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	id := l.command("echo never")
	p := l.ours(id, "--bootstrap-script="+l.write("bootstrap", "#!/no/such/interpreter\n", 0o755))
	p.wantExit(contract.ExitNotRun)
	p.wantOutcome(contract.OutcomeRunnerError)
	l.wantJob(id, "-1", "", "process_run_error")
	l.wantInLog(id, "Error running job")
	l.wantSettled(id)
}

// TestJobExits125: the agent has a reason of its own for that status, and the
// job ran all the same.
func TestJobExits125(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	id := l.command("echo docker has failed; exit 125")
	p := l.ours(id, l.real(), "--skip-checkout")
	p.wantExit(contract.ExitOK)
	p.wantOutcome(contract.OutcomeFinished)
	l.wantJob(id, "-1", "", "process_run_error")
	l.wantSettled(id)
}

// TestJobEnvironment: the job's environment has the same names under ours as
// under the stock agent, where that is not justified otherwise.
func TestJobEnvironment(t *testing.T) {
	t.Parallel()
	names := func(log string) []string {
		var list []string
		_, log, _ = strings.Cut(log, "ENV-BEGINS")
		for line := range strings.Lines(log) {
			// With ANSI timestamps each line begins with one.
			if i := strings.LastIndex(line, "\a"); i >= 0 {
				line = line[i+1:]
			}
			if name, _, found := strings.Cut(line, "="); found && !strings.ContainsAny(name, " \x1b$") {
				list = append(list, name)
			}
		}
		slices.Sort(list)
		return slices.Compact(list)
	}
	l := newLab(t, simulator.Config{})
	run := func(start func(string, ...string) *process) []string {
		id := l.command("echo ENV''-BEGINS; env")
		start(id, l.real(), "--skip-checkout", "--tags=queue=default,os=linux").wantExit(0)
		return names(l.log(id))
	}
	ours, stock := run(l.ours), run(l.stock)
	if len(stock) < 50 {
		t.Fatalf("the stock agent's job has %d variables: %v", len(stock), stock)
	}
	// Each with the reason why it may differ.
	justified := map[string]string{}
	for _, name := range ours {
		if !slices.Contains(stock, name) && justified[name] == "" {
			t.Errorf("%s is in the job's environment under ours only", name)
		}
		if strings.HasPrefix(name, "ONEJOB_") || name == contract.EnvToken {
			t.Errorf("%s is in the job's environment", name)
		}
	}
	for _, name := range stock {
		if !slices.Contains(ours, name) && justified[name] == "" {
			t.Errorf("%s is in the job's environment under the stock agent only", name)
		}
	}
	t.Logf("%d variables", len(ours))
}
