package simulator_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onejob-dev/onejob/simulator"
)

var update = flag.Bool("update", false, "write testdata/pipelines/*.txt anew")

// TestPipelines runs each pipeline of testdata/pipelines, and fills in fields and unblocks
// steps as a person does. The file beside each pipeline has the outcome of its steps. The
// pipelines are small ones in the styles of public ones.
func TestPipelines(t *testing.T) {
	paths, err := filepath.Glob("testdata/pipelines/*.yml")
	if err != nil || len(paths) < 12 {
		t.Fatalf("%d pipelines, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			downstream := map[string][]byte{"deploy": []byte("steps: [{command: deployed, if: build.source == 'trigger_job'}]"), "broken": []byte("steps: [{command: broken 1}]")}
			inBubble(t, simulator.Config{Downstream: downstream}, func(w *wire) {
				defer time.Sleep(5 * time.Second) // regexp2's clock runs for so long
				req := simulator.BuildRequest{Pipeline: source, Branch: "release/1", Message: "one [skip docs]", ChangedFiles: []string{"app/main.go"},
					Env: map[string]string{"BUILDKITE_TAG": "v1.2"}, Interpolate: map[string]string{"HOME": "/root", "LEVEL": "outer"}}
				if _, err := w.sim.CreateBuild(req); err != nil {
					t.Fatal(err)
				}
				got := story(w)
				golden := strings.TrimSuffix(path, ".yml") + ".txt"
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("what becomes of it (-want +got):\n%s", diff)
				}
				for _, v := range w.sim.CheckSettled() {
					t.Errorf("violation: %s", v)
				}
			})
		})
	}
}

// story runs all builds to their ends and describes them.
func story(w *wire) string {
	w.Helper()
	var out strings.Builder
	for {
		if ran := play(w); len(ran) > 0 {
			fmt.Fprintf(&out, "ran %s\n", strings.Join(ran, ", "))
			continue
		}
		if !unblock(w, &out) {
			break
		}
	}
	for _, b := range w.sim.Builds() {
		fmt.Fprintf(&out, "\nbuild %d of %s: %s\n", b.Number, b.Slug, b.State)
		for _, text := range b.Warnings {
			fmt.Fprintf(&out, "  warning: %s\n", text)
		}
		for _, s := range b.Steps {
			fmt.Fprintf(&out, "  %s\n", strings.Join(strings.Fields(fmt.Sprintf("%s %s: %s %s %s %v", s.Type, s.Label, s.State, s.Outcome, s.Note, s.Builds)), " "))
		}
		for _, id := range b.JobIDs {
			j, _ := w.sim.Job(id)
			line := fmt.Sprintf("%s: %s %s %s", j.Label, j.Command, j.State, j.Note)
			if j.SoftFailed {
				line += " soft failed"
			}
			if len(j.AgentQueryRules) > 0 {
				line += " on " + strings.Join(j.AgentQueryRules, ",")
			}
			fmt.Fprintf(&out, "  %s\n", strings.Join(strings.Fields(line), " "))
		}
	}
	return out.String()
}

// unblock opens the first step that waits for a person.
func unblock(w *wire, out *strings.Builder) bool {
	for _, b := range w.sim.Builds() {
		for _, s := range b.Steps {
			if s.State != "waiting_for_input" {
				continue
			}
			fields := map[string]string{}
			for _, f := range s.Fields {
				if len(f.Options) > 0 {
					fields[f.Key] = f.Options[0].Value
				} else if len(f.Default) == 0 {
					fields[f.Key] = "abc"
				}
			}
			if err := w.sim.Unblock(s.ID, fields); err != nil {
				w.Fatal(err)
			}
			fmt.Fprintf(out, "unblocked %s, the build was %s %s\n", s.Label, b.State, b.BlockedState)
			return true
		}
	}
	return false
}
