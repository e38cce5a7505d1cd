package simulator

// Step is a snapshot of a block, input or trigger step, which have no jobs.
type Step struct {
	ID      string  `json:"id"`
	Key     string  `json:"key,omitempty"`
	Type    string  `json:"type"`
	Label   string  `json:"label,omitempty"`
	State   string  `json:"state"` // as `buildkite-agent step get state` says
	Outcome string  `json:"outcome"`
	Note    string  `json:"note,omitempty"` // why the step was left out, or started no build
	Prompt  string  `json:"prompt,omitempty"`
	Fields  []Field `json:"fields,omitempty"`
	Builds  []int   `json:"builds,omitempty"` // numbers of the builds that it triggered
}

// manual are the block, input and trigger steps of a build.
func (b *build) manual() []Step {
	steps := []Step{}
	for _, n := range b.nodes {
		if n.gate() || n.kind == kindTrigger {
			steps = append(steps, n.snapshot())
		}
	}
	return steps
}

func (n *node) snapshot() Step {
	out := Step{ID: n.id, Key: n.key, Type: string(n.kind), Label: n.label, State: n.stateName(), Outcome: n.outcome(), Note: n.note}
	switch {
	case n.excluded != "":
		out.Note = n.excluded + " is false"
	case n.skipped:
		out.Note = n.skip
	}
	if n.form != nil {
		out.Prompt, out.Fields = n.form.prompt, n.form.fields
	}
	for _, b := range n.triggered {
		out.Builds = append(out.Builds, b.number)
	}
	return out
}
