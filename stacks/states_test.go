package stacks

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/onejob-dev/onejob/contract"
)

// A Buildkite that refuses to tell the states of jobs, because it doesn't know one of them,
// tells those of the others; one that refuses for another reason has said nothing of any.
func TestStatesOfUnknownJobs(t *testing.T) {
	var ids []contract.JobID
	for n := range 100 {
		ids = append(ids, contract.JobID(fmt.Sprintf("00000000-0000-4000-8000-%012d", n)))
	}
	for _, tt := range []struct {
		name    string
		unknown map[contract.JobID]bool // they have the call refused
		null    bool                    // they are told as null instead
		broken  bool                    // every call is refused
		calls   int
	}{
		{"all known", nil, false, false, 1},
		{"one", map[contract.JobID]bool{ids[17]: true}, false, false, 20},
		{"some", map[contract.JobID]bool{ids[0]: true, ids[50]: true, ids[99]: true}, false, false, 60},
		{"null", map[contract.JobID]bool{ids[17]: true}, true, false, 1},
		{"refused for another reason", nil, false, true, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			c := client(t, func(r *http.Request, body []byte) (int, map[string]string, any) {
				if id, shown := strings.CutPrefix(r.URL.Path, "/v3/stacks/my-stack/jobs/0"); shown && r.Method == http.MethodGet {
					if tt.unknown[contract.JobID("0"+id)] {
						return 404, nil, map[string]string{"message": "Job not found"}
					}
					return 200, nil, map[string]any{"env": map[string]string{}}
				}
				calls++
				var in uuids
				if err := json.Unmarshal(body, &in); err != nil {
					t.Error(err)
				}
				states := map[contract.JobID]any{}
				for _, id := range in.JobUUIDs {
					switch {
					case tt.broken, tt.unknown[id] && !tt.null:
						return 422, nil, map[string]string{"message": "no"}
					case tt.unknown[id]:
						states[id] = nil
					default:
						states[id] = "running"
					}
				}
				return 200, nil, map[string]any{"states": states}
			})
			states, err := c.States(t.Context(), ids)
			if tt.broken {
				if err == nil || len(states) != 0 {
					t.Errorf("States = %v, %v; want an error", states, err)
				}
			} else if err != nil || len(states) != len(ids) {
				t.Errorf("%d states, %v; want those of %d jobs", len(states), err, len(ids))
			}
			for id, state := range states {
				if (state == StateUnknown) != tt.unknown[id] {
					t.Errorf("%s is %q", id, state)
				}
			}
			if calls > tt.calls {
				t.Errorf("%d calls, want %d at most", calls, tt.calls)
			}
		})
	}
}

// Of many unknown jobs, one question finds some, in a number of calls that is bounded, and
// says which jobs it learned of: asked again about the rest, it comes to an end.
func TestStatesOfManyUnknownJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := map[contract.JobID]bool{}
		for n := range 1000 {
			left[contract.JobID(fmt.Sprintf("00000000-0000-4000-8000-%012d", n))] = n%16 == 0
		}
		calls := 0
		c := client(t, func(r *http.Request, body []byte) (int, map[string]string, any) {
			calls++
			if r.Method == http.MethodGet {
				return 404, nil, map[string]string{"message": "Job not found"}
			}
			var in uuids
			if err := json.Unmarshal(body, &in); err != nil {
				t.Error(err)
			}
			states := map[contract.JobID]any{}
			for _, id := range in.JobUUIDs {
				if left[id] {
					return 422, nil, map[string]string{"message": "no"}
				}
				states[id] = "running"
			}
			return 200, nil, map[string]any{"states": states}
		})
		for round := 1; len(left) > 0; round++ {
			calls = 0
			states, err := c.States(t.Context(), slices.Sorted(maps.Keys(left)))
			if calls > 2*searchCalls || len(states) == 0 || round > 20 {
				t.Fatalf("round %d: %d calls, %d of %d jobs told, %v", round, calls, len(states), len(left), err)
			}
			for id, state := range states {
				if (state == StateUnknown) != left[id] {
					t.Errorf("%s is %q", id, state)
				}
				delete(left, id)
			}
			if (err == nil) != (len(left) == 0) {
				t.Fatalf("round %d: %v, and %d jobs are left", round, err, len(left))
			}
		}
	})
}
