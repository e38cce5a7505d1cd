package simulator

import "slices"

func (n *node) dependencyFailed() bool {
	return n.missing > 0 || slices.ContainsFunc(n.deps, func(e edge) bool {
		return e.on.failed && !e.allowFailure
	})
}

// weigh looks at what a wait or block waits for: whether something failed, and
// whether that is a cancellation, or a wait that stopped, which always stop.
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

// stops reports a block step that isn't reached: no wait in front of it makes it
// go on after a failure.
func (n *node) stops() bool {
	bad, stop := n.weigh()
	return bad || stop
}

// passWait decides a wait: after a failure it stops what follows, unless it
// may continue.
func (s *Simulator) passWait(n *node) []*node {
	bad, stop := n.weigh()
	if stop || bad && !n.continueOnFailure {
		n.blocked = true
		return n.done(true)
	}
	n.tainted = bad
	return n.done(false)
}
