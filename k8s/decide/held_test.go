package decide

import (
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

func finishLost(f *Facts) { f.Policy.FinishLost = true }

// A job that an agent had is Buildkite's to end: a stack's finish would say that it
// never ran. Only a queue that says so has it finished.
func TestDecideHeld(t *testing.T) {
	const left = "Buildkite ends it with -1 within 4 minutes of the last heartbeat"
	gone := func(f *Facts) { f.Pod.Exited, f.Pod.NodeGone, f.Pod.ExitCode = false, true, 0 }
	outcome := func(o contract.Outcome) func(*Facts) { return func(f *Facts) { f.Pod.Message.Outcome = o } }
	ended := func(d time.Duration) func(*Facts) { return func(f *Facts) { f.EndedAt = t0.Add(-d) } }
	unended := func(f *Facts) { f.KJob.Finished = false }
	for _, tt := range []struct {
		name   string
		facts  factsBuilder
		action Action
		reason Reason
		says   string
		again  time.Duration
	}{
		{"lost while running", aKJob().Lost().State("running").but(func(f *Facts) { f.KJob.Finished = true }), None, ReasonLostAfter, left, 0},
		{"its node gone", aKJob().Lost().State("running").but(gone), None, ReasonLostAfter, left, endGrace - time.Second},
		{"while it is being cancelled", aKJob().Lost().State("canceling").but(unended), None, ReasonLostAfter, left, endGrace - time.Second},
		{"70", aKJob().Exits(70).State("running"), None, ReasonNotRun, left, 0},
		{"deleted, and killed", aKJob().Lost().GoneBut().State("running"), None, ReasonLostAfter, "was deleted while the job ran in its pod; the pod was lost", 0},
		{"lost while running, and the queue says finish", aKJob().Lost().State("running").but(finishLost), Finish, ReasonLostAfter, "OOMKilled", 0},

		// Given, not begun: Buildkite takes it back, whatever the queue says.
		{"lost while only accepted", aKJob().Lost().State("accepted"), None, ReasonLost, "before the job began", acceptedEvery},
		{"lost while only assigned", aKJob().Lost().State("assigned").but(finishLost), None, ReasonLost, "before the job began", acceptedEvery},
		{"accepted, some time ago", aKJob().Lost().State("accepted").but(ended(time.Minute)).but(func(f *Facts) { f.StateAt = t0.Add(-acceptedEvery) }), Ask, ReasonLost, "", 0},
		{"accepted for ever", aKJob().Lost().State("accepted").but(ended(time.Hour)), None, ReasonLost, "", acceptedLate},
		{"taken back", aKJob().Lost().State("scheduled"), Attempt, ReasonLost, "OOMKilled", 0},
		{"deleted, and lost while only accepted", aKJob().Lost().GoneBut().State("accepted"), None, ReasonLost, "before the job began", acceptedEvery},
		{"70, and accepted yet", aKJob().Exits(70).State("accepted"), None, ReasonNotRun, "", acceptedEvery},
		{"the runner says that it was taken back", aKJob().Exits(75).State("scheduled").but(outcome(contract.OutcomeTakenBack)), Attempt, ReasonExhausted, "Buildkite took it back", 0},
		{"the start was refused, and it is offered", aKJob().Exits(70).State("scheduled").but(outcome(contract.OutcomeStartRefused)), Attempt, ReasonNotRun, "", 0},
		{"it may have run, and it is offered", aKJob().Exits(70).State("scheduled").but(outcome(contract.OutcomeUndelivered)), None, ReasonNotRun, "", 0},
		{"cancelled before it began", aKJob().Exits(0).State("canceled").but(outcome(contract.OutcomeCancelled)), None, ReasonFinished, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := On(tt.facts.Facts)
			if got.Action != tt.action || got.Reason != tt.reason || !strings.Contains(got.Text, tt.says) {
				t.Errorf("got %+v, want %s for %s that says %q", got, tt.action, tt.reason, tt.says)
			}
			if tt.again == 0 != got.Again.IsZero() || tt.again > 0 && !got.Again.Equal(t0.Add(tt.again)) {
				t.Errorf("to be looked at again at %s, want in %s", got.Again, tt.again)
			}
		})
	}
}

// A job that Buildkite holds back for a limit or a block is waited for, never
// finished, however long that takes.
func TestDecideHeldBack(t *testing.T) {
	onNode := func(f *Facts) { f.Pod.Node = "node" }
	for _, state := range []stacks.State{"pending", "waiting", "blocked", "limiting", "limited", "platform_limiting", "platform_limited", "of_next_year"} {
		for name, tt := range map[string]struct {
			facts  factsBuilder
			action Action
		}{
			"pending":                {aKJob().Age(time.Hour).State(state), Delete},
			"without a pod":          {aKJob().Podless().Age(time.Hour).State(state), Delete},
			"on its node":            {aKJob().Age(time.Hour).State(state).but(onNode), None},
			"its image can't be had": {aKJob().Waiting("ImagePullBackOff", "x", time.Hour).Age(time.Hour).State(state), None},
			"found locked":           {aKJob().Exits(28).State(state), None},
			"lost":                   {aKJob().Lost().State(state).but(func(f *Facts) { f.KJob.Finished = true }), None},
		} {
			if got := On(tt.facts.Facts); got.Action != tt.action || got.Action == Delete && (!got.Unplaced || got.Reason != ReasonNotYet) {
				t.Errorf("%s, %s: %+v, want %s", state, name, got, tt.action)
			}
		}
	}
	// Offered again it gets its next attempt, also where others were spent on that.
	f := aKJob().Attempt(10).Gone().State(stacks.StateScheduled).but(func(f *Facts) { f.Removed = ReasonNotYet })
	if got := On(f.Facts); got.Action != Attempt || got.Reason != ReasonNotYet {
		t.Errorf("%+v, want an attempt", got)
	}
	// And what comes after isn't the cap's affair for it.
	held := Past{Reason: ReasonNotYet, Attempt: 1}
	for holds, want := range map[int]Action{4: Attempt, 0: Finish} {
		f := aKJob().Attempt(5).Lost().State(stacks.StateReserved).but(func(f *Facts) {
			f.Policy.MaxAttempts = 2
			for range holds {
				f.Story = f.Story.With(held)
			}
		})
		if got := On(f.Facts); got.Action != want {
			t.Errorf("a loss after %d holds: %+v, want %s", holds, got, want)
		}
	}
}
