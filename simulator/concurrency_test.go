package simulator_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/simulator"
)

// states are the states of jobs, in order.
func (w *wire) states(ids []string) string {
	w.Helper()
	var out []string
	for _, id := range ids {
		out = append(out, string(w.state(id)))
	}
	return strings.Join(out, " ")
}

// run takes a job from acquire to its end.
func (w *wire) run(id, exit string) {
	w.Helper()
	token := w.acquire(w.session(), id)
	w.call("PUT", "jobs/"+id+"/start", token, "", 200)
	w.call("PUT", "jobs/"+id+"/finish", token, `{"exit_status":"`+exit+`"}`, 200)
}

func (w *wire) wantStates(ids []string, want string) {
	w.Helper()
	if got := w.states(ids); got != want {
		w.Errorf("states are\n%s, want\n%s", got, want)
	}
}

// wantLocked tries to acquire a job, as the agent does that waits for it.
func (w *wire) wantLocked(id string) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), http.MethodPut, "http://sim/v3/jobs/"+id+"/acquire", nil)
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+w.session())
	req.Header.Set("X-Buildkite-Lock-Acquire-Job", "1")
	resp, err := w.client.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	if resp.StatusCode != http.StatusLocked {
		w.Errorf("acquiring %s is %d, want 423", id, resp.StatusCode)
	}
}

func (w *wire) wantNoViolations() {
	w.Helper()
	for _, v := range w.sim.CheckSettled() {
		w.Errorf("violation: %s", v)
	}
}

func TestConcurrencyIsOrderedAcrossBuilds(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		one := w.build(`steps: [{command: a}, wait, {command: b, concurrency: 1, concurrency_group: g}]`)
		two := w.build(`steps: [{command: c, concurrency: 1, concurrency_group: g}]`)
		other := w.build(`steps: [{command: d, concurrency: 1, concurrency_group: h}]`)
		// b is before c, though it can't run yet.
		w.wantStates(append(one, two[0], other[0]), "scheduled waiting limited scheduled")
		w.wantLocked(two[0])
		w.run(one[0], "0")
		w.wantStates(append(one, two[0]), "finished scheduled limited")
		w.run(one[1], "1")
		w.wantStates(append(one, two[0]), "finished finished scheduled")
		w.run(two[0], "0")
		w.wantNoViolations()

		var events []string
		for _, e := range w.sim.Ledger() {
			if e.JobID == two[0] {
				events = append(events, string(e.To))
			}
		}
		if got := strings.Join(events, " "); got != "waiting limiting limited scheduled accepted running finished" {
			t.Errorf("c went through %s", got)
		}
	})
}

func TestConcurrencyEager(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		one := w.build(`steps: [{command: a}, wait, {command: b, concurrency: 1, concurrency_group: g, concurrency_method: eager}]`)
		two := w.build(`steps: [{command: c, concurrency: 1, concurrency_group: g, concurrency_method: eager, parallelism: 2}, {command: d, concurrency: 1, concurrency_group: g, concurrency_method: eager, priority: 1}]`)
		w.wantStates(append(one, two...), "scheduled waiting scheduled limited limited")
		w.run(one[0], "0")
		w.wantStates(append(one, two...), "finished limited scheduled limited limited")
		w.run(two[0], "0") // d has the highest priority, then b is the oldest
		w.wantStates(append(one, two...), "finished limited finished limited scheduled")
		w.run(two[2], "0")
		w.wantStates(append(one, two...), "finished scheduled finished limited finished")
		w.run(one[1], "0")
		w.run(two[1], "0")
		w.wantNoViolations()
	})
}

func TestConcurrencyOfWhatEndsOtherwise(t *testing.T) {
	const step = `{command: x, concurrency: 1, concurrency_group: g, retry: {automatic: {limit: 1}}}`
	inBubble(t, simulator.Config{}, func(w *wire) {
		ids := append(w.build(`steps: [`+step+`]`), w.build(`steps: [` + step + `]`)[0], w.build(`steps: [` + step + `]`)[0])
		w.run(ids[0], "1") // its retry keeps its place
		retried := w.sim.Jobs()[3]
		w.wantStates(append(ids, retried.ID), "finished limited limited scheduled")
		if err := w.sim.CancelJob(ids[1]); err != nil {
			t.Fatal(err)
		}
		w.run(retried.ID, "0")
		w.wantStates(ids, "finished canceled scheduled")
		if err := w.sim.CancelBuild(3); err != nil {
			t.Fatal(err)
		}
		w.wantStates(ids, "finished canceled canceled")
		w.wantNoViolations()
	})
}

// A job behind a block has no place in its group; it gets the place of its upload later.
func TestConcurrencyBehindABlock(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		one := w.build(`steps: [{block: go}, {command: a, concurrency: 1, concurrency_group: g}]`)
		two := w.build(`steps: [{command: b, concurrency: 1, concurrency_group: g}]`)
		three := w.build(`steps: [{command: c, concurrency: 1, concurrency_group: g}]`)
		w.wantStates([]string{one[0], two[0], three[0]}, "blocked scheduled limited")
		w.wantLocked(one[0])
		b, _ := w.sim.Build(1)
		if err := w.sim.Unblock(b.Steps[0].ID, nil); err != nil {
			t.Fatal(err)
		}
		w.wantStates([]string{one[0], two[0], three[0]}, "limited scheduled limited")
		w.run(two[0], "0")
		w.wantStates([]string{one[0], three[0]}, "scheduled limited")
		w.wantNoViolations()
	})
}
