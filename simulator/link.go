package simulator

import "fmt"

// link has the dependencies of one step: steps, and keys that no step has.
type link struct {
	edges   []edge
	missing []string
}

// scope is the set of steps that a wait separates: the steps of the pipeline, with those in
// groups, or the steps of one group (https://buildkite.com/docs/pipelines/group-step#using-wait-steps-in-job-groups).
type scope struct {
	wait  *node   // the last wait or block
	since []*node // the steps after it
}

// of is the scope of a node. A group waits for the pipeline's last wait before it, unless the
// group has a depends_on.
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

// linked returns the dependencies of each node. A depends_on may name a later step. Waits
// ignore a step that is left out.
func linked(nodes []*node, keys map[string][]*node) []link {
	links := make([]link, len(nodes))
	outer, groups := &scope{}, map[*group]*scope{}
	for i, n := range nodes {
		in := outer.of(n, groups)
		if n.omitted() {
			continue
		}
		links[i] = n.link(in, keys)
		switch n.kind {
		case kindInput:
			continue
		case kindWait, kindBlock:
			in.wait, in.since = n, nil
		default:
			in.since = append(in.since, n)
		}
		if in != outer && n.kind != kindWait {
			outer.since = append(outer.since, n)
		}
	}
	return links
}

func (n *node) link(in *scope, keys map[string][]*node) link {
	var l link
	for _, dep := range n.needs() {
		if keys[dep.key] == nil {
			l.missing = append(l.missing, dep.key)
		}
		for _, on := range keys[dep.key] {
			l.edges = append(l.edges, edge{on, dep.allowFailure})
		}
	}
	if n.explicit || n.kind == kindInput {
		return l
	}
	if n.barrier() {
		for _, on := range in.since {
			l.edges = append(l.edges, edge{on: on})
		}
	}
	if in.wait != nil {
		l.edges = append(l.edges, edge{on: in.wait})
	}
	return l
}

// keysOf maps each key of a step or group to its steps, with steps that are left out.
func keysOf(nodes []*node) map[string][]*node {
	keys := map[string][]*node{}
	for _, n := range nodes {
		if n.key != "" {
			keys[n.key] = append(keys[n.key], n)
		}
		if n.group != nil && n.group.key != "" {
			keys[n.group.key] = append(keys[n.group.key], n)
		}
	}
	return keys
}

// acyclic refuses steps that wait for each other, by depends_on or by a wait or block between
// them, because none of them would ever run.
func acyclic(nodes []*node) error {
	links := linked(nodes, keysOf(nodes))
	index := map[*node]int{}
	for i, n := range nodes {
		index[n] = i
	}
	const visiting, visited = 1, 2
	mark := make([]int, len(nodes))
	var visit func(i int) error
	visit = func(i int) error {
		mark[i] = visiting
		for _, e := range links[i].edges {
			on := index[e.on]
			if mark[on] == visiting {
				return fmt.Errorf("%s depends on %s, which waits for it: the dependencies close a loop", nodes[i].named(), nodes[on].named())
			}
			if mark[on] != visited {
				if err := visit(on); err != nil {
					return err
				}
			}
		}
		mark[i] = visited
		return nil
	}
	for i := range nodes {
		if mark[i] != visited {
			if err := visit(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// named is a step's name in errors and warnings.
func (p *plan) named() string {
	switch {
	case p.key != "":
		return fmt.Sprintf("step %q", p.key)
	case p.label != "":
		return fmt.Sprintf("the %s step %q", p.kind, p.label)
	case p.kind == kindCommand && p.step != nil:
		return fmt.Sprintf("the command step %q", p.step.Command)
	}
	return fmt.Sprintf("a %s step", p.kind)
}
