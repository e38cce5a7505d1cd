package scheduler

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// side is the trouble in which the answers to a question differ for a scheduler.
type side struct {
	queue string // settings of the queue, as YAML
	step  string // attributes of the step, as in a YAML flow
	runs  func(w *world, p *pod)
	act   func(w *world, id string)
	quiet time.Duration // before the job is scheduled

	// want is, by answer, the end of the job and of its retries: "exit status after kjobs".
	want map[string]string
}

func same(what string, answers ...string) map[string]string {
	want := map[string]string{}
	for _, a := range answers {
		want[a] = what
	}
	return want
}

// A scheduler meets each answer to a question about a stack, a list or a retry rule, in the
// trouble in which they differ: no job runs twice, and each comes to an end. Those about an
// agent are met by the real one in test/runner, TestAssumptions.
func TestSidesInTrouble(t *testing.T) {
	for question, s := range sidesInTrouble {
		for answer, want := range s.want {
			t.Run(question+"="+answer, func(t *testing.T) {
				conf := simulator.Config{Profile: assumptions.Shipped().With(question, answer)}
				inWorld(t, conf, func(w *world) {
					w.runs = s.runs
					r := w.start(s.queue)
					time.Sleep(s.quiet)
					id := w.buildOf("steps: [{command: make, " + s.step + "}]")[0]
					if s.act != nil {
						s.act(w, id)
					}
					w.await("ended", 10*time.Minute, func() bool { return w.job(w.last(id)).State.Terminal() })
					time.Sleep(time.Minute)
					if got := w.ends(id); got != want {
						t.Errorf("it ended with %s; want %s", got, want)
					}
					w.sim.ClearFaults()
					r.end(w)
				})
			})
		}
	}
}

// last is the last one of a job and its retries.
func (w *world) last(id string) string {
	for next := w.job(id).RetriedBy; next != ""; next = w.job(id).RetriedBy {
		id = next
	}
	return id
}

func (w *world) ends(id string) string {
	var out []string
	for ; id != ""; id = w.job(id).RetriedBy {
		out = append(out, fmt.Sprintf("%s after %d", w.job(id).ExitStatus, w.kjobs(id)))
	}
	return strings.Join(out, ", ")
}

// firstPod has the first job's first pod do one thing, and all others run.
func firstPod(does func(w *world, p *pod)) func(w *world, p *pod) {
	return upTo(1, does)
}

// upTo has the first jobs' first pods do one thing, and all others run.
func upTo(jobs int, does func(w *world, p *pod)) func(w *world, p *pod) {
	return func(w *world, p *pod) {
		for i, j := range w.sim.Jobs() {
			if i < jobs && j.ID == p.id.String() && p.attempt == 1 {
				does(w, p)
				return
			}
		}
		ran(w, p)
	}
}

// dies is a pod that is lost with its job, before the start or after it.
func dies(started bool) func(w *world, p *pod) {
	return func(w *world, p *pod) {
		p.start()
		take := w.acquireOnly
		if started {
			take = w.acquire
		}
		if _, err := take(p.id); err != nil {
			w.Error(err)
		}
		p.end(137, "OOMKilled", nil)
	}
}

// leaves is a runner that has the job, and can't know that it has.
func leaves(w *world, p *pod) {
	p.start()
	w.sim.AddFault(simulator.Fault{Endpoint: "acquire", Reset: "after", Times: 1})
	if _, err := w.acquireOnly(p.id); err == nil { // it disconnects
		w.Error("the reply to acquire isn't lost")
	}
	p.end(contract.ExitRejected, "Error", &contract.Message{Outcome: contract.OutcomeAmbiguous, Reason: "422"})
}

const soonPending = "  pending-timeout: 30s\n"

var sidesInTrouble = map[string]side{
	"unstarted-job": {
		runs: firstPod(dies(false)),
		want: map[string]string{"offered-again": "0 after 2", "finished": "-1 after 1", "kept": "-1 after 1"},
	},
	"disconnect-accepted": {
		runs: firstPod(leaves),
		want: map[string]string{"ends-job": "-1 after 1", "lost-later": "0 after 2", "offered-again": "0 after 2"},
	},
	"stack-finish-again": {
		queue: soonPending, runs: pending,
		act: func(w *world, _ string) {
			w.sim.AddFault(simulator.Fault{Endpoint: "stacks_finish", Reset: "after", Times: 1})
		},
		want: same("-1 after 1", "refused", "taken"),
	},
	"stack-finish-other": {
		queue: soonPending, runs: pending, act: takenByAnotherStack,
		want: same("0 after 1", "taken", "refused"),
	},
	"lost-stack": {
		act: func(w *world, _ string) {
			w.sim.AddFault(simulator.Fault{Endpoint: "stacks/*", Status: 503, Until: 7 * time.Minute})
		},
		want: same("0 after 1", "answered", "not-found"),
	},
	"any-value-rule": {
		queue: "  tags: [gpu=t4]\n", step: `agents: ["queue=default", "gpu="]`,
		want: same("0 after 1", "as-written", "star"),
	},
	"star-lost-agent": {
		step: `retry: {automatic: [{exit_status: "*", limit: 1}]}`, runs: firstPod(dies(true)),
		want: map[string]string{"matches": "-1 after 1, 0 after 1", "spares": "-1 after 1"},
	},
	"star-stack-finish": {
		queue: soonPending, step: `retry: {automatic: true}`, runs: firstPod(pending),
		want: map[string]string{"matches": "-1 after 1, 0 after 1", "spares": "-1 after 1"},
	},
	"exhausted-rule": {
		queue: soonPending, step: `retry: {automatic: [{exit_status: -1, limit: 1}, {signal_reason: stack_error, limit: 1}]}`, runs: upTo(2, pending),
		want: map[string]string{"stops": "-1 after 1, -1 after 1", "passes": "-1 after 1, -1 after 1, 0 after 1"},
	},
	"refused-calls":     {act: limited, quiet: time.Second, want: same("0 after 1", "free", "counted")},
	"limit-retry-after": {act: limited, quiet: time.Second, want: same("0 after 1", "none", "sent")},
}

// takenByAnotherStack has another stack take the job from our pod that waits, and an agent of
// its own run it after our pod's time.
func takenByAnotherStack(w *world, id string) {
	w.await("a kjob", time.Minute, func() bool { return w.kjobs(id) == 1 })
	const token = simulator.DefaultAgentToken
	w.call("POST", "stacks/register", token, map[string]any{"key": "other", "type": "custom", "queue_key": "default", "metadata": map[string]string{}})
	if err := w.sim.LapseReservation(id); err != nil {
		w.Fatal(err)
	}
	if code, _ := w.call("PUT", "stacks/other/scheduled-jobs/batch-reserve", token, map[string]any{"job_uuids": []string{id}, "reservation_expiry_seconds": 900}); code != 200 {
		w.Fatalf("the other stack's reservation: %d", code)
	}
	time.Sleep(2 * time.Minute)
	job, err := contract.ParseJobID(id)
	if err != nil {
		w.Fatal(err)
	}
	a, err := w.acquire(job)
	if err != nil {
		w.Fatalf("the job isn't left to the other stack: %v", err)
	}
	a.finish(0)
}

// limited has somebody else use up the limits of our stack, while jobs come.
func limited(w *world, _ string) {
	ids := w.build(30)
	path := "stacks/" + w.sim.Stacks()[0].Key + "/"
	refused := false
	for n := 1; n <= 3000 || !refused && n <= 12_000; n++ { // ours may see for a while how little is left, and wait
		w.call("GET", path+"scheduled-jobs?queue_key=default", simulator.DefaultAgentToken, nil)
		w.call("PUT", path+"scheduled-jobs/batch-reserve", simulator.DefaultAgentToken, map[string]any{"job_uuids": []string{}})
		time.Sleep(10 * time.Millisecond)
		refused = refused || n%50 == 0 && slices.ContainsFunc(w.sim.Requests(), func(r simulator.Request) bool {
			return r.Status == http.StatusTooManyRequests && strings.HasPrefix(r.Header["User-Agent"], "onejob")
		})
	}
	w.await("all have run", 5*time.Minute, w.finished(31))
	for _, j := range ids {
		if got := w.ends(j.ID); got != "0 after 1" {
			w.Errorf("a job ended with %s", got)
		}
	}
	if !refused {
		w.Error("no call was refused")
	}
}
