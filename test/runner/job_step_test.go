package runner_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// TestStepAsksForAPod: what a step says of its pod is honoured, or the job ends
// at once and says what this queue doesn't do.
func TestStepAsksForAPod(t *testing.T) {
	t.Parallel()
	pipeline, err := os.ReadFile(filepath.Join("testdata", "pod-of-a-step.yml"))
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, simulator.Config{})
	repo := l.repository("repo", map[string]string{"x": "x"})
	ids := l.built(repo, string(pipeline))
	for i, says := range []string{`image "example.test/debian-tools:1"`, "kubernetes plugin (podSpec)", "kubernetes plugin (checkout, podSpec)"} {
		p := l.ours(ids[i], l.real(), "--image=example.test/another:1")
		p.wantExit(contract.ExitNotRun)
		m := p.wantOutcome(contract.OutcomeUnsupported)
		if m.ExitStatus == nil || *m.ExitStatus != -1 || !strings.Contains(m.Reason, says) {
			t.Errorf("message %+v, want what Buildkite was told, and %q", m, says)
		}
		l.wantJob(ids[i], "-1", "", "agent_refused")
		l.wantInLog(ids[i], "ended by its runner", says, "Take ")
		l.wantNotInLog(ids[i], "Preparing", "ran in the wrong place")
	}
	t.Run("honoured", func(t *testing.T) {
		id := l.built(repo, string(pipeline))[0]
		l.pass(id, "--image=example.test/debian-tools:1")
		l.wantInLog(id, "ran in the wrong place") // which is the right one here
	})
	t.Run("nobody said which image it is", func(t *testing.T) {
		id := l.built(repo, string(pipeline))[0]
		l.ours(id, l.real()).wantExit(contract.ExitNotRun)
		l.wantJob(id, "-1", "", "agent_refused")
	})
	t.Run("a scheduler from before image: was honoured", func(t *testing.T) {
		id := l.built(repo, string(pipeline))[0]
		cmd := l.oursCommand(id, l.real())
		cmd.Env = append(cmd.Env, contract.EnvContractVersion+"="+strconv.Itoa(contract.Version))
		l.start(cmd).wantExit(contract.ExitOK)
		l.wantJob(id, "0", "", "")
		l.wantInLog(id, `asks for the image "example.test/debian-tools:1"`, "ran in the wrong place")
	})
	t.Run("the reply to finish is lost", func(t *testing.T) {
		id := l.built(repo, string(pipeline))[0]
		l.AddFault(simulator.Fault{Endpoint: "finish", JobID: id, Reset: "after", Times: 1})
		l.ours(id, l.real()).wantExit(contract.ExitNotRun)
		l.wantJob(id, "-1", "", "agent_refused")
	})
	l.wantSettled(ids...)
}
