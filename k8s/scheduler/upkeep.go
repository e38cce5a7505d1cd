package scheduler

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/cache"
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
	heldEvery = time.Minute
	// renewLong is the reservation of a job whose kjob exists; with less than
	// renewLongLeft of it, it is renewed. If we die and somebody deletes the
	// kjob meanwhile, this is what it costs.
	renewLong     = 60 * time.Second
	renewLongLeft = 25 * time.Second
	// renewShort is what a first reservation has left when it is renewed.
	renewShort = 9 * time.Second
	memoLife   = time.Hour
	sweepEvery = time.Minute
)

// keepReserved renews reservations until ctx ends. It is a loop of its own: states
// that aren't told must not let them lapse.
func (q *queue) keepReserved(ctx context.Context) {
	for pause(ctx, upkeepEvery, q.lapsed) {
		if err := q.stopped(); err == nil || errors.Is(err, errNoCreate) {
			q.renew(ctx)
		}
	}
}

// upkeep asks for states until ctx ends, as long as Buildkite lets it.
func (q *queue) upkeep(ctx context.Context) {
	var measured, swept time.Time
	for pause(ctx, upkeepEvery, q.look) {
		if !jitter.Sleep(ctx, coalesce) {
			return
		}
		if time.Since(measured) >= q.measureEvery() {
			measured = time.Now()
			q.measureSlots()
		}
		if err := q.stopped(); err != nil && !errors.Is(err, errNoCreate) {
			continue
		}
		q.askStates(ctx)
		if time.Since(swept) >= sweepEvery {
			swept = time.Now()
			q.sweep()
		}
	}
}

// measureEvery is how often the slots are counted for the metrics: less often where
// there are thousands of kjobs and of pods to go through.
func (q *queue) measureEvery() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return max(upkeepEvery, time.Duration(len(q.states)/500)*time.Second)
}

// having are the jobs that have such a kjob. Callers hold q.mu.
func (q *queue) having(such func(*cache.Job) bool) []contract.JobID {
	var ids []contract.JobID
	for _, k := range q.store.KjobsIn(q.label) {
		if id := k.ID; id != "" && such(k) {
			q.state(id)
			ids = append(ids, id)
		}
	}
	return ids
}

func (q *queue) askStates(ctx context.Context) {
	now := time.Now()
	ids := map[contract.JobID]bool{}
	waits := stateEvery
	if q.kubernetesAway() {
		waits = outageStates
	}
	q.mu.Lock()
	for id, m := range q.states {
		if m.ask {
			ids[id] = true
		}
	}
	for _, id := range q.having(func(k *cache.Job) bool { return !k.Finished }) {
		m, every := q.states[id], waits
		if m.State().Held() && m.PodStarted() {
			every = heldEvery
		}
		if now.Sub(m.StateAt()) >= every {
			ids[id] = true
		}
	}
	q.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	list := make([]contract.JobID, 0, len(ids))
	for id := range ids {
		list = append(list, id)
	}
	for some := range slices.Chunk(list, stacks.MaxBatch) {
		cctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		sent := time.Now()
		states, err := q.client.States(cctx, some)
		cancel()
		if err != nil { // asked again
			if ctx.Err() == nil && !q.refusal(ctx, err) {
				q.log.Debug("asking for states", "err", err)
			}
			return
		}
		q.answered(some, states, sent)
	}
}

// answered takes in the answer to a question that was sent at a time.
func (q *queue) answered(ids []contract.JobID, states map[contract.JobID]stacks.State, sent time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		m, state := q.state(id), states[id]
		was := m.State()
		if !m.Learn(state, sent, time.Now()) {
			continue // something newer has been learned meanwhile
		}
		if state.Held() && !was.Held() && q.gotThrough(id) {
			q.refusals = 0
		}
		changed := state != was || m.ask
		m.ask = false
		if changed {
			q.work.Add(id)
		}
	}
}

// expiring are up to most jobs that should stay ours and whose reservation has
// less than left to go, the most urgent first. Callers don't hold q.mu.
func (q *queue) expiring(left time.Duration, most int) []contract.JobID {
	q.mu.Lock()
	defer q.mu.Unlock()
	soon := time.Now().Add(left)
	var ids []contract.JobID
	for _, id := range q.having(q.holdsSlot) {
		if m := q.states[id]; m.State().Offered() && m.reservedUntil.Before(soon) {
			ids = append(ids, id)
		}
	}
	for id := range q.claims {
		if m := q.state(id); m.reservedUntil.Before(soon) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b contract.JobID) int {
		return cmp.Or(q.states[a].reservedUntil.Compare(q.states[b].reservedUntil), cmp.Compare(a, b))
	})
	return ids[:min(len(ids), most)]
}

// renew extends what must not lapse: first reservations that are about to, and
// with them all that would be due soon.
func (q *queue) renew(ctx context.Context) {
	const all = 1 << 30
	ids := q.expiring(renewShort, all)
	if len(ids) == 0 {
		return
	}
	ids = q.expiring(renewLongLeft, all)
	q.mu.Lock()
	var short, long []contract.JobID
	for _, id := range ids {
		if q.claims[id] != nil {
			short = append(short, id) // nothing but this process stands behind it
		} else {
			long = append(long, id)
		}
	}
	q.mu.Unlock()
	for _, batch := range []struct {
		ids []contract.JobID
		d   time.Duration
	}{{short, reserveFor}, {long, renewLong}} {
		if len(batch.ids) == 0 {
			continue
		}
		cctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		began := time.Now()
		got, err := q.client.Reserve(cctx, batch.ids, batch.d)
		cancel()
		held := q.heldUntil(got, began, batch.d)
		if err != nil {
			if ctx.Err() == nil && !q.refusal(ctx, err) {
				q.log.Debug("renewing reservations", "err", err)
			}
			continue
		}
		q.mu.Lock()
		for _, id := range batch.ids {
			if held[id] {
				continue
			}
			q.state(id).ask = true // taken, cancelled or over
			if c := q.claims[id]; c != nil && !c.sent {
				delete(q.claims, id)
			}
		}
		q.mu.Unlock()
	}
}

// sweep forgets what has left no trace for an hour.
func (q *queue) sweep() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, m := range q.states {
		if time.Since(m.touched) > memoLife && q.claims[id] == nil && len(q.store.KjobsOf(id)) == 0 {
			delete(q.states, id)
			delete(q.retries, id)
		}
	}
}

// know records a state that was learned outside of askStates.
func (q *queue) know(id contract.JobID, state stacks.State, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.state(id).Learn(state, at, time.Now())
}
