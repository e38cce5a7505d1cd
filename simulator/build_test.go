package simulator_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onejob-dev/onejob/simulator"
)

// play runs scheduled jobs until there is none. Each command line is the exit status of its
// job; "cancel" cancels it. play returns the commands in order.
func play(w *wire) []string {
	w.Helper()
	var played []string
	for {
		i := slices.IndexFunc(w.sim.Jobs(), func(j simulator.Job) bool { return j.State == simulator.StateScheduled })
		if i < 0 {
			return played
		}
		j := w.sim.Jobs()[i]
		name, exit, _ := strings.Cut(j.Command, " ")
		played = append(played, name)
		if exit == "cancel" {
			if err := w.sim.CancelJob(j.ID); err != nil {
				w.Fatal(err)
			}
			continue
		}
		if _, err := strconv.Atoi(exit); err != nil {
			exit = "0"
		}
		session := w.sessionOn(j.Queue)
		token := w.acquire(session, j.ID)
		if token == "" {
			w.Fatalf("job %s of queue %s wasn't acquired", j.ID, j.Queue) // and would be tried for ever
		}
		w.call("PUT", "jobs/"+j.ID+"/start", token, "", 200)
		w.call("PUT", "jobs/"+j.ID+"/finish", token, fmt.Sprintf(`{"exit_status":%q}`, exit), 200)
		w.call("POST", "disconnect", session, "", 200)
	}
}

// sessionOn registers an agent of a queue.
func (w *wire) sessionOn(queue string) string {
	w.Helper()
	reply := w.call("POST", "register", simulator.DefaultAgentToken, `{"name":"runner","ignore_in_dispatches":true,"meta_data":["queue=`+queue+`"]}`, 200)
	session, _ := reply["access_token"].(string)
	w.call("POST", "connect", session, "", 200)
	return session
}

func TestDependencies(t *testing.T) {
	tests := []struct {
		name     string
		pipeline string
		want     string // commands in the order in which they ran
		state    string
	}{
		{"in a row", `[a, wait, b, wait, c]`, "a b c", "passed"},
		{"wait needs all", `[a, b, wait, c]`, "a b c", "passed"},
		{"failure stops", `[a 1, b, wait, c]`, "a b", "failed"},
		{"continue on failure", `[a 1, wait+, b]`, "a b", "failed"},
		{"plain wait after it stops", `[a 1, wait+, b, wait, c]`, "a b", "failed"},
		{"stopped is stopped", `[a 1, wait, b, wait+, c]`, "a", "failed"},
		{"continue twice", `[a 1, wait+, b, c, wait+, d]`, "a b c d", "failed"},
		{"continue, all well", `[a, wait+, b, wait, c]`, "a b c", "passed"},
		{"cancel is no failure to continue on", `[a cancel, wait+, b]`, "a", "failed"},
		{"only waits", `[wait, wait]`, "", "passed"},
		{"soft fail", `[{command: a 1, soft_fail: true}, wait, b]`, "a b", "passed"},
		{"soft fail by status", `[{command: a 2, soft_fail: [{exit_status: 2}]}, {command: b 1, soft_fail: [{exit_status: 2}]}, wait, c]`, "a b", "failed"},
		{"depends_on jumps waits", `[{command: a 1}, {command: b, key: b}, wait, {command: c, depends_on: b}]`, "a b c", "failed"},
		{"depends_on nothing", `[{command: a 1}, wait, {command: d, depends_on: ~}]`, "a d", "failed"},
		{"depends_on fails", `[{command: a 1, key: a}, {command: b, depends_on: a}, {command: c, depends_on: [{step: a, allow_failure: true}]}]`, "a c", "failed"},
		{"allow_dependency_failure", `[{command: a 1, key: a}, {command: b, depends_on: [a], allow_dependency_failure: true}]`, "a b", "failed"},
		{"a switch as text", `[{command: a 1, key: a}, {command: b, depends_on: a, allow_dependency_failure: "true"}, {command: e, depends_on: a, allow_dependency_failure: "false"}]`, "a b", "failed"},
		{"looks ahead", `[{command: a, depends_on: b}, {command: b, key: b}]`, "b a", "passed"},
		{"group", `[{group: g, key: g, steps: [{command: a}, {command: b}]}, {command: c, depends_on: g}]`, "a b c", "passed"},
		{"a group's wait is no other group's", `[{group: g, steps: [{command: a 1}, wait, {command: b}]}, {group: h, steps: [{command: c}, wait, {command: d}]}, {command: e}]`, "a c d e", "failed"},
		{"a wait needs what groups hold", `[{group: g, steps: [{command: a}, wait, {command: x 1}]}, wait, {command: d}]`, "a x", "failed"},
		{"a group behind a wait", `[{command: a 1}, wait, {group: g, steps: [{command: d}, wait, {command: e}]}]`, "a", "failed"},
		{"a group's depends_on jumps waits", `[{command: a, key: a}, {command: x 1}, wait, {group: g, depends_on: a, steps: [{command: d}]}]`, "a x d", "failed"},
		{"a group's wait and its depends_on", `[{command: a, key: a}, {group: g, depends_on: a, steps: [{command: x 1}, wait, {command: d}]}]`, "a x", "failed"},
		{"a group's depends_on and a step's", `[{command: a 1, key: a}, {command: x, key: x}, {group: g, depends_on: a, steps: [{command: d, depends_on: x}]}]`, "a x", "failed"},
		{"a group's allow_dependency_failure", `[{command: a 1, key: a}, {group: g, depends_on: a, allow_dependency_failure: true, steps: [{command: d}, {command: e, depends_on: a}]}]`, "a d", "failed"},
		{"parallelism", `[{command: a, parallelism: 3}, wait, b]`, "a a a b", "passed"},
		{"matrix", `[{command: "a{{matrix}}", matrix: [x, y]}, wait, b]`, "ax ay b", "passed"},
		{"matrix of two", `[{command: "{{matrix.a}}{{matrix.b}}", matrix: {setup: {a: [p, q], b: [r, s]}, adjustments: [{with: {a: p, b: s}, skip: true}]}}]`, "pr qr qs", "passed"},
		{"skip", `[{command: a, skip: not today}, wait, b]`, "b", "passed"},
		{"attributes without a value", "[{command: a 1, label: ~, timeout_in_minutes: ~, parallelism: ~, priority: ~, image: ~, retry: ~, concurrency: ~, concurrency_group: ~, concurrency_method: ~, if: ~, branches: ~, skip: ~, soft_fail: ~, cancel_on_build_failing: ~, artifact_paths: ~, agents: ~}]\npriority: ~\nimage: ~\nagents: ~", "a", "failed"},
		{"retry", `[{command: a 1, retry: {automatic: true}}, wait, b]`, "a a a", "failed"},
		{"retry by status", `[{command: a 5, retry: {automatic: [{exit_status: 4}, {exit_status: [5, 6], limit: 1}]}}]`, "a a", "failed"},
		{"no retry by another", `[{command: a 5, retry: {automatic: {exit_status: 4}}}]`, "a", "failed"},
		{"the first rule decides", `[{command: a 5, retry: {automatic: [{exit_status: 5, limit: 0}, {exit_status: "*"}]}}]`, "a", "failed"},
		{"no retry by signal", `[{command: a 5, retry: {automatic: {signal: kill}}}]`, "a", "failed"},
		{"retry without signal", `[{command: a 5, retry: {automatic: {signal: none, signal_reason: none, limit: 1}}}]`, "a a", "failed"},
		{"no retry of a pass", `[{command: a 0, retry: {automatic: true}}]`, "a", "passed"},
		{"no retry of a cancel", `[{command: a cancel, retry: {automatic: true}}]`, "a", "failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, simulator.Config{}, func(w *wire) {
				w.build(yamlOf(tt.pipeline))
				if got := strings.Join(play(w), " "); got != tt.want {
					t.Errorf("ran %q, want %q", got, tt.want)
				}
				if b, _ := w.sim.Build(1); b.State != tt.state || !b.Done() {
					t.Errorf("build is %s, want %s", b.State, tt.state)
				}
				for _, v := range w.sim.CheckSettled() {
					t.Errorf("violation: %s", v)
				}
			})
		})
	}
}

// yamlOf lets a table write "[a, wait, b 1]" for commands and waits; wait+
// continues on failure.
func yamlOf(short string) string {
	if strings.Contains(short, "{") {
		replaced := strings.NewReplacer(", b]", ", {command: b}]", ", c]", ", {command: c}]").Replace(short)
		return "steps: " + replaced
	}
	var steps []string
	for _, step := range strings.Split(strings.Trim(short, "[]"), ", ") {
		switch step {
		case "wait":
			steps = append(steps, "wait")
		case "wait+":
			steps = append(steps, "{wait: ~, continue_on_failure: true}")
		default:
			steps = append(steps, "{command: "+step+"}")
		}
	}
	return "steps: [" + strings.Join(steps, ", ") + "]"
}

func TestRefusedPipelines(t *testing.T) {
	tests := []struct{ pipeline, want string }{
		{`steps: [{command: a, shell: bash}]`, "`shell` is not a valid property on the `command` step. Please check the documentation to get a full list of supported properties."},
		{`steps: [{command: a, agent: x}]`, "`agent` is not a valid property on the `command` step, perhaps you meant `agents`?"},
		{`steps: [{wait: ~, env: {}}]`, "`env` is not a valid property on the `wait` step."},
		{`steps: [{group: g, env: {}, steps: [{command: a}]}]`, "`env` is not a valid property on a step group."},
		{`steps: [{group: g}]`, "The `steps` property is required for a group"},
		{`steps: [{group: g, steps: [{group: h, steps: [{command: a}]}]}]`, "a group can't hold a group"},
		{`steps: [{command: a, depends_on: [{step: b, allow_dependency_failure: true}]}, {command: b, key: b}]`, "`allow_dependency_failure` is not a valid property on the `depends_on` configuration"},
		{`steps: [{command: a, if: build.brunch == "x"}]`, "`build.brunch` is not a variable"},
		{`steps: [{command: a, if: "build.branch =="}]`, "if: build.branch =="},
		{`steps: [{command: a, if: build.pull_request != null}]`, "`build.pull_request` is not a variable"},
		{`steps: [{command: a, if: "true", branches: main}]`, "`if` and `branches`"},
		{`steps: [{command: a, concurrency: 1}]`, "concurrency_group_id"},
		{`steps: [{command: a, concurrency: 0, concurrency_group: g}]`, "concurrency is 0"},
		{`steps: [{command: a, concurrency: 1, concurrency_group: g, concurrency_method: fair}]`, "concurrency_method is fair"},
		{`steps: [{block: b, fields: [{text: t, key: "a b"}]}]`, "it may only contain alphanumeric characters"},
		{`steps: [{block: b, fields: [{select: s, key: s}]}]`, "has no options"},
		{`steps: [{block: b, fields: [{text: t, key: k, format: "("}]}]`, "missing closing"},
		{`steps: [{block: b, blocked_state: odd}]`, "blocked_state is odd"},
		{`steps: [{trigger: other, build: {branche: x}}]`, "perhaps you meant `branch`"},
		{`steps: [{command: a, soft_fail: maybe}]`, "soft_fail is maybe"},
		{`steps: [{command: a, skip: 5}]`, "skip is 5"},
		{`steps: [{command: a, key: k}, {command: b, key: k}]`, `The key "k" has already been used by another step in this build`},
		{`steps: [{command: a, key: a, depends_on: b}, {command: b, key: b, depends_on: a}]`, "loop"},
		{`steps: [{command: a, key: a, depends_on: a}]`, "loop"},
		{`steps: [{group: g, key: g, depends_on: a, steps: [{command: a, key: a}]}]`, "loop"},
		{`steps: [{command: a, depends_on: c}, wait, {command: c, key: c}]`, "loop"},
		{`steps: [{command: a, depends_on: c}, {block: go}, {command: c, key: c}]`, "loop"},
		{`steps: [{wait: ~, depends_on: c}, {command: c, key: c}]`, "loop"},
		{`steps: [{command: a, key: 018f0000-0000-7000-8000-000000000001}]`, "UUID"},
		{`steps: [{command: a, parallelism: 0}]`, "parallelism"},
		{`steps: [{command: a, parallelism: x}]`, "parallelism"},
		{`steps: [{command: a, timeout_in_minutes: -1}]`, "timeout_in_minutes"},
		{`steps: [{command: a, retry: {automatic: {limit: 11}}}]`, "limit"},
		{`steps: [{command: a, retry: {automatic: {exit_status: x}}}]`, "exit_status"},
		{`steps: [{command: a, retry: {sometimes: true}}]`, "sometimes"},
		{`steps: [{command: a, allow_dependency_failure: maybe}]`, "allow_dependency_failure is maybe"},
		{`steps: [{group: g, allow_dependency_failure: maybe, steps: [{command: a}]}]`, "allow_dependency_failure is maybe"},
		{`steps: [{wait: ~, continue_on_failure: 1}]`, "continue_on_failure is 1"},
		{`steps: [{nothing: here}]`, "Step is missing a type `{\"nothing\":\"here\"}`"},
		{`steps: []`, "no steps"},
		{`steps: 5`, "parsing"},
		{`{`, "parsing"},
	}
	sim := simulator.New(simulator.Config{})
	defer sim.Close()
	for _, tt := range tests {
		t.Run(tt.pipeline, func(t *testing.T) {
			_, err := sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte(tt.pipeline)})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("CreateBuild: %v, want it to name %q", err, tt.want)
			}
		})
	}
	if n := len(sim.Jobs()) + len(sim.Builds()); n != 0 {
		t.Errorf("refused pipelines left %d builds and jobs behind", n)
	}
}

// Buildkite fills in the label of a parallel step: https://buildkite.com/docs/tutorials/parallel-builds#parallel-jobs
func TestParallelLabels(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		var got []string
		for _, id := range w.build(`steps: [{label: "rspec %n (%N of %t) 100%", command: a, parallelism: 2}, {label: "%n", command: b}]`) {
			j, _ := w.sim.Job(id)
			got = append(got, j.Label)
			acquired := w.call("PUT", "jobs/"+id+"/acquire", w.session(), "", 200)
			if env, _ := acquired["env"].(map[string]any); env["BUILDKITE_LABEL"] != j.Label {
				t.Errorf("BUILDKITE_LABEL is %q, the label %q", env["BUILDKITE_LABEL"], j.Label)
			}
		}
		if diff := cmp.Diff([]string{"rspec 0 (1 of 2) 100%", "rspec 1 (2 of 2) 100%", "%n"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestManualRetry(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		ids := w.build(`steps: [{command: a 1}, wait, {command: b}, wait, {command: c, retry: {manual: {allowed: false, reason: never}}}]`)
		if got := strings.Join(play(w), " "); got != "a" {
			t.Fatalf("ran %q, want a", got)
		}
		if got := w.state(ids[1]); got != simulator.StateWaitingFailed {
			t.Errorf("b is %s, want waiting_failed", got)
		}
		retried, err := w.sim.Retry(ids[0])
		if err != nil {
			t.Fatal(err)
		}
		if retried.RetryOf != ids[0] || retried.RetriesCount != 1 || retried.RetryType != "manual" || retried.ID == ids[0] {
			t.Errorf("retry = %+v", retried)
		}
		if b, _ := w.sim.Build(1); b.Done() {
			t.Errorf("build is %s, want it open again", b.State)
		}
		if got := w.state(ids[1]); got != simulator.StateWaiting {
			t.Errorf("b is %s, want waiting", got)
		}
		if _, err := w.sim.Retry(ids[0]); err == nil {
			t.Error("a job was retried twice")
		}
		token := w.acquire(w.session(), retried.ID)
		w.call("PUT", "jobs/"+retried.ID+"/start", token, "", 200)
		w.call("PUT", "jobs/"+retried.ID+"/finish", token, `{"exit_status":"0"}`, 200)
		if got := strings.Join(play(w), " "); got != "b c" {
			t.Errorf("then ran %q, want b c", got)
		}
		if b, _ := w.sim.Build(1); b.State != simulator.BuildPassed {
			t.Errorf("build is %s, want passed", b.State)
		}
		if _, err := w.sim.Retry(ids[2]); err == nil || !strings.Contains(err.Error(), "never") {
			t.Errorf("Retry of a step that forbids it: %v", err)
		}
		for _, v := range w.sim.CheckSettled() {
			t.Errorf("violation: %s", v)
		}
	})
}

func TestCancelBuild(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		ids := w.build(`steps: [{command: a}, {command: b}, wait, {command: c}]`)
		token := w.acquire(w.session(), ids[0])
		if err := w.sim.CancelBuild(1); err != nil {
			t.Fatal(err)
		}
		want := []simulator.JobState{simulator.StateCanceling, simulator.StateCanceled, simulator.StateCanceled}
		var got []simulator.JobState
		for _, id := range ids {
			got = append(got, w.state(id))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
		if b, _ := w.sim.Build(1); b.State != simulator.BuildCanceling {
			t.Errorf("build is %s, want canceling", b.State)
		}
		// A start that was on its way is refused, and the state tells the agent why.
		w.call("PUT", "jobs/"+ids[0]+"/start", token, "", 422)
		if got := w.call("GET", "jobs/"+ids[0], token, "", 200)["state"]; got != "canceling" {
			t.Errorf("state = %v, want canceling", got)
		}
		w.call("PUT", "jobs/"+ids[0]+"/finish", token, `{"exit_status":"-1","signal":"SIGTERM","signal_reason":"cancel"}`, 200)
		if b, _ := w.sim.Build(1); b.State != simulator.BuildCanceled {
			t.Errorf("build is %s, want canceled", b.State)
		}
		if err := w.sim.CancelBuild(1); err == nil {
			t.Error("a canceled build was canceled again")
		}
		for _, v := range w.sim.CheckSettled() {
			t.Errorf("violation: %s", v)
		}
	})
}

func TestPipelineUpload(t *testing.T) {
	upload := func(w *wire, id, token, uuid, pipeline string, want int) map[string]any {
		w.Helper()
		return w.call("POST", "jobs/"+id+"/pipelines?async=true", token, `{"uuid":"`+uuid+`","pipeline":`+pipeline+`}`, want)
	}
	inBubble(t, simulator.Config{}, func(w *wire) {
		ids := w.build(`steps: [{command: a}, {command: x}, wait, {command: z}]`)
		token := w.acquire(w.session(), ids[0])
		w.call("PUT", "jobs/"+ids[0]+"/start", token, "", 200)
		upload(w, ids[0], token, "u1", `{"steps":[{"command":"b"},{"wait":null},{"command":"c"}]}`, 202)
		upload(w, ids[0], token, "u1", `{"steps":[{"command":"b"},{"wait":null},{"command":"c"}]}`, 202) // a retry
		upload(w, ids[0], token, "u2", `{"steps":[{"command":"d"}],"env":{"A":"B"}}`, 202)
		upload(w, ids[0], token, "u3", `{"steps":[{"command":"no","shell":"sh"}]}`, 202)
		for uuid, want := range map[string]string{"u1": "applied", "u2": "applied", "u3": "rejected"} {
			if got := w.call("GET", "jobs/"+ids[0]+"/pipelines/"+uuid, token, "", 200)["state"]; got != want {
				t.Errorf("upload %s is %v, want %s", uuid, got, want)
			}
		}
		w.call("GET", "jobs/"+ids[0]+"/pipelines/u4", token, "", 404)
		w.call("PUT", "jobs/"+ids[0]+"/finish", token, `{"exit_status":"0"}`, 200)
		if got := strings.Join(play(w), " "); got != "x b c d z" {
			t.Errorf("ran %q, want x b c d z", got)
		}
		b, _ := w.sim.Build(1)
		var order []string
		for _, id := range b.JobIDs {
			j, _ := w.sim.Job(id)
			order = append(order, j.Command)
		}
		if got := strings.Join(order, " "); got != "a b c d x z" {
			t.Errorf("steps stand as %q, want a b c d x z", got)
		}
		for _, v := range w.sim.CheckSettled() {
			t.Errorf("violation: %s", v)
		}
	})
	inBubble(t, simulator.Config{SyncUploads: true}, func(w *wire) {
		ids := w.build(`steps: [{command: a}, wait, {command: z}]`)
		token := w.acquire(w.session(), ids[0])
		upload(w, ids[0], token, "u1", `{"steps":[{"command":"no","shell":"sh"}]}`, 422)
		w.call("POST", "jobs/"+ids[0]+"/pipelines?async=true", token, `{"uuid":"u2","replace":true,"pipeline":{"steps":[{"command":"b"}]}}`, 200)
		if got := w.state(ids[1]); got != simulator.StateCanceled {
			t.Errorf("the replaced step's job is %s, want canceled", got)
		}
	})
}
