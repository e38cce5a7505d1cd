package scheduler

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/stacks"
)

const (
	upkeepEvery = time.Second
	// coalesce lets the questions of one moment share a call.
	coalesce = 50 * time.Millisecond
	// stateEvery is how often the state of a job whose pod is still to come is
	// asked: a cancelled one is gone within five seconds.
	stateEvery = 3 * time.Second
	// heldEvery is the same for a job that an agent has while our pod runs, most
	// likely the one in it: should the agent fall silent, Buildkite ends the job,
	// and nothing else would tell us of the pod that goes on.
	heldEvery  = time.Minute
	sweepEvery = time.Minute
)

// keepReserved renews reservations until ctx ends. It is a loop of its own: states
// that aren't told must not let them lapse.
func (q *queue) keepReserved(ctx context.Context) {
	for pause(ctx, q.scanEvery(), q.lapsed) {
		if q.standing.now().looksAfter() {
			q.renew(ctx)
		}
	}
}

// upkeep asks for states until ctx ends, as long as Buildkite lets it.
func (q *queue) upkeep(ctx context.Context) {
	var measured, swept time.Time
	for pause(ctx, q.scanEvery(), q.look) {
		if !jitter.Sleep(ctx, coalesce) {
			return
		}
		if time.Since(measured) >= q.measureEvery() {
			measured = time.Now()
			q.measureSlots()
			q.measurePending()
		}
		if q.standing.now().looksAfter() {
			q.askStates(ctx)
			if time.Since(swept) >= sweepEvery {
				swept = time.Now()
				q.sweep()
			}
		}
	}
}

// scanEvery is how often all jobs are gone through for what is due, unless something
// says that it is: less often where there are thousands. The most of it leaves room to
// renew what has renewShort left, and to delete a cancelled job's pod within five
// seconds.
func (q *queue) scanEvery() time.Duration {
	return min(max(upkeepEvery, time.Duration(q.claims.remembered())*upkeepEvery/2500), 4*upkeepEvery)
}

// measureEvery is how often the slots are counted for the metrics: less often where
// there are thousands of kjobs and of pods to go through.
func (q *queue) measureEvery() time.Duration {
	return max(upkeepEvery, time.Duration(q.claims.remembered()/500)*time.Second)
}

func (q *queue) askStates(ctx context.Context) {
	pending := stateEvery
	if q.kubernetesAway() {
		pending = outageStates
	}
	for some := range slices.Chunk(q.claims.toAsk(pending), stacks.MaxBatch) {
		cctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		sent := time.Now()
		states, err := q.client.States(cctx, some)
		cancel()
		if err != nil { // the rest is asked again
			q.answered(slices.Collect(maps.Keys(states)), states, sent)
			if ctx.Err() == nil && !q.refusal(ctx, err) {
				q.log.Debug("states of jobs not read", "err", err)
			}
			return
		}
		q.answered(some, states, sent)
	}
}

// answered takes in the answer to a question that was sent at a time.
func (q *queue) answered(ids []contract.JobID, states map[contract.JobID]stacks.State, sent time.Time) {
	changed, through := q.claims.learn(ids, states, sent)
	if through {
		q.standing.tokenAccepted()
	}
	for _, id := range changed {
		q.work.Add(id)
	}
}

// sweep forgets what has left no trace for an hour. A page is kept as long as its job
// is remembered: it would be told the same again.
func (q *queue) sweep() {
	q.claims.sweep()
	q.pages.forget(q.claims.unknown(q.pages.idle()))
}
