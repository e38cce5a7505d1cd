package simulator

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// concurrency is a step's limit, 0 for none, by https://buildkite.com/docs/pipelines/configure/workflows/controlling-concurrency.
type concurrency struct {
	limit  int
	group  string
	method string // ordered by default, or eager
}

func (c *command) limited() *concurrency {
	if c.concurrency == nil {
		c.concurrency = &concurrency{}
	}
	return c.concurrency
}

func (c *concurrency) check() error {
	switch {
	case c == nil:
	case c.group == "":
		return errors.New("`concurrency` needs a `concurrency_group` (Buildkite speaks of a missing `concurrency_group_id`)")
	}
	return nil
}

// concurrencyGroup is the queue of all jobs that name one group, in whatever
// pipeline: in order of their build's or their upload's time.
type concurrencyGroup struct{ jobs []*job }

func byEntry(a, b *job) int {
	return cmp.Or(a.enteredAt.Compare(b.enteredAt), cmp.Compare(a.number, b.number))
}

// queues reports a job that has a place in its group. One behind a block step has
// none until the step is unblocked.
func (j *job) queues() bool { return j.state != StateBlocked && !j.state.Terminal() }

// runs reports a job that takes one of the group's slots.
func (j *job) runs() bool {
	switch j.state {
	case StatePending, StateWaiting, StateBlocked, StateLimiting, StateLimited:
		return false
	}
	return !j.state.Terminal()
}

// follow keeps a job's group while the job moves.
func (s *Simulator) follow(j *job, from, to JobState) {
	c := j.node.concurrency
	if c == nil {
		return
	}
	g := s.groups[c.group]
	if g == nil {
		g = &concurrencyGroup{}
		s.groups[c.group] = g
	}
	at, in := slices.BinarySearchFunc(g.jobs, j, byEntry)
	switch {
	case to.Terminal() && in:
		g.jobs = slices.Delete(g.jobs, at, at+1)
	case !to.Terminal() && !in:
		g.jobs = slices.Insert(g.jobs, at, j)
	}
	if gaveWay := to.Terminal() || to == StateBlocked; gaveWay && from != "" {
		s.later(func(now time.Time) { s.admit(g, now) })
	}
}

// offer schedules a job, or lets it wait for its concurrency group.
func (s *Simulator) offer(j *job, now time.Time, why cause) {
	if j.node.concurrency == nil {
		s.setState(j, StateScheduled, now, why)
		return
	}
	s.setState(j, StateLimiting, now, why)
	s.admit(s.groups[j.node.concurrency.group], now)
	if j.state == StateLimiting {
		s.setState(j, StateLimited, now, cause{event: "limited", detail: "by " + j.node.concurrency.group})
	}
}

// admit schedules what the group has room for. Ordered, a job also waits for
// those before it that wait for something else; eager, the highest priority is
// first.
func (s *Simulator) admit(g *concurrencyGroup, now time.Time) {
	running, ahead := 0, 0
	place := map[*job]int{}
	var waiting []*job
	for _, j := range g.jobs {
		place[j] = ahead
		if j.queues() {
			ahead++
		}
		switch {
		case j.runs():
			running++
		case j.state == StateLimiting || j.state == StateLimited:
			waiting = append(waiting, j)
		}
	}
	slices.SortStableFunc(waiting, func(a, b *job) int {
		if a.node.concurrency.method != "eager" || b.node.concurrency.method != "eager" {
			return 0
		}
		return cmp.Compare(b.priority, a.priority)
	})
	for _, j := range waiting {
		c := j.node.concurrency
		if inTurn := c.method == "eager" || place[j] < c.limit; inTurn && running < c.limit {
			s.setState(j, StateScheduled, now, cause{event: "scheduled", detail: "by " + c.group})
			running++
		}
	}
}
