package simulator

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// plant adds nodes for plans to a build, at index at. It checks everything before it changes
// anything; the error has every fault.
func (s *Simulator) plant(b *build, plans []plan, at int) ([]*node, error) {
	var errs []error
	taken := map[string]bool{}
	for key := range b.keys {
		taken[key] = true
	}
	nodes := make([]*node, len(plans))
	for i, p := range plans {
		nodes[i] = &node{plan: p, build: b}
		errs = append(errs, s.checkPlan(p, taken))
	}
	together := slices.Insert(slices.Clone(b.nodes), at, nodes...)
	if err := errors.Join(append(errs, acyclic(together))...); err != nil {
		return nil, err
	}
	for _, n := range nodes {
		n.id = s.newID()
		s.stepByID[n.id] = n
		n.current = make([]*job, len(n.variants))
		if n.group != nil && n.group.id == "" {
			n.group.id = s.newID()
		}
	}
	b.nodes, b.keys = together, keysOf(together)
	b.open += len(nodes)
	for i, l := range linked(b.nodes, b.keys) {
		for _, key := range l.missing {
			s.warn(b, fmt.Sprintf("%s depends on %q, and no step has that key yet", b.nodes[i].named(), key))
		}
	}
	return nodes, nil
}

func (s *Simulator) checkPlan(p plan, taken map[string]bool) error {
	var errs []error
	if p.key != "" && taken[p.key] {
		errs = append(errs, fmt.Errorf("The key %q has already been used by another step in this build", p.key)) //nolint:staticcheck // Buildkite's words
	}
	if p.key != "" {
		taken[p.key] = true
	}
	seen := map[string]bool{}
	for _, v := range p.variants {
		if !seen[v.queue] && !s.queueExists(v.queue) {
			errs = append(errs, fmt.Errorf("there is no queue %q", v.queue))
		}
		seen[v.queue] = true
	}
	return errors.Join(errs...)
}

// enter creates the jobs of new nodes, and starts the nodes whose dependencies are done.
func (s *Simulator) enter(b *build, nodes []*node, now time.Time) {
	for _, n := range nodes {
		state, why := StateWaiting, cause{event: "created"}
		switch {
		case n.excluded != "":
			state, why.detail = StateBroken, n.excluded
		case n.skipped:
			state, why.detail = StateSkipped, n.skip
		}
		for slot := range n.variants {
			s.setState(s.newJob(n, slot, now), state, now, why)
		}
		if n.omitted() {
			n.done(false)
		}
	}
	s.relink(b, now)
}

func (s *Simulator) newJob(n *node, slot int, now time.Time) *job {
	v := n.variants[slot]
	j := &job{
		id: s.newID(), build: n.build, node: n, queue: s.queue(v.queue), slot: slot,
		step: v.step, matrix: v.matrix, rules: v.rules, priority: n.priority, createdAt: now,
		scheduledAt: now, enteredAt: now, number: len(s.jobOrder),
	}
	if n.uploadedBy != nil {
		j.scheduledAt = n.uploadedBy.scheduledAt
	}
	n.jobs = append(n.jobs, j)
	n.current[slot] = j
	s.jobs[j.id] = j
	s.jobOrder = append(s.jobOrder, j)
	return j
}
