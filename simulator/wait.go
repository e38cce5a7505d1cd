package simulator

import "slices"

func (n *node) dependencyFailed() bool {
	return n.missing > 0 || slices.ContainsFunc(n.deps, func(e edge) bool {
		return e.on.failed && !e.allowFailure
	})
}

// weigh checks the dependencies of a wait or block. bad says that one failed; stop says that
// one was canceled, is missing, or is a wait or block that itself stopped. The build never
// continues after stop.
func (n *node) weigh() (bad, stop bool) {
	stop = n.missing > 0
	for _, e := range n.deps {
		switch {
		case e.on.barrier():
			stop = stop || e.on.failed
			bad = bad || e.on.tainted
		case e.on.failed && !e.allowFailure:
			bad = true
			stop = stop || e.on.canceled
		}
	}
	return bad, stop
}

// stops reports whether a block step isn't reached, because a step before it failed. Even a
// wait with continue_on_failure before the block doesn't change that.
func (n *node) stops() bool {
	bad, stop := n.weigh()
	return bad || stop
}

// passWait passes or fails a wait step. After a failure the wait fails, and with it the steps
// after it, unless it has continue_on_failure.
func (s *Simulator) passWait(n *node) []*node {
	bad, stop := n.weigh()
	if stop || bad && !n.continueOnFailure {
		n.blocked = true
		return n.done(true)
	}
	n.tainted = bad
	return n.done(false)
}
