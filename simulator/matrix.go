package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/buildkite/go-pipeline"
)

// permutations is the product of a matrix's dimensions, less what its
// adjustments skip, plus what they add.
func permutations(m *pipeline.Matrix) ([]pipeline.MatrixPermutation, error) {
	if m == nil || m.IsEmpty() {
		return nil, nil
	}
	out := []pipeline.MatrixPermutation{{}}
	for _, dim := range slices.Sorted(maps.Keys(m.Setup)) {
		var next []pipeline.MatrixPermutation
		for _, p := range out {
			for _, value := range m.Setup[dim] {
				q := maps.Clone(p)
				q[dim] = value
				next = append(next, q)
			}
		}
		out = next
		if len(out) > 10_000 {
			return nil, errors.New("the matrix has more than 10000 permutations")
		}
	}
	for _, adj := range m.Adjustments {
		same := func(p pipeline.MatrixPermutation) bool { return maps.Equal(p, adj.With) }
		switch {
		case adj.ShouldSkip():
			out = slices.DeleteFunc(out, same)
		case len(adj.RemainingFields) > 0:
			return nil, errors.New("matrix adjustments with soft_fail are not supported")
		case !slices.ContainsFunc(out, same):
			out = append(out, pipeline.MatrixPermutation(adj.With))
		}
	}
	return out, nil
}

// fillMatrix returns a copy of a step with one permutation's values filled in.
func fillMatrix(step *pipeline.CommandStep, p pipeline.MatrixPermutation) (*pipeline.CommandStep, error) {
	raw, err := json.Marshal(step)
	if err != nil {
		return nil, fmt.Errorf("copying the step: %w", err)
	}
	filled := new(pipeline.CommandStep)
	if err := json.Unmarshal(raw, filled); err != nil {
		return nil, fmt.Errorf("copying the step: %w", err)
	}
	if err := filled.InterpolateMatrixPermutation(p); err != nil {
		return nil, fmt.Errorf("filling in the matrix: %w", err)
	}
	return filled, nil
}
