package scheduler

import (
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// way is what was seen of an attempt on its way to a pod, by our clock, and can't be read
// from its kjob later. It is kept for traces only, and lost with the process.
type way struct {
	attempt                         int
	since, asked, reserved, created time.Time
	sandboxed                       time.Time // by the node's clock
	suspended                       bool
	// before is the trace context of the attempt before, of that number.
	before   string
	beforeOf int
}

// onWay notes what is seen of an attempt, if attempts are exported.
func (q *queue) onWay(id contract.JobID, attempt int, add func(*way)) {
	if q.s.traces.On() {
		q.pages.sees(id, attempt, add)
	}
}

// sees adds to what is known of an attempt's way.
func (ps *pages) sees(id contract.JobID, attempt int, add func(*way)) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.page(id)
	switch {
	case p.way == nil:
		p.way = &way{attempt: attempt}
	case p.way.attempt != attempt:
		p.way = &way{attempt: attempt, before: p.way.before, beforeOf: p.way.beforeOf}
	}
	add(p.way)
}

// leaves ends an attempt's way with its trace context, and returns the way and the context
// of the attempt before.
func (ps *pages) leaves(id contract.JobID, attempt int, traceparent string) (w way, previous string) {
	ps.sees(id, attempt, func(of *way) {
		if w = *of; w.beforeOf == attempt-1 {
			previous = w.before
		}
		of.before, of.beforeOf = traceparent, attempt
	})
	return w, previous
}
