package decide

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Lines of the release before have no codes; a scheduler of ours that takes over
// writes them again as they were, beside its own.
func TestParseHistory(t *testing.T) {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, annotation string
		want             History
		again            string // empty: the annotation
	}{
		{"none", "", nil, ""},
		{"with codes", "container\t1\t2026-01-01T12:00:00Z\tthe pod was lost\npod_lost\t2\t2026-01-01T12:00:00Z\tit was lost again",
			History{{ReasonContainer, 1, at, "the pod was lost"}, {ReasonLost, 2, at, "it was lost again"}}, ""},
		{"without", "the pod of attempt 1 was lost before it acquired the job: StartError\n…", History{{Text: "the pod of attempt 1 was lost before it acquired the job: StartError"}, {Text: StoryGap}}, ""},
		{"both", "attempt 1 was stopped\nlocked\t2\t2026-01-01T12:00:00Z\tfound it locked", History{{Text: "attempt 1 was stopped"}, {ReasonLocked, 2, at, "found it locked"}}, ""},
		{"a number that is none", "locked\tx\t2026-01-01T12:00:00Z\ttext", History{{Text: "locked x 2026-01-01T12:00:00Z text"}}, "locked x 2026-01-01T12:00:00Z text"},
		{"a time that is none", "locked\t1\tnow\ttext", History{{Text: "locked 1 now text"}}, "locked 1 now text"},
		{"no reason", "\t1\t2026-01-01T12:00:00Z\ttext", History{{Text: "1 2026-01-01T12:00:00Z text"}}, "1 2026-01-01T12:00:00Z text"},
		{"no text", "locked\t1\t2026-01-01T12:00:00Z\t", History{{ReasonLocked, 1, at, ""}}, ""},
		{"tabs in the text", "locked\t1\t2026-01-01T12:00:00Z\ta\tb", History{{ReasonLocked, 1, at, "a b"}}, "locked\t1\t2026-01-01T12:00:00Z\ta b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ParseHistory(tt.annotation)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
			again := tt.again
			if again == "" {
				again = tt.annotation
			}
			if s := got.Annotation(); s != again {
				t.Errorf("written again: %q, want %q", s, again)
			}
		})
	}
}

// A text of an attempt before, whatever it is, decides nothing.
func TestTextOfThePastDecidesNothing(t *testing.T) {
	f := aKJob().Attempt(3).Lost().Facts
	f.State, f.StateAt, f.ToldAt, f.Pod.Why = "reserved", t0, t0, startError
	for _, text := range []string{"", "the pod of attempt 2 was lost before it acquired the job: StartError"} {
		f.Story = History{{ReasonContainer, 1, t0, text}, {ReasonStopped, 2, t0, text}}
		if d := On(f); d.Action != Attempt {
			t.Errorf("after one that was stopped, told as %q: %+v, want another attempt", text, d)
		}
		f.Story = History{{ReasonContainer, 1, t0, text}, {ReasonContainer, 2, t0, text}}
		if d := On(f); d.Action != Finish || d.Reason != ReasonContainer {
			t.Errorf("after two that couldn't be started, told as %q: %+v, want the end", text, d)
		}
	}
}
