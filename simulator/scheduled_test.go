package simulator_test

import (
	"testing"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

// scheduled_at is when a job, or the job that uploaded it, was made, and not when it could
// run. The list is in that order, so that jobs of an older build come first.
func TestScheduledAt(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		const key = simulator.DefaultAgentToken
		w.call("POST", "stacks/register", key, `{"key":"s","type":"custom","queue_key":"default","metadata":{}}`, 201)
		began := time.Now()
		ids := w.build(`steps: [{command: a, key: a}, {command: b, depends_on: a}]`)
		time.Sleep(10 * time.Second)
		session := w.session()
		token := w.acquire(session, ids[0])
		w.call("PUT", "jobs/"+ids[0]+"/start", token, "", 200)
		time.Sleep(10 * time.Second)
		later := w.build(`steps: [{command: c}]`)
		w.call("POST", "jobs/"+ids[0]+"/pipelines", token, `{"uuid":"u","pipeline":{"steps":[{"command":"up"}]}}`, 200)
		w.call("PUT", "jobs/"+ids[0]+"/finish", token, `{"exit_status":"0"}`, 200)
		list := w.call("GET", "stacks/s/scheduled-jobs?queue_key=default&limit=2", key, "", 200)
		seen := map[any]bool{}
		for _, one := range list["jobs"].([]any) {
			j := one.(map[string]any)
			seen[j["id"]] = true
			if at, err := time.Parse(time.RFC3339, j["scheduled_at"].(string)); err != nil || !at.Equal(began) {
				t.Errorf("%v is of %s, %v; want %s", j["id"], at, err, began)
			}
		}
		if len(seen) != 2 || !seen[ids[1]] || seen[later[0]] {
			t.Errorf("first come %v, want the uploaded job and the dependent one, which are of the older build", seen)
		}
		cursor := list["page_info"].(map[string]any)["end_cursor"].(string)
		list = w.call("GET", "stacks/s/scheduled-jobs?queue_key=default&after="+cursor, key, "", 200)
		if jobs := list["jobs"].([]any); len(jobs) != 1 || jobs[0].(map[string]any)["id"] != later[0] {
			t.Errorf("then comes %v, want the later build's job", jobs)
		}
	})
}
