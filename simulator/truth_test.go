package simulator_test

import (
	"testing"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/simulator"
)

// An agent serves one queue, by its key. A job of another queue isn't found, and register
// refuses an unknown queue.
func TestAcquireLooksAtTheQueue(t *testing.T) {
	inBubble(t, simulator.Config{Queues: []string{"linux", "default"}}, func(w *wire) {
		ids := w.build(`steps: [{command: a, agents: {queue: linux}}, {command: b}]`)
		session := func(tag string) string {
			reg := w.call("POST", "register", simulator.DefaultAgentToken, `{"name":"a","meta_data":[`+tag+`]}`, 200)
			w.call("POST", "connect", reg["access_token"].(string), "", 200)
			return reg["access_token"].(string)
		}
		w.call("PUT", "jobs/"+ids[0]+"/acquire", session(`"queue=default"`), "", 404)
		w.call("PUT", "jobs/"+ids[0]+"/acquire", session(`"queue=linux"`), "", 200)
		w.call("PUT", "jobs/"+ids[1]+"/acquire", session(``), "", 200)
		w.call("POST", "register", simulator.DefaultAgentToken, `{"name":"a","meta_data":["queue=__default__"]}`, 422)
	})
}

// acquire of a limited job is 423 for a client that asks for 423, and 422 for others.
func TestLimitedJob(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		id := w.build(`steps: [{command: a}]`)[0]
		if err := w.sim.LimitJob(id); err != nil {
			t.Fatal(err)
		}
		session := w.session()
		w.call("PUT", "jobs/"+id+"/acquire", session, "", 422)
		if err := w.sim.ReleaseJob(id); err != nil {
			t.Fatal(err)
		}
		w.call("PUT", "jobs/"+id+"/acquire", session, "", 200)
		if v := w.sim.Violations(); len(v) != 0 {
			t.Errorf("violations: %v", v)
		}
	})
}

// Jobs come to the list, and leave it, late by Config.ListLag.
func TestListLag(t *testing.T) {
	inBubble(t, simulator.Config{ListLag: 10 * time.Second}, func(w *wire) {
		const key = simulator.DefaultAgentToken
		w.call("POST", "stacks/register", key, `{"key":"s","type":"custom","queue_key":"default","metadata":{}}`, 201)
		listed := func() int {
			return len(w.call("GET", "stacks/s/scheduled-jobs?queue_key=default", key, "", 200)["jobs"].([]any))
		}
		id := w.build(`steps: [{command: a}]`)[0]
		time.Sleep(9 * time.Second)
		if n := listed(); n != 0 {
			t.Errorf("%d jobs are listed 9 s after they came", n)
		}
		time.Sleep(2 * time.Second)
		if n := listed(); n != 1 {
			t.Errorf("%d jobs are listed 11 s after one came", n)
		}
		w.acquire(w.session(), id)
		time.Sleep(9 * time.Second)
		if n := listed(); n != 1 {
			t.Errorf("%d jobs are listed 9 s after one was taken, want it still", n)
		}
		time.Sleep(2 * time.Second)
		if n := listed(); n != 0 {
			t.Errorf("%d jobs are listed 11 s after one was taken", n)
		}
	})
}

// A reservation that is too short is refused; one without a time is not.
func TestReservationMin(t *testing.T) {
	inBubble(t, simulator.Config{Profile: simulator.Profile{ShortReservation: assumptions.ShortReservationRefused}}, func(w *wire) {
		const key = simulator.DefaultAgentToken
		w.call("POST", "stacks/register", key, `{"key":"s","type":"custom","queue_key":"default","metadata":{}}`, 201)
		id := w.build(`steps: [{command: a}]`)[0]
		w.call("PUT", "stacks/s/scheduled-jobs/batch-reserve", key, `{"job_uuids":["`+id+`"],"reservation_expiry_seconds":20}`, 422)
		w.call("PUT", "stacks/s/scheduled-jobs/batch-reserve", key, `{"job_uuids":["`+id+`"]}`, 200)
		if got := w.state(id); got != simulator.StateReserved {
			t.Errorf("the job is %s, want reserved", got)
		}
	})
}

// The documents can be read in two ways: "*" retries the job of a lost agent, or it doesn't.
// A rule for -1 does in both.
func TestStarAndLostJobs(t *testing.T) {
	for rule, want := range map[string][2]bool{"true": {true, false}, `{exit_status: "*"}`: {true, false}, "{exit_status: -1}": {true, true}} {
		for i, star := range []assumptions.StarLostAgent{assumptions.StarLostAgentMatches, assumptions.StarLostAgentSpares} {
			inBubble(t, simulator.Config{Profile: simulator.Profile{StarLostAgent: star}}, func(w *wire) {
				id, session := w.build(`steps: [{command: a, retry: {automatic: ` + rule + `}}]`)[0], w.session()
				w.call("PUT", "jobs/"+id+"/start", w.acquire(session, id), "", 200)
				if err := w.sim.LoseAgent(w.sim.Agents()[0].ID); err != nil {
					t.Fatal(err)
				}
				if j, _ := w.sim.Job(id); (j.RetriedBy != "") != want[i] {
					t.Errorf("%s, star-lost-agent %s: retried by %q, want a retry: %t", rule, star, j.RetriedBy, want[i])
				}
			})
		}
	}
}
