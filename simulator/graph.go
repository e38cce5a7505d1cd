package simulator

import "slices"

// graphStep is a step of a build as the page draws it.
type graphStep struct {
	ID    string `json:"id"`
	Type  string `json:"type"`
	Name  string `json:"name"`
	State string `json:"state"`
	// Level is how many steps are before it on the longest way.
	Level int      `json:"level"`
	After []string `json:"after,omitempty"` // the steps that it waits for
}

// shownSteps bounds the graph: nobody reads a larger one.
const shownSteps = 200

// graph are the steps of a build, in the pipeline's order.
func (b *build) graph() []graphStep {
	levels := map[*node]int{}
	steps := []graphStep{}
	for _, n := range b.nodes[:min(len(b.nodes), shownSteps)] {
		step := graphStep{ID: n.id, Type: string(n.kind), Name: n.label, State: n.graphState(), Level: n.level(levels)}
		if step.Name == "" {
			step.Name = n.key
		}
		for _, e := range n.deps {
			step.After = append(step.After, e.on.id)
		}
		steps = append(steps, step)
	}
	return steps
}

// level is a node's, from those that are known. A node that waits for itself, in a
// circle, is taken for the first.
func (n *node) level(known map[*node]int) int {
	if level, is := known[n]; is {
		return level
	}
	known[n] = 0
	level := 0
	for _, e := range n.deps {
		level = max(level, e.on.level(known)+1)
	}
	known[n] = level
	return level
}

// graphState is a node's state in one word, with how it ended.
func (n *node) graphState() string {
	switch state := n.stateName(); {
	case state != "finished":
		return state
	case n.failed:
		return "failed"
	case slices.ContainsFunc(n.current, (*job).softFailed):
		return "soft_failed"
	default:
		return "passed"
	}
}
