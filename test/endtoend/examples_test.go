package endtoend

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

// examples is the folder of pipelines that people copy from.
var examples = filepath.Join("..", "..", "examples")

var (
	says   = regexp.MustCompile(`(?m)^# says: (.*)$`)
	notRun = regexp.MustCompile(`(?m)^# not run here: \S`)
)

// TestExamples: each pipeline of examples/ passes, in the shipped pod, and says what its
// first lines promise.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examples, "*", "pipeline.yml"))
	if err != nil || len(files) < 15 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if notRun.Match(text) {
			continue // cmd/onejob.TestExamples lints it
		}
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			t.Parallel()
			example(t, string(text))
		})
	}
}

func example(t *testing.T, text string) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	sim := on.Simulator
	// As `buildkite-agent pipeline upload` does, by which $ is the upload's, and $$ the job's.
	pipeline := strings.ReplaceAll(text, "$$", "$")
	build, err := sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte(pipeline), Repo: on.URL + "smart/examples.git", Message: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.Wait(ctx, func() bool { b, _ := sim.Build(build.Number); return b.Done() }); err != nil {
		t.Fatalf("%v\n%s", err, table())
	}
	build, _ = sim.Build(build.Number)
	logs := ""
	for _, id := range build.JobIDs {
		job, _ := sim.Job(id)
		log, _ := sim.Log(id)
		logs += job.Label + ", exit status " + job.ExitStatus + ":\n" + string(log)
		for _, n := range job.Notifications {
			logs += n.Detail + "\n"
		}
		if job.StackFinish != nil {
			logs += job.StackFinish.Detail + "\n"
		}
	}
	if build.State != simulator.BuildPassed {
		t.Errorf("the build %s", build.State)
	}
	promised := says.FindAllStringSubmatch(text, -1)
	if len(promised) == 0 {
		t.Error("it promises nothing")
	}
	for _, p := range promised {
		// The command is in the log, too: a line of its own is what it said.
		if !regexp.MustCompile(`(?m)(^|\r|\x07|\n)` + regexp.QuoteMeta(p[1])).MatchString(logs) {
			t.Errorf("the log doesn't say %q at the beginning of a line", p[1])
		}
	}
	if t.Failed() {
		t.Log(logs)
	}
}
