package scheduler

import (
	"math"
	"slices"

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
		free = max(0, most-q.held())
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refusals >= maxRefusals {
		free = min(free, max(0, 1-q.probing()))
	}
	if !q.noCreate.IsZero() || q.kubernetesAway() {
		free = min(free, max(0, 1-len(q.claims)))
	}
	return free
}

// measureSlots puts the count into the metrics.
func (q *queue) measureSlots() {
	q.s.metrics.slots.WithLabelValues(q.name, "held").Set(float64(q.held()))
	q.s.metrics.slots.WithLabelValues(q.name, "max").Set(float64(*q.set.Load().MaxInFlight))
}

// held counts the claims first: one whose kjob comes into the cache meanwhile
// is counted twice, and not left out.
func (q *queue) held() int {
	held := 0
	q.mu.Lock()
	defer q.mu.Unlock()
	unseen := func(claims map[contract.JobID]*claim) {
		for id, c := range claims {
			if q.store.Kjob(contract.KjobName(id, c.attempt)) == nil {
				held++
			}
		}
	}
	unseen(q.claims)
	if b := q.before; b != nil {
		b.mu.Lock()
		unseen(b.claims)
		if len(b.claims) == 0 {
			q.before = nil
		}
		b.mu.Unlock()
	}
	for _, k := range q.store.KjobsIn(q.label) {
		if q.holdsSlot(k) {
			held++
		}
	}
	for _, p := range q.store.PodsIn(q.label) {
		// By its UID: an orphan's kjob may have been followed by one of its name.
		if k := q.store.Kjob(p.Kjob); p.ID != "" && p.Lives() && (k == nil || k.UID != p.KjobUID) {
			held++
		}
	}
	return held
}

// live: a kjob of the job holds a slot.
func (q *queue) live(id contract.JobID) bool {
	ks := q.store.KjobsOf(id)
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.ContainsFunc(ks, q.holdsSlot)
}

// holdsSlot: unfinished, and its pod is neither lost nor lingers. Callers hold q.mu.
func (q *queue) holdsSlot(k *cache.Job) bool {
	if k.ID == "" || k.Finished {
		return false // a warm placeholder, or done
	}
	m := q.states[k.ID]
	return m == nil || !m.Lost(k.UID) && (k.Attempt >= m.Attempts() || !q.outlasted(k))
}

// outlasted: its pod is over, and another attempt was made after it, though the
// Job controller doesn't end it.
func (q *queue) outlasted(k *cache.Job) bool {
	ks := q.store.KjobsOf(k.ID)
	return k.PodSeen && len(ks) > 0 && ks[len(ks)-1].Attempt > k.Attempt &&
		!slices.ContainsFunc(q.store.PodsOf(k.ID), func(p *cache.Pod) bool { return p.KjobUID == k.UID && p.Lives() })
}
