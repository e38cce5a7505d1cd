package simulator

import (
	"slices"
	"time"
)

// nodeState is the state of a step.
type nodeState int

const (
	nodeWaiting nodeState = iota // for its dependencies
	nodeOpen                     // its jobs may run
	nodeDone
)

// node is a step within a build: a command with its jobs, a wait, a block or
// input step that somebody opens, or a trigger with its builds.
//
// A step with depends_on waits for those steps only. A step without it waits for the last
// wait or block step before it. A wait or block step waits for every step since the wait or
// block before it. A wait in a group counts for the group's own steps only. Only steps that
// depend on an input step wait for it.
type node struct {
	plan
	build   *build
	id      string
	current []*job // the latest attempt of each variant
	jobs    []*job // all attempts

	state    nodeState
	live     int  // slots whose latest attempt hasn't ended
	failed   bool // done, and failed
	blocked  bool // failed because of a dependency: it never ran
	canceled bool
	tainted  bool // a wait that continued after a failure (continue_on_failure)
	note     string

	deps       []edge
	missing    int // keys in depends_on that no step has
	pending    int // deps not done, and those missing
	dependents []*node
	triggered  []*build // by a trigger step

	uploadedBy *job              // by pipeline upload
	attributes map[string]string // set by `step update`
	updates    map[string]bool   // idempotency UUIDs seen
}

type edge struct {
	on           *node
	allowFailure bool
}

// relink computes all edges again. The cost is linear in the steps, but relink runs rarely:
// for new steps (a build, an upload), manual retries and unblocks.
func (s *Simulator) relink(b *build, now time.Time) {
	links := linked(b.nodes, b.keys)
	for _, n := range b.nodes {
		n.dependents = nil
	}
	var ready []*node
	for i, n := range b.nodes {
		if n.state != nodeWaiting {
			continue
		}
		n.deps, n.missing = links[i].edges, len(links[i].missing)
		n.pending = n.missing
		for _, e := range n.deps {
			if e.on.state != nodeDone {
				n.pending++
				e.on.dependents = append(e.on.dependents, n)
			}
		}
		if n.pending == 0 {
			ready = append(ready, n)
		} else {
			s.holdBack(n, now)
		}
	}
	s.advance(b, ready, now)
}

// holdBack sets the state of a waiting step's jobs: blocked if the step waits for a block or
// input step, else waiting.
func (s *Simulator) holdBack(n *node, now time.Time) {
	to := StateWaiting
	if slices.ContainsFunc(n.deps, func(e edge) bool { return e.on.gate() && e.on.state != nodeDone }) {
		to = StateBlocked
	}
	for _, j := range n.current {
		if !j.state.Terminal() && j.state != to {
			s.setState(j, to, now, cause{event: "held back"})
		}
	}
}

// advance starts the ready steps, whose dependencies are all done, and those that become
// ready thereby.
func (s *Simulator) advance(b *build, ready []*node, now time.Time) {
	for {
		if len(ready) == 0 {
			ready = b.stuck()
		}
		if len(ready) == 0 {
			break
		}
		n := ready[0]
		ready = ready[1:]
		if n.state == nodeWaiting {
			ready = append(ready, s.proceed(n, now)...)
		}
	}
	if b.open == 0 && b.finishedAt.IsZero() {
		b.finishedAt = now
	}
	s.announce(b)
}

// stuck are the steps that depend on a key that no step has, once no open step is left that
// could upload one. Buildkite then fails the build without running them.
func (b *build) stuck() []*node {
	if b.open == 0 || b.active > 0 || b.gates > 0 {
		return nil
	}
	var out []*node
	for _, n := range b.nodes {
		if n.state == nodeWaiting && n.missing > 0 {
			out = append(out, n)
		}
	}
	return out
}

// proceed opens, passes or fails a step whose dependencies are done. It returns the steps
// that become ready.
func (s *Simulator) proceed(n *node, now time.Time) []*node {
	switch {
	case n.kind == kindWait:
		return s.passWait(n)
	case n.kind == kindBlock && n.stops(), n.kind != kindBlock && n.dependencyFailed():
		n.blocked = true
		for _, j := range n.current {
			if !j.state.Terminal() {
				s.endAs(j, StateWaitingFailed, result{}, now, cause{event: "dependency failed"})
			}
		}
		return n.done(true)
	case n.kind == kindTrigger:
		n.move(nodeOpen)
		n.build.began(now)
		s.later(func(now time.Time) { s.fire(n, now) })
		return nil
	case n.gate():
		n.move(nodeOpen)
		return nil
	}
	n.move(nodeOpen)
	for _, j := range n.current {
		if j.state == StateWaiting || j.state == StateBlocked {
			s.offer(j, now, cause{event: "scheduled"})
		}
	}
	return s.tally(n)
}

// move changes a node's state and keeps its build's counts.
func (n *node) move(to nodeState) {
	count := &n.build.active
	if n.gate() {
		count = &n.build.gates
	}
	if n.state == nodeOpen {
		*count--
	}
	if to == nodeOpen {
		*count++
	}
	n.state = to
}

// done closes a step and returns the dependents that became ready.
func (n *node) done(failed bool) []*node {
	n.move(nodeDone)
	n.failed = failed
	n.build.open--
	if failed && !n.barrier() {
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

// count keeps live current, so that a step of ten thousand jobs needn't be searched each
// time that one of them ends.
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
		// The jobs were canceled before the step's dependencies were done.
		n.canceled = true
		s.advance(n.build, n.done(true), now)
		return
	}
	s.advance(n.build, s.tally(n), now)
}

// reopen undoes done, for a manual retry and for OfferAgain. It also reopens every step that
// failed only because of this one.
func (s *Simulator) reopen(n *node, to nodeState, now time.Time) {
	if n.state != nodeDone {
		return
	}
	if n.failed && !n.barrier() {
		n.build.failed--
	}
	n.move(to)
	n.failed, n.blocked, n.canceled, n.tainted = false, false, false, false
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
