package simulator

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

const defaultQueue = "default"

// queueKey is the key of a queue: default for each of the three other names of the default
// queue.
func queueKey(name string) string {
	switch name {
	case "", "__default__", "_default":
		return defaultQueue
	}
	return name
}

// queue is one cluster queue.
type queue struct {
	id, key string
	paused  bool
	// list has the jobs that were scheduled, oldest scheduled_at first. Readers skip jobs
	// that aren't scheduled now. sweep removes the jobs that can't be scheduled again; the
	// others, such as reserved ones, keep their place.
	list   []*job
	next   uint64
	counts map[JobState]int
}

// queue returns a queue, making it if need be. Callers hold s.mu.
func (s *Simulator) queue(name string) *queue {
	key := queueKey(name)
	q := s.queues[key]
	if q == nil {
		q = &queue{id: s.newID(), key: key, counts: map[JobState]int{}}
		s.queues[key] = q
	}
	return q
}

// queueExists reports whether Config.Queues allows a queue, by any of its names.
func (s *Simulator) queueExists(name string) bool {
	return len(s.conf.Queues) == 0 || slices.ContainsFunc(s.conf.Queues, func(q string) bool { return queueKey(q) == queueKey(name) })
}

func (q *queue) enlist(j *job) {
	if j.listed {
		return // back from a reservation
	}
	q.next++
	j.order, j.listed = uint64(j.scheduledAt.UnixMilli())<<placeBits|q.next&(1<<placeBits-1), true
	at, _ := q.place(j.order)
	q.list = slices.Insert(q.list, at, j)
}

// placeBits are the low bits of job.order, which number the jobs by arrival.
const placeBits = 20

// place is the index of an order in the list, or where it would be.
func (q *queue) place(order uint64) (at int, there bool) {
	return slices.BinarySearchFunc(q.list, order, func(j *job, want uint64) int { return cmp.Compare(j.order, want) })
}

// after returns at most limit jobs behind a cursor, of those that shown selects, and whether
// there are more.
func (q *queue) after(order uint64, limit int, shown func(*job) bool) (page []*job, more bool) {
	from, _ := q.place(order + 1)
	for _, j := range q.list[from:] {
		if !shown(j) {
			continue
		}
		if len(page) == limit {
			return page, true
		}
		page = append(page, j)
	}
	return page, false
}

// shown selects the jobs that the list shows now, Config.ListLag late.
func (s *Simulator) shown(now time.Time) func(*job) bool {
	at := now.Add(-s.conf.ListLag)
	return func(j *job) bool {
		if j.state == StateScheduled {
			return !j.cameAt.After(at)
		}
		return j.leftAt.After(at) && !j.cameAt.After(at)
	}
}

// sweep removes jobs that can't be scheduled again, once they are half of a list of 64 or
// more.
func (q *queue) sweep() {
	live := q.counts[StateScheduled] + q.counts[StateLimited] + q.counts[StateReserved] + q.counts[StateAssigned]
	if len(q.list) < 64 || len(q.list) < 2*live {
		return
	}
	q.list = slices.DeleteFunc(q.list, func(j *job) bool {
		switch j.state {
		case StateScheduled, StateReserved, StateAssigned, StateAccepted, StateLimited: // may come back
			return false
		}
		j.listed = false
		return true
	})
}

// nextFor is the job to dispatch to an agent: of those whose rules the agent's tags satisfy,
// the one with the highest priority, then the oldest; nil if there is none.
func (s *Simulator) nextFor(a *agent) *job {
	q := s.queue(a.queue)
	if q.paused {
		return nil
	}
	var best *job
	q.sweep()
	for _, j := range q.list {
		if j.state != StateScheduled || best != nil && j.priority <= best.priority || !satisfies(a.tags, j.rules) {
			continue
		}
		best = j
	}
	return best
}

// satisfies reports whether tags satisfy agent query rules, without the rule on the queue. A
// rule with an empty value after its = asks for any value, as a rule with * does.
func satisfies(tags, rules []string) bool {
	for _, rule := range rules {
		key, want, valued := strings.Cut(rule, "=")
		if key == "queue" {
			continue
		}
		if !slices.ContainsFunc(tags, func(tag string) bool {
			have, value, _ := strings.Cut(tag, "=")
			return have == key && (want == "*" || want == "" && valued || value == want)
		}) {
			return false
		}
	}
	return true
}

// SetQueuePaused pauses or resumes dispatch on a queue. Stacks must respect the pause
// themselves; Profile.AcquirePaused says whether acquire by job ID still works.
func (s *Simulator) SetQueuePaused(name string, paused bool) error {
	return s.lockedWrite(func(time.Time) error {
		if !s.queueExists(name) {
			return notFound("queue", name)
		}
		s.queue(name).paused = paused
		return nil
	})
}

// Queue is a snapshot of one queue.
type Queue struct {
	ID     string           `json:"id"`
	Key    string           `json:"key"`
	Paused bool             `json:"paused"`
	Jobs   map[JobState]int `json:"jobs"`
}

// Queues returns all queues by name.
func (s *Simulator) Queues() []Queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Queue{}
	for _, key := range slices.Sorted(maps.Keys(s.queues)) {
		q := s.queues[key]
		out = append(out, Queue{ID: q.id, Key: key, Paused: q.paused, Jobs: maps.Clone(q.counts)})
	}
	return out
}
