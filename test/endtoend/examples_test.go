package endtoend

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/simulator"
)

// examples is the folder of pipelines that people copy from.
var examples = filepath.Join("..", "..", "examples")

var (
	says   = regexp.MustCompile(`(?m)^# says: (.*)$`)
	notRun = regexp.MustCompile(`(?m)^# not run here: \S`)
)

// exampleQueue is a queue of the examples' configuration, in pods of the image that was
// built here.
func exampleQueue(name string) (map[string]any, error) {
	text, err := os.ReadFile(filepath.Join(examples, "onejob.yaml"))
	if err != nil {
		return nil, err
	}
	var c struct{ Queues []map[string]any }
	if err := yaml.Unmarshal(text, &c); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(c.Queues, func(q map[string]any) bool { return q["name"] == name })
	if i < 0 {
		return nil, fmt.Errorf("examples/onejob.yaml has no queue %s", name)
	}
	q := c.Queues[i]
	pod := q["template"].(map[string]any)["inline"].(map[string]any)
	pod["spec"].(map[string]any)["containers"] = []any{map[string]any{
		"name": "agent", "image": "localhost/onejob-agent:dev", "imagePullPolicy": "Never", "resources": map[string]any{"requests": map[string]any{"cpu": "10m", "memory": "32Mi"}},
	}}
	q["template"] = map[string]any{"inline": map[string]any{"apiVersion": "batch/v1", "kind": "Job", "spec": map[string]any{"ttlSecondsAfterFinished": 20, "template": pod}}}
	q["max-in-flight"] = 8
	return q, nil
}

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
