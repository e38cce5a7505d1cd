package simulator

import (
	"slices"
	"time"

	"github.com/buildkite/go-pipeline"
)

// nodeState is where a step stands.
type nodeState int

const (
	nodeWaiting nodeState = iota // for its dependencies
	nodeOpen                     // its jobs may run
	nodeDone
)

// node is a step within a build: a command with its jobs, or a wait.
//
// What a step waits for: with depends_on those steps alone; without it the
// last wait before it. A wait waits for every step since the one before. Waits
// in a group are between its own steps.
type node struct {
	plan
	build   *build
	id      string
	steps   []*pipeline.CommandStep // one a slot
	current []*job                  // the latest attempt of each slot
	jobs    []*job                  // all attempts

	state    nodeState
	live     int  // slots whose latest attempt hasn't ended
	failed   bool // done, and not well
	blocked  bool // failed because of a dependency: it never ran
	canceled bool
	tainted  bool // a wait that went on in spite of failures

	deps       []edge
	pending    int // deps not done
	dependents []*node

	uploadedBy *job              // by pipeline upload
	attributes map[string]string // set by `step update`
	updates    map[string]bool   // idempotency UUIDs seen
}

type edge struct {
	on           *node
	allowFailure bool
}

// relink computes all edges anew. Builds grow only by uploads and reopen only
// by manual retries, so its cost, linear in the steps, is paid rarely.
func (s *Simulator) relink(b *build, now time.Time) {
	outer, groups := &scope{}, map[*group]*scope{}
	for _, n := range b.nodes {
		n.dependents = nil
	}
	var ready []*node
	for _, n := range b.nodes {
		in := outer.of(n, groups)
		if n.state == nodeWaiting {
			n.link(in)
			n.pending = 0
			for _, e := range n.deps {
				if e.on.state != nodeDone {
					n.pending++
				}
			}
			if n.pending == 0 {
				ready = append(ready, n)
			}
		}
		if n.wait {
			in.wait, in.since = n, nil
			continue
		}
		in.since = append(in.since, n)
		if in != outer {
			outer.since = append(outer.since, n)
		}
	}
	// Keys may look ahead, so dependents are known only now.
	for _, n := range b.nodes {
		if n.state != nodeWaiting {
			continue
		}
		for _, e := range n.deps {
			if e.on.state != nodeDone {
				e.on.dependents = append(e.on.dependents, n)
			}
		}
	}
	s.advance(b, ready, now)
}

// scope is what waits stand between: the steps of the pipeline, those in groups
// among them, or of one group (https://buildkite.com/docs/pipelines/group-step#using-wait-steps-in-job-groups).
type scope struct {
	wait  *node   // the last one
	since []*node // the steps behind it
}

// of is the scope that a node is in. A group begins behind the pipeline's last
// wait, unless it says itself what it depends on.
func (s *scope) of(n *node, groups map[*group]*scope) *scope {
	if n.group == nil {
		return s
	}
	in := groups[n.group]
	if in == nil {
		in = &scope{}
		if !n.group.explicit {
			in.wait = s.wait
		}
		groups[n.group] = in
	}
	return in
}

func (n *node) link(in *scope) {
	n.deps = nil
	for _, dep := range n.needs() {
		for _, on := range n.build.keys[dep.key] {
			n.deps = append(n.deps, edge{on, dep.allowFailure})
		}
	}
	if n.explicit {
		return
	}
	if n.wait {
		for _, on := range in.since {
			n.deps = append(n.deps, edge{on: on})
		}
	}
	if in.wait != nil {
		n.deps = append(n.deps, edge{on: in.wait})
	}
}

// advance works through steps whose dependencies are all done, and through
// those that this makes ready in turn.
func (s *Simulator) advance(b *build, ready []*node, now time.Time) {
	for len(ready) > 0 {
		n := ready[0]
		ready = ready[1:]
		if n.state != nodeWaiting {
			continue
		}
		switch {
		case n.wait:
			ready = append(ready, s.passWait(n)...)
		case n.dependencyFailed():
			n.blocked = true
			for _, j := range n.current {
				if !j.state.Terminal() {
					s.endAs(j, StateWaitingFailed, result{}, now, cause{event: "dependency failed"})
				}
			}
			ready = append(ready, n.done(true)...)
		default:
			n.state = nodeOpen
			for _, j := range n.current {
				if j.state == StateWaiting {
					s.setState(j, StateScheduled, now, cause{event: "scheduled"})
				}
			}
			ready = append(ready, s.tally(n)...)
		}
	}
	if b.open == 0 && b.finishedAt.IsZero() {
		b.finishedAt = now
	}
}

func (n *node) dependencyFailed() bool {
	return slices.ContainsFunc(n.deps, func(e edge) bool {
		return e.on.failed && !e.allowFailure
	})
}

// passWait decides a wait: after a failure it stops what follows, unless it
// may continue; after a cancellation, or behind a wait that stopped, always.
func (s *Simulator) passWait(n *node) []*node {
	bad, stop := false, false
	for _, e := range n.deps {
		switch {
		case e.on.wait:
			stop = stop || e.on.failed
			bad = bad || e.on.tainted
		case e.on.failed:
			bad = true
			stop = stop || e.on.canceled
		}
	}
	if stop || bad && !n.continueOnFailure {
		n.blocked = true
		return n.done(true)
	}
	n.tainted = bad
	return n.done(false)
}

// done closes a step and returns the dependents that became ready.
func (n *node) done(failed bool) []*node {
	n.state, n.failed = nodeDone, failed
	n.build.open--
	if failed && !n.wait {
		n.build.failed++
	}
	var ready []*node
	for _, d := range n.dependents {
		if d.pending--; d.pending == 0 && d.state == nodeWaiting {
			ready = append(ready, d)
		}
	}
	n.dependents = nil
	return ready
}

// count keeps live, so that a step of ten thousand jobs isn't looked through
// each time that one of them ends.
func (n *node) count(from, to JobState) {
	was, is := from != "" && !from.Terminal(), !to.Terminal()
	switch {
	case is && !was:
		n.live++
	case was && !is:
		n.live--
	}
}

// tally closes an open step once the latest attempt of each slot has ended.
func (s *Simulator) tally(n *node) []*node {
	if n.state != nodeOpen || n.live > 0 {
		return nil
	}
	failed, canceled := false, false
	for _, j := range n.current {
		if !j.passed() && !j.softFailed() {
			failed = true
			canceled = canceled || j.state == StateCanceled
		}
	}
	n.canceled = canceled
	return n.done(failed)
}

// settle is called when a job of n ended.
func (s *Simulator) settle(n *node, now time.Time) {
	if n.live > 0 {
		return
	}
	if n.state == nodeWaiting {
		// Cancelled before its turn came.
		n.canceled = true
		s.advance(n.build, n.done(true), now)
		return
	}
	s.advance(n.build, s.tally(n), now)
}

// reopen undoes done for a manual retry, and for every step that only failed
// because of this one.
func (s *Simulator) reopen(n *node, to nodeState, now time.Time) {
	if n.state != nodeDone {
		return
	}
	if n.failed && !n.wait {
		n.build.failed--
	}
	n.state, n.failed, n.blocked, n.canceled, n.tainted = to, false, false, false, false
	n.build.open++
	n.build.finishedAt = time.Time{}
	for _, other := range n.build.nodes {
		if other.state != nodeDone || !other.blocked {
			continue
		}
		if slices.ContainsFunc(other.deps, func(e edge) bool { return e.on == n }) {
			s.reopen(other, nodeWaiting, now)
			for _, j := range other.current {
				if j.state == StateWaitingFailed {
					j.finishedAt = time.Time{}
					s.setState(j, StateWaiting, now, cause{event: "dependency retried"})
				}
			}
		}
	}
}
