package simulator_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onejob-dev/onejob/simulator"
)

const release = `steps:
- {command: a}
- block: Release
  key: release
  fields:
  - {text: Name, key: name, format: "[a-z]+"}
  - {text: Note, key: note, required: false}
  - {select: Stream, key: stream, default: beta, options: [{label: Beta, value: beta}, {label: Stable, value: stable}]}
  - {select: Where, key: where, multiple: true, default: [na, eu], options: [{label: NA, value: na}, {label: EU, value: eu}]}
- {command: b}`

func TestUnblock(t *testing.T) {
	tests := []struct {
		name, body string
		want       int
		message    string
	}{
		{"a required field", `{}`, 422, `"name\" is required`},
		{"a format", `{"fields":{"name":"A1"}}`, 422, "want it to match"},
		{"no such option", `{"fields":{"name":"x","stream":"odd"}}`, 422, "it has no such option"},
		{"one of several", `{"fields":{"name":"x","where":["na","sa"]}}`, 422, "it has no such option"},
		{"no such field", `{"fields":{"name":"x","nome":"y"}}`, 422, `no field \"nome\"`},
		{"no text", `{"fields":{"name":{}}}`, 400, "is no text"},
		{"no JSON", `{`, 400, ""},
		{"well", `{"fields":{"name":"fay","where":["eu"]}}`, 200, ""},
		{"again", `{"fields":{"name":"fay"}}`, 422, "finished and can't be unblocked"},
	}
	inBubble(t, simulator.Config{}, func(w *wire) {
		ids := w.build(release)
		b, _ := w.sim.Build(1)
		step := b.Steps[0]
		if code, body := w.control("POST", "_sim/steps/"+step.ID+"/unblock", `{"fields":{"name":"x"}}`); code != 422 || !strings.Contains(body, "waiting_for_dependencies") {
			t.Errorf("before its turn: %d %s", code, body)
		}
		w.run(ids[0], "0")
		if b, _ := w.sim.Build(1); b.State != simulator.BuildBlocked || b.BlockedState != simulator.BuildPassed || b.Done() {
			t.Errorf("build is %s (%s), want blocked (passed)", b.State, b.BlockedState)
		}
		for _, tt := range tests {
			code, body := w.control("POST", "_sim/steps/"+step.ID+"/unblock", tt.body)
			if code != tt.want || !strings.Contains(body, tt.message) {
				t.Errorf("%s: %d %s, want %d %s", tt.name, code, body, tt.want, tt.message)
			}
		}
		b, _ = w.sim.Build(1)
		if diff := cmp.Diff(map[string]string{"name": "fay", "note": "", "stream": "beta", "where": "eu"}, b.MetaData); diff != "" {
			t.Errorf("meta-data (-want +got):\n%s", diff)
		}
		acquired := w.call("PUT", "jobs/"+ids[1]+"/acquire", w.session(), "", 200)
		if env := acquired["env"].(map[string]any); env["BUILDKITE_UNBLOCKER"] != "Simulator" {
			t.Errorf("BUILDKITE_UNBLOCKER is %v", env["BUILDKITE_UNBLOCKER"])
		}
		if err := w.sim.Unblock("nobody", nil); !errors.Is(err, simulator.ErrNotFound) {
			t.Errorf("Unblock of nothing: %v", err)
		}
	})
}

func TestCancelOfABlockedBuild(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		ids := w.build(`steps: [{block: go}, {command: a}, wait, {command: b}]`)
		if err := w.sim.CancelBuild(1); err != nil {
			t.Fatal(err)
		}
		w.wantStates(ids, "canceled canceled")
		if b, _ := w.sim.Build(1); b.State != simulator.BuildCanceled {
			t.Errorf("build is %s, want canceled", b.State)
		}
		w.wantNoViolations()
	})
}

// After a retry of a step that failed before a block, the build reaches the block.
func TestRetryBeforeABlock(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		ids := w.build(`steps: [{command: a}, {block: go}, {command: b}]`)
		w.run(ids[0], "1")
		w.wantStates(ids, "finished waiting_failed")
		again, err := w.sim.Retry(ids[0])
		if err != nil {
			t.Fatal(err)
		}
		w.run(again.ID, "0")
		w.wantStates(ids, "finished blocked")
		b, _ := w.sim.Build(1)
		if err := w.sim.Unblock(b.Steps[0].ID, nil); err != nil {
			t.Fatal(err)
		}
		w.run(ids[1], "0")
		if b, _ := w.sim.Build(1); b.State != simulator.BuildPassed {
			t.Errorf("build is %s, want passed", b.State)
		}
		w.wantNoViolations()
	})
}

func TestTriggers(t *testing.T) {
	downstream := map[string][]byte{
		"shop":   []byte(`steps: [{command: "true"}]`),
		"asks":   []byte(`steps: [{command: first}, {block: go}, {command: second}]`),
		"asks+":  []byte(`steps: [{block: go, blocked_state: failed}]`),
		"loops":  []byte(`steps: [{trigger: loops, async: true}]`),
		"bad":    []byte(`steps: [{command: a, shell: sh}]`),
		"absent": nil,
	}
	tests := []struct{ name, pipeline, states string }{
		{"waits", `steps: [{trigger: shop}]`, "running scheduled"},
		{"doesn't wait", `steps: [{trigger: shop, async: true}]`, "passed scheduled"},
		{"no such", `steps: [{trigger: nobody}]`, "passed"},
		{"a blocked build counts as passed", `steps: [{trigger: asks}]`, "running scheduled"},
		{"but for its blocked_state", `steps: [{trigger: asks+}]`, "running blocked"},
		{"one that Buildkite refuses", `steps: [{trigger: bad}]`, "failed"},
		{"a chain without an end", `steps: [{trigger: loops, async: true}]`, strings.TrimSpace(strings.Repeat("passed ", 10) + "failed")},
		{"not after a failure", `steps: [{command: a, depends_on: x}, {trigger: shop, depends_on: x}]`, "failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, simulator.Config{Downstream: downstream}, func(w *wire) {
				w.build(tt.pipeline)
				var states []string
				for _, b := range w.sim.Builds() {
					states = append(states, b.State)
				}
				if got := strings.Join(states, " "); got != tt.states {
					t.Errorf("builds are %s, want %s", got, tt.states)
				}
				w.wantNoViolations()
			})
		})
	}
	inBubble(t, simulator.Config{Downstream: downstream}, func(w *wire) {
		w.build(`steps: [{trigger: asks, build: {env: {A: B}, meta_data: {k: v}}}, wait, {command: last}]`)
		asks, _ := w.sim.Build(2)
		acquired := w.call("PUT", "jobs/"+asks.JobIDs[0]+"/acquire", w.session(), "", 200)
		env := acquired["env"].(map[string]any)
		for name, want := range map[string]string{"A": "B", "BUILDKITE_SOURCE": "trigger_job", "BUILDKITE_TRIGGERED_FROM_BUILD_NUMBER": "1", "BUILDKITE_TRIGGERED_FROM_BUILD_PIPELINE_SLUG": "demo"} {
			if env[name] != want {
				t.Errorf("%s is %v, want %s", name, env[name], want)
			}
		}
		if asks.MetaData["k"] != "v" {
			t.Errorf("meta-data is %v, want k", asks.MetaData)
		}
		token := acquired["token"].(string)
		w.call("PUT", "jobs/"+asks.JobIDs[0]+"/start", token, "", 200)
		w.call("PUT", "jobs/"+asks.JobIDs[0]+"/finish", token, `{"exit_status":"0"}`, 200)
		b, _ := w.sim.Build(1)
		if got := w.state(b.JobIDs[0]); got != simulator.StateScheduled {
			t.Errorf("behind a trigger whose build is blocked as passed: %s, want scheduled", got)
		}
	})
}

func TestCancelOnBuildFailing(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		ids := w.build(`steps: [{command: a, parallelism: 2}, {command: b, cancel_on_build_failing: true}, {command: c, cancel_on_build_failing: "false"}, wait, {command: d, cancel_on_build_failing: true}]`)
		token := w.acquire(w.session(), ids[2])
		w.run(ids[0], "1") // the other half of the step still runs
		w.wantStates(ids, "finished scheduled canceling scheduled canceled")
		if b, _ := w.sim.Build(1); b.State != simulator.BuildFailing {
			t.Errorf("build is %s, want failing", b.State)
		}
		w.call("PUT", "jobs/"+ids[2]+"/finish", token, `{"exit_status":"-1","signal_reason":"cancel"}`, 200)
		w.wantNoViolations()
	})
}

// The error names every fault at once.
func TestRefusalsComeTogether(t *testing.T) {
	sim := simulator.New(simulator.Config{})
	defer sim.Close()
	_, err := sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte(`steps:
- {command: a, shell: sh, parallelism: 0, key: k}
- {label: nothing}
- {group: g, steps: [{command: b, if: nonsense, key: k}]}`)})
	for _, want := range []string{"step 1: `shell`", "step 1: parallelism is 0", "step 2: Step is missing a type", "step 1 of group \"g\": `if: nonsense`"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want it to name %q", err, want)
		}
	}
}

func TestBuildOfNothing(t *testing.T) {
	for pipeline, want := range map[string]string{
		`steps: [{command: a, if: "false"}, wait, {command: b, skip: true}]`: simulator.BuildNotRun,
		`steps: [wait, wait]`:                                                  simulator.BuildPassed,
		`steps: [{command: a, depends_on: nobody}]`:                            simulator.BuildFailed,
		`steps: [{command: a, depends_on: nobody}, {block: go, if: "1 == 2"}]`: simulator.BuildFailed,
	} {
		inBubble(t, simulator.Config{}, func(w *wire) {
			w.build(pipeline)
			if b, _ := w.sim.Build(1); b.State != want || !b.Done() {
				t.Errorf("%s: build is %s, want %s", pipeline, b.State, want)
			}
			w.wantNoViolations()
		})
	}
}

// A step that an upload adds satisfies a dependency on its key.
func TestDependencyThatAnUploadBrings(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		ids := w.build(`steps: [{command: a}, {command: z, depends_on: late}]`)
		token := w.acquire(w.session(), ids[0])
		w.call("PUT", "jobs/"+ids[0]+"/start", token, "", 200)
		w.call("POST", "jobs/"+ids[0]+"/pipelines?async=true", token, `{"uuid":"u","pipeline":{"steps":[{"command":"b","key":"late"},{"command":"n","if":"build.branch != 'main'"},{"block":"go"}]}}`, 202)
		w.call("PUT", "jobs/"+ids[0]+"/finish", token, `{"exit_status":"0"}`, 200)
		if got := fmt.Sprint(play(w)); got != "[b z]" {
			t.Errorf("ran %s, want b and z", got)
		}
		if b, _ := w.sim.Build(1); b.State != simulator.BuildBlocked {
			t.Errorf("build is %s, want blocked", b.State)
		}
	})
}
