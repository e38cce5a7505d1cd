package simulator

import (
	"fmt"
	"slices"
	"time"

	"github.com/buildkite/go-pipeline"
)

// plant makes nodes of plans at a position of the build. It checks before it
// changes anything.
func (s *Simulator) plant(b *build, plans []plan, at int) ([]*node, error) {
	keys := map[string]bool{}
	for key := range b.keys {
		keys[key] = true
	}
	for _, p := range plans {
		if p.key != "" && keys[p.key] {
			return nil, fmt.Errorf("duplicate step key %q", p.key)
		}
		if p.key != "" {
			keys[p.key] = true
		}
		if !p.wait && !s.queueExists(p.queue) {
			return nil, fmt.Errorf("there is no queue %q", p.queue)
		}
	}
	for _, p := range plans {
		if p.group != nil && p.group.key != "" {
			keys[p.group.key] = true
		}
	}
	nodes := make([]*node, len(plans))
	for i, p := range plans {
		for _, dep := range p.needs() {
			if !keys[dep.key] {
				return nil, fmt.Errorf("depends_on names %q, and no step has that key", dep.key)
			}
		}
		nodes[i] = &node{plan: p, build: b}
		if err := nodes[i].expand(); err != nil {
			return nil, err
		}
	}
	if err := acyclic(slices.Concat(b.nodes, nodes)); err != nil {
		return nil, err
	}
	for _, n := range nodes {
		n.id = s.newID()
		s.stepByID[n.id] = n
		if n.key != "" {
			b.keys[n.key] = append(b.keys[n.key], n)
		}
		if n.group != nil {
			if n.group.id == "" {
				n.group.id = s.newID()
			}
			if n.group.key != "" {
				b.keys[n.group.key] = append(b.keys[n.group.key], n)
			}
		}
	}
	b.nodes = slices.Insert(b.nodes, at, nodes...)
	b.open += len(nodes)
	return nodes, nil
}

// acyclic follows depends_on keys; waits only look back and can't close a loop
// by themselves.
func acyclic(nodes []*node) error {
	byKey := map[string][]*node{}
	for _, n := range nodes {
		if n.key != "" {
			byKey[n.key] = append(byKey[n.key], n)
		}
		if n.group != nil && n.group.key != "" {
			byKey[n.group.key] = append(byKey[n.group.key], n)
		}
	}
	const visiting, visited = 1, 2
	mark := map[*node]int{}
	var visit func(*node) error
	visit = func(n *node) error {
		switch mark[n] {
		case visiting:
			return fmt.Errorf("depends_on of step %q closes a loop", n.key)
		case visited:
			return nil
		}
		mark[n] = visiting
		for _, dep := range n.needs() {
			for _, on := range byKey[dep.key] {
				if err := visit(on); err != nil {
					return err
				}
			}
		}
		mark[n] = visited
		return nil
	}
	for _, n := range nodes {
		if err := visit(n); err != nil {
			return err
		}
	}
	return nil
}

// enter creates the jobs of new nodes and lets those begin that may.
func (s *Simulator) enter(b *build, nodes []*node, now time.Time) {
	for _, n := range nodes {
		for slot := range n.steps {
			j := s.newJob(n, slot, now)
			if n.skipped {
				s.setState(j, StateSkipped, now, cause{event: "created", detail: n.skip})
			} else {
				s.setState(j, StateWaiting, now, cause{event: "created"})
			}
		}
	}
	s.relink(b, now)
}

func (s *Simulator) newJob(n *node, slot int, now time.Time) *job {
	j := &job{
		id: s.newID(), build: n.build, node: n, queue: s.queue(n.queue), slot: slot,
		step: n.steps[slot], priority: n.priority, createdAt: now,
	}
	if len(n.permutations) > 0 {
		j.matrix = n.permutations[slot]
	}
	n.jobs = append(n.jobs, j)
	n.current[slot] = j
	s.jobs[j.id] = j
	s.jobOrder = append(s.jobOrder, j)
	return j
}

// expand makes one step a job: n times the same for parallelism, each with
// its values for a matrix.
func (n *node) expand() error {
	if n.wait {
		return nil
	}
	switch {
	case len(n.permutations) > 0:
		for _, p := range n.permutations {
			step, err := fillMatrix(n.step, p)
			if err != nil {
				return err
			}
			n.steps = append(n.steps, step)
		}
	default:
		n.steps = slices.Repeat([]*pipeline.CommandStep{n.step}, max(n.parallelism, 1))
	}
	n.current = make([]*job, len(n.steps))
	return nil
}
