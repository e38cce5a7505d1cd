package scheduler

import (
	"math"
	"slices"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
)

// free counts the slots: max-in-flight less the unfinished kjobs that the
// cache shows, the pods that no kjob stands for, and the claims whose kjob the
// cache doesn't show yet. Nothing is kept from one count to the next, so there
// is nothing that could leak.
func (q *queue) free(set *settings) int {
	free := math.MaxInt
	if most := *set.MaxInFlight; most > 0 {
		free = most - q.claims.held()
	}
	// Claims are made by the poll loop alone, which asks here, so that none comes
	// between the answer and the count.
	now := q.standing.now()
	if now.probes {
		free = min(free, 1-q.claims.probing())
	}
	if now.namespaceRefuses() || now.templateRefused() || q.kubernetesAway() {
		free = min(free, 1-q.claims.count())
	}
	return max(0, free)
}

// measureSlots puts the count into the metrics.
func (q *queue) measureSlots() {
	q.s.metrics.slots.WithLabelValues(q.name, "held").Set(float64(q.claims.held()))
	q.s.metrics.slots.WithLabelValues(q.name, "max").Set(float64(*q.set.Load().MaxInFlight))
}

// held counts the claims first: one whose kjob comes into the cache meanwhile
// is counted twice, and not left out.
func (cs *claims) held() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	held := cs.unseen(cs.open)
	if cs.before != nil {
		held += cs.unseenBefore()
	}
	for _, k := range cs.store.KjobsIn(cs.label) {
		if cs.holdsSlot(k) {
			held++
		}
	}
	for _, p := range cs.store.PodsIn(cs.label) {
		if p.ID != "" && p.Lives() && !cs.stoodFor(p) {
			held++
		}
	}
	return held
}

// unseen counts those claims whose kjob the cache doesn't show. Callers hold the guard.
func (cs *claims) unseen(open map[contract.JobID]*claim) (n int) {
	for id, c := range open {
		if cs.store.Kjob(contract.KjobName(id, c.attempt)) == nil {
			n++
		}
	}
	return n
}

// unseenBefore counts those of the queue before, and lets go of them when there are no
// claims left. Callers hold the guard.
func (cs *claims) unseenBefore() int {
	b := cs.before
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.open) == 0 {
		cs.before = nil
	}
	return cs.unseen(b.open)
}

// stoodFor: the pod's kjob is there. By its UID: an orphan's kjob may have been
// followed by one of its name.
func (cs *claims) stoodFor(p *cache.Pod) bool {
	k := cs.store.Kjob(p.Kjob)
	return k != nil && k.UID == p.KjobUID
}

// live: a kjob of the job holds a slot.
func (cs *claims) live(id contract.JobID) bool {
	ks := cs.store.KjobsOf(id)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return slices.ContainsFunc(ks, cs.holdsSlot)
}

// liveKjobs counts the kjobs that hold a slot.
func (cs *claims) liveKjobs() (n int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, k := range cs.store.KjobsIn(cs.label) {
		if cs.holdsSlot(k) {
			n++
		}
	}
	return n
}

// holdsSlot: unfinished, and its pod is neither lost nor lingers. Callers hold the
// guard.
func (cs *claims) holdsSlot(k *cache.Job) bool { return cs.holdsSlotAs(k, cs.jobs[k.ID]) }

// holdsSlotAs is that of a job of which so much is remembered, nil for nothing.
func (cs *claims) holdsSlotAs(k *cache.Job, m *jobState) bool {
	switch {
	case k.ID == "" || k.Finished: // a warm placeholder, or done
		return false
	case m == nil:
		return true
	case m.Lost(k.UID):
		return false
	default:
		return k.Attempt >= m.Attempts() || !cs.outlasted(k)
	}
}

// outlasted: its pod is over, and another attempt was made after it, though the
// Job controller doesn't end it.
func (cs *claims) outlasted(k *cache.Job) bool {
	last := cs.lastThere(k.ID)
	followed := last != nil && last.Attempt > k.Attempt
	return k.PodSeen && followed &&
		!slices.ContainsFunc(cs.store.PodsOf(k.ID), func(p *cache.Pod) bool { return p.KjobUID == k.UID && p.Lives() })
}

// probing counts the probes that may be about to ask: see canary.go.
func (cs *claims) probing() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	n := len(cs.open)
	began := time.Now().Add(-probeFor)
	for _, k := range cs.store.KjobsIn(cs.label) {
		if k.CreatedAt.After(began) && cs.holdsSlot(k) && !cs.agentHas(k.ID) {
			n++
		}
	}
	return n
}

// agentHas: some agent has the job. Callers hold the guard.
func (cs *claims) agentHas(id contract.JobID) bool {
	m := cs.jobs[id]
	return m != nil && m.State().Held()
}

// gotThrough reports whether an agent that has a job is most likely a pod of
// ours.
func (cs *claims) gotThrough(id contract.JobID) bool {
	return slices.ContainsFunc(cs.store.PodsOf(id), func(p *cache.Pod) bool { return p.Lives() && p.Node != "" })
}
