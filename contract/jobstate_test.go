package contract

import "testing"

func TestJobStates(t *testing.T) {
	type meaning struct{ waiting, offered, held, unstarted, mayBeUnstarted, over bool }
	for state, want := range map[JobState]meaning{
		"":                  {mayBeUnstarted: true},
		"pending":           {waiting: true},
		"waiting":           {waiting: true},
		"blocked":           {waiting: true},
		"limiting":          {waiting: true},
		"limited":           {waiting: true},
		"platform_limiting": {waiting: true},
		"platform_limited":  {waiting: true},
		"of_next_year":      {waiting: true},
		"scheduled":         {offered: true},
		"reserved":          {offered: true},
		"assigned":          {held: true, unstarted: true, mayBeUnstarted: true},
		"accepted":          {held: true, unstarted: true, mayBeUnstarted: true},
		"running":           {held: true},
		"canceling":         {held: true, mayBeUnstarted: true},
		"timing_out":        {held: true, mayBeUnstarted: true},
		"finished":          {over: true},
		"canceled":          {over: true},
		"timed_out":         {over: true},
		"skipped":           {over: true},
		"broken":            {over: true},
		"expired":           {over: true},
		"waiting_failed":    {over: true},
	} {
		got := meaning{state.Waiting(), state.Offered(), state.Held(), state.Unstarted(), state.MayBeUnstarted(), state.Over()}
		if got != want {
			t.Errorf("%q: got %+v, want %+v", state, got, want)
		}
	}
}
