package simulator_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

// TestAcceptanceExpires: a job that isn't started in time is offered again, and the agent that
// had it can't start it any more.
func TestAcceptanceExpires(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		ids := w.build(`steps: [{command: a}]`)
		late, next := w.session(), w.session()
		old := w.acquire(late, ids[0])
		time.Sleep(29 * time.Second)
		w.call("GET", "jobs/"+ids[0], old, "", 200)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := w.state(ids[0]); got != simulator.StateScheduled {
			t.Fatalf("the job is %s, want scheduled", got)
		}
		w.call("GET", "jobs/"+ids[0], old, "", 401)
		token := w.acquire(next, ids[0])
		w.call("PUT", "jobs/"+ids[0]+"/start", token, "", 200)
		if v := w.sim.Violations(); len(v) != 0 {
			t.Errorf("violations = %v, want none", v)
		}
		w.call("PUT", "jobs/"+ids[0]+"/start", old, "", 401)
		w.call("PUT", "jobs/"+ids[0]+"/finish", old, `{"exit_status":"-1","signal_reason":"process_run_error"}`, 401)
		w.call("POST", "disconnect", late, "", 200)
		if got := w.state(ids[0]); got != simulator.StateRunning {
			t.Errorf("after the first agent's end the job is %s, want running", got)
		}
		if v := w.sim.Violations(); len(v) != 1 || v[0].Kind != simulator.StartedLate {
			t.Errorf("violations = %v, want the late start", v)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := w.state(ids[0]); got != simulator.StateRunning {
			t.Errorf("a minute after its start the job is %s, want running", got)
		}
	})
}
