package stacks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

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
			} else if err != nil || len(states) != len(ids)-len(tt.unknown) {
				t.Errorf("%d states, %v; want those of %d jobs", len(states), err, len(ids)-len(tt.unknown))
			}
			for id := range states {
				if tt.unknown[id] {
					t.Errorf("the unknown %s is %q", id, states[id])
				}
			}
			if calls > tt.calls {
				t.Errorf("%d calls, want %d at most", calls, tt.calls)
			}
		})
	}
}
