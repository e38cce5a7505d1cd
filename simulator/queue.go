package simulator

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

const defaultQueue = "default"

// queueKey folds the three names of the default queue into one.
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
	// list holds the jobs that were scheduled, oldest scheduled_at first. Jobs
	// that moved on are skipped and swept out when they are the majority;
	// reserved ones stay, for they may come back to their old place.
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

// queueExists honours Config.Queues.
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

// placeBits are for the jobs of one scheduled_at, by their coming.
const placeBits = 20

// place is where an order is in the list, or would be.
func (q *queue) place(order uint64) (at int, there bool) {
	return slices.BinarySearchFunc(q.list, order, func(j *job, want uint64) int { return cmp.Compare(j.order, want) })
}

// after returns the jobs to list behind a cursor, at most limit, and whether
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

// shown reports what the list has now, Config.ListLag late.
func (s *Simulator) shown(now time.Time) func(*job) bool {
	at := now.Add(-s.conf.ListLag)
	return func(j *job) bool {
		if j.state == StateScheduled {
			return !j.cameAt.After(at)
		}
		return j.leftAt.After(at) && !j.cameAt.After(at)
	}
}

// sweep drops jobs that can't be scheduled again, once they outnumber the rest.
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

// nextFor picks the job that a dispatched agent gets: the highest priority,
// then the oldest, whose rules the agent's tags satisfy.
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

// satisfies checks agent query rules; the queue was matched before. A rule
// without a value after its = asks for any, as one with * does.
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

// SetQueuePaused pauses or resumes dispatch on a queue. Acquiring by job ID
// goes on: that a stack respects the pause is the stack's part.
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
