package scheduler

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

const (
	// renewLong is the reservation of a job whose kjob exists; it is renewed when less
	// than renewLongLeft is left. If we die and somebody deletes the kjob, the job
	// waits for this long.
	renewLong     = 60 * time.Second
	renewLongLeft = 25 * time.Second
	// renewShort is how much of a first reservation is left when it is renewed.
	renewShort = 9 * time.Second
)

// reserve asks Buildkite for reservations, and notes which it has confirmed.
func (q *queue) reserve(ctx context.Context, ids []contract.JobID, d time.Duration) (held map[contract.JobID]bool, err error) {
	began := time.Now()
	got, err := q.client.Reserve(ctx, ids, d)
	return q.claims.reserved(got, began, d), err
}

// tryReserve is reserve for one job, and doesn't wait: if no request may be sent now, it
// returns when to come again.
func (q *queue) tryReserve(ctx context.Context, id contract.JobID) (held bool, again time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, reserveWait)
	defer cancel()
	began := time.Now()
	got, again, err := q.client.TryReserve(ctx, id, reserveFor)
	return q.claims.reserved(got, began, reserveFor)[id], again, err
}

// renew extends first reservations that are about to expire, and in the same call all
// that would be due soon.
func (q *queue) renew(ctx context.Context) {
	const all = 1 << 30
	if len(q.claims.expiring(renewShort, all)) == 0 {
		return
	}
	short, long := q.claims.byBacking(q.claims.expiring(renewLongLeft, all))
	q.extend(ctx, short, reserveFor)
	q.extend(ctx, long, renewLong)
}

// extend renews reservations of one length.
func (q *queue) extend(ctx context.Context, ids []contract.JobID, d time.Duration) {
	if len(ids) == 0 {
		return
	}
	cctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	held, err := q.reserve(cctx, ids, d)
	switch {
	case err == nil:
		if q.claims.notRenewed(ids, held) {
			signal(q.look)
		}
	case ctx.Err() != nil || q.refusal(ctx, err):
	default:
		q.log.Debug("renewing reservations", "err", err)
	}
}

// reserved records reservations that Buildkite has confirmed, for a request that was
// sent at the given time; a state that was read later is newer.
func (cs *claims) reserved(got []contract.JobID, sent time.Time, d time.Duration) map[contract.JobID]bool {
	held := make(map[contract.JobID]bool, len(got))
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, id := range got {
		held[id] = true
		m := cs.state(id)
		m.reservedUntil = sent.Add(d)
		m.Reserved(sent, time.Now())
	}
	return held
}

// letGo reports whether a job is offered, to us or to others, and our reservation is over.
func (cs *claims) letGo(id contract.JobID) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	m := cs.state(id)
	return m.State().Offered() && !m.reservedUntil.After(time.Now())
}

// expiring are up to most jobs that should stay ours and whose reservation has
// less than left to go, the most urgent first.
func (cs *claims) expiring(left time.Duration, most int) []contract.JobID {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	soon := time.Now().Add(left)
	var ids []contract.JobID
	for k, m := range cs.having() {
		if m.State().Offered() && m.reservedUntil.Before(soon) && cs.holdsSlotAs(k, m) {
			ids = append(ids, k.ID)
		}
	}
	for id := range cs.open {
		if m := cs.state(id); m.reservedUntil.Before(soon) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b contract.JobID) int {
		return cmp.Or(cs.jobs[a].reservedUntil.Compare(cs.jobs[b].reservedUntil), cmp.Compare(a, b))
	})
	return ids[:min(len(ids), most)]
}

// byBacking separates jobs that have no kjob yet from those that have one.
func (cs *claims) byBacking(ids []contract.JobID) (short, long []contract.JobID) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, id := range ids {
		if cs.open[id] != nil {
			short = append(short, id)
		} else {
			long = append(long, id)
		}
	}
	return short, long
}

// notRenewed is for a renewal in which Buildkite left out some jobs. Those are taken,
// cancelled or over: their state is to be read, and no create is sent for them.
func (cs *claims) notRenewed(ids []contract.JobID, held map[contract.JobID]bool) (ask bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, id := range ids {
		if held[id] {
			continue
		}
		cs.state(id).ask, ask = true, true
		if c := cs.open[id]; c != nil && !c.sent {
			delete(cs.open, id)
		}
	}
	return ask
}
