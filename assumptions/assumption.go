package assumptions

import "slices"

// Assumption is a question about Buildkite that no public text answers.
type Assumption struct {
	// Name is the field of a Profile.
	Name     string
	Question string
	// Sides are the answers that it may have. The first is the shipped one.
	Sides []Side
	// Settles is what to do at the real Buildkite to know.
	Settles string
	// Why says of one of Unplayed that no Profile has it.
	Why string
}

// Side is an answer.
type Side struct {
	Name string
	// Buildkite is what it does, Onejob what onejob does then.
	Buildkite, Onejob string
}

// All are the questions that a Profile answers, in its order.
var All = slices.Concat(acquireTable, sessionTable, stackTable, pipelineTable)

func (a Assumption) names() []string {
	out := make([]string, len(a.Sides))
	for i, s := range a.Sides {
		out[i] = s.Name
	}
	return out
}

func (a Assumption) has(side string) bool { return slices.Contains(a.names(), side) }

// other is the answer that differs most from one: the shipped one, or the last if it is
// that.
func (a Assumption) other(side string) string {
	if names := a.names(); side == names[0] {
		return names[len(names)-1]
	}
	return a.Sides[0].Name
}
