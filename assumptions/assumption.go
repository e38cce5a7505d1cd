package assumptions

import "slices"

// Assumption is a question about Buildkite that no public text answers.
type Assumption struct {
	// Name is the JSON name of the field of a Profile.
	Name     string
	Question string
	// Sides are the possible answers. The first is the shipped one.
	Sides []Side
	// Settles says which calls to the real Buildkite answer the question.
	Settles string
	// Why says for a question of Unplayed why Profile has no field for it; else it is empty.
	Why string
}

// Side is a possible answer.
type Side struct {
	Name string
	// Buildkite says what Buildkite does, Onejob what onejob does then.
	Buildkite, Onejob string
}

// All are the questions that a Profile answers, in the order of its fields.
var All = slices.Concat(acquireTable, sessionTable, stackTable, pipelineTable)

func (a Assumption) names() []string {
	out := make([]string, len(a.Sides))
	for i, s := range a.Sides {
		out[i] = s.Name
	}
	return out
}

func (a Assumption) has(side string) bool { return slices.Contains(a.names(), side) }

// other is the answer that differs most from side: the shipped one, or the last one if side
// is the shipped one.
func (a Assumption) other(side string) string {
	if names := a.names(); side == names[0] {
		return names[len(names)-1]
	}
	return a.Sides[0].Name
}
