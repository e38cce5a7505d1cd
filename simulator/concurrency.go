package simulator

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// concurrency is a step's concurrency limit, see
// https://buildkite.com/docs/pipelines/configure/workflows/controlling-concurrency.
type concurrency struct {
	limit  int
	group  string
	method string // ordered or eager; empty is ordered
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

// concurrencyGroup is the queue of all jobs of all pipelines that name one group, in the
// order in which the jobs were made. A retry keeps the place of the job that it retries.
type concurrencyGroup struct{ jobs []*job }

func byEntry(a, b *job) int {
	return cmp.Or(a.enteredAt.Compare(b.enteredAt), cmp.Compare(a.number, b.number))
}

// queues reports whether a job has a place in its group. A job behind a block step has none
// until somebody unblocks the step.
func (j *job) queues() bool { return j.state != StateBlocked && !j.state.Terminal() }

// runs reports whether a job counts against the group's limit.
func (j *job) runs() bool {
	switch j.state {
	case StatePending, StateWaiting, StateBlocked, StateLimiting, StateLimited:
		return false
	}
	return !j.state.Terminal()
}

// follow adds a job to its group, or removes it, as the job's state changes. It lets the
// group admit others if the job gave up its place.
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

// offer schedules a job. If its concurrency group has no room, the job is limited.
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

// admit schedules as many jobs as the group has room for. With ordered, a job also waits for
// the jobs before it, even if those wait for something else. With eager, the job with the
// highest priority is first.
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
