package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/buildkite/go-pipeline"
)

// cell is one job of a matrix.
type cell struct {
	values   pipeline.MatrixPermutation
	softFail *softFail // of an adjustment; nil means the step's
}

// matrixCells is the product of a matrix's dimensions, without the cells that its adjustments
// skip, and with those that they add.
func matrixCells(m *pipeline.Matrix) ([]cell, error) {
	if m == nil || m.IsEmpty() {
		return nil, nil
	}
	if len(m.Setup) > maxMatrixDimensions || len(m.Adjustments) > maxAdjustments {
		return nil, fmt.Errorf("the matrix has %d dimensions and %d adjustments: want %d and %d at most", len(m.Setup), len(m.Adjustments), maxMatrixDimensions, maxAdjustments)
	}
	cells := []cell{{values: pipeline.MatrixPermutation{}}}
	for _, dim := range sortedNames(m.Setup) {
		if n := len(m.Setup[dim]); n > maxMatrixElements {
			return nil, fmt.Errorf("the matrix dimension %q has %d elements: want %d at most", dim, n, maxMatrixElements)
		}
		var next []cell
		for _, c := range cells {
			for _, value := range m.Setup[dim] {
				values := maps.Clone(c.values)
				values[dim] = value
				next = append(next, cell{values: values})
			}
		}
		cells = next
		if len(cells) > 10_000 {
			return nil, errors.New("the matrix has more than 10000 permutations") // before adjustments skip any
		}
	}
	for _, adj := range m.Adjustments {
		same := func(c cell) bool { return maps.Equal(c.values, pipeline.MatrixPermutation(adj.With)) }
		if adj.ShouldSkip() { // any text is a reason: the agent sees it so, too
			cells = slices.DeleteFunc(cells, same)
			continue
		}
		at := slices.IndexFunc(cells, same)
		if at < 0 {
			at = len(cells)
			cells = append(cells, cell{values: pipeline.MatrixPermutation(adj.With)})
		}
		for _, name := range sortedNames(adj.RemainingFields) {
			if name != "soft_fail" {
				return nil, notValid(name, "a matrix adjustment", []string{"with", "skip", "soft_fail"})
			}
			soft, err := parseSoftFail(plain(adj.RemainingFields[name]))
			if err != nil {
				return nil, err
			}
			cells[at].softFail = &soft
		}
	}
	if len(cells) > maxMatrixJobs {
		return nil, fmt.Errorf("the matrix has %d jobs: want %d at most", len(cells), maxMatrixJobs)
	}
	return cells, nil
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
