package stacks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/onejob-dev/onejob/contract"
)

// aside plays a Buildkite that answers a call with status if it has one of the bad texts.
func aside(t *testing.T, status int, bad []contract.JobID) (c *Client, taken map[contract.JobID]int, calls *int) {
	taken, calls = map[contract.JobID]int{}, new(int)
	c = client(t, func(_ *http.Request, body []byte) (int, map[string]string, any) {
		*calls++
		var in struct{ Notifications []Notification }
		if err := json.Unmarshal(body, &in); err != nil {
			t.Error(err)
		}
		if slices.ContainsFunc(in.Notifications, func(n Notification) bool { return slices.Contains(bad, n.JobID) }) {
			return status, nil, map[string]any{"message": "no"}
		}
		for _, n := range in.Notifications {
			taken[n.JobID]++
		}
		return 200, nil, map[string]any{"errors": []any{}}
	})
	return c, taken, calls
}

// Texts that can't be taken are found by halving and keep no other back, wherever they stand;
// if none can be taken, that is noticed in a few calls.
func TestNotifyAside(t *testing.T) {
	const n = 200
	all := ids(n)
	for _, tt := range []struct {
		name  string
		bad   []contract.JobID
		calls int // at most
	}{
		{"none", nil, 1},
		{"the first", all[:1], 20},
		{"the last", all[n-1:], 20},
		{"the first six, of one build that is over", all[:6], 40},
		{"the last six", all[n-6:], 40},
		{"some here and there", []contract.JobID{all[3], all[77], all[120], all[199]}, 60},
		{"all", all, 30},
	} {
		for _, status := range []int{404, 422, 500} {
			t.Run(fmt.Sprint(tt.name, " ", status), func(t *testing.T) {
				c, taken, calls := aside(t, status, tt.bad)
				var ns []Notification
				for _, id := range all {
					ns = append(ns, Notification{JobID: id, Detail: "x"})
				}
				told := c.NotifyAside(t.Context(), ns, 3)
				if none := len(tt.bad) == n; none && (told.Taken != 0 || told.Refused != 3) || !none && (told.Taken != n-len(tt.bad) || told.Refused != len(tt.bad)) {
					t.Errorf("%+v", told)
				}
				if (told.Err != nil) != (tt.bad != nil) || *calls > tt.calls || len(taken) != told.Taken {
					t.Errorf("%d calls, want %d; %d taken; %v", *calls, tt.calls, len(taken), told.Err)
				}
				for id, times := range taken {
					if times != 1 {
						t.Errorf("%s was told %d times", id, times)
					}
				}
			})
		}
	}
}

// Texts that nobody needs are not sent again to somebody who doesn't answer, and then hold up
// no other text.
func TestNotifyAsideWithoutAnAnswer(t *testing.T) {
	for _, status := range []int{0, 429, 502, 503, 504} {
		away, calls := true, 0
		c := client(t, func(*http.Request, []byte) (int, map[string]string, any) {
			if calls++; away {
				return status, nil, map[string]any{"message": "later"}
			}
			return 200, nil, map[string]any{"errors": []any{}}
		})
		ns := []Notification{{JobID: jobA, Detail: "x"}, {JobID: jobA, Detail: "y"}}
		if told := c.NotifyAside(t.Context(), ns, 3); told.Err == nil || told.Taken+told.Refused != 0 || calls != 1 {
			t.Errorf("%d: %+v after %d calls", status, told, calls)
		}
		away = false
		if again := c.gates[EndpointNotify].notBefore; !again.IsZero() {
			t.Errorf("%d: other texts wait until %v", status, again)
		}
	}
}
