package chaos

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

var calm = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// evidence of one job, "a", that ran as it should: entries 1 to 4.
func evidence() *Evidence {
	return &Evidence{
		Jobs: []simulator.Job{{ID: "a", State: simulator.StateFinished, ExitStatus: "3"}},
		Ledger: []simulator.Entry{
			{Seq: 1, Time: calm.Add(-time.Minute), JobID: "a", Event: "created", To: simulator.StateScheduled},
			{Seq: 2, Time: calm.Add(-30 * time.Second), JobID: "a", Event: "acquired", To: simulator.StateAccepted},
			{Seq: 3, Time: calm.Add(-29 * time.Second), JobID: "a", Event: "started", To: simulator.StateRunning},
			{Seq: 4, Time: calm.Add(-20 * time.Second), JobID: "a", Event: "finished", To: simulator.StateFinished},
		},
		Wanted: map[string]string{"a": "3"}, Cancelled: map[string]bool{},
		Runs:      map[string][]Execution{"a": {{ID: "r", Pod: "p", Ended: true}}},
		CalmAfter: 4, Calm: calm, Slots: 6,
	}
}

// ended changes how the job ended: nobody ran it to its end.
func ended(event string, change func(*simulator.Job)) func(*Evidence) {
	return func(e *Evidence) {
		e.Ledger[3].Event = event
		e.Jobs[0].ExitStatus = "-1"
		change(&e.Jobs[0])
	}
}

// told has the job lost, and its page told in any words of what an Event is about.
func told(event string, d decide.Decision) func(*Evidence) {
	const words = "any words, of which the page's have not all: " + "so long so long so long so long so long so long so long so long so long so long so long so long so long so long so long so long so long so long so long so long so long so long so long so long so long so long so long"
	return func(e *Evidence) {
		ended("agent lost", func(j *simulator.Job) {
			j.Notifications = []simulator.Notification{{Detail: contract.Line(words, stacks.MaxNotification)}}
		})(e)
		e.Told = map[string][]corev1.Event{"a": {*events.New("builds", "onejob-a", "", true, event, words, d)}}
	}
}

// later puts the job's acquisition and end after the calm.
func later(by time.Duration) func(*Evidence) {
	return func(e *Evidence) {
		e.CalmAfter = 1
		for i := range e.Ledger[1:] {
			e.Ledger[i+1].Time = calm.Add(by)
		}
	}
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Evidence)
		how    string
		want   string // in the one problem; empty: there is none
	}{
		{"all is well", func(*Evidence) {}, ranAndTold, ""},
		{"acquired twice", func(e *Evidence) { e.Ledger = append(e.Ledger, e.Ledger[1]) }, ranAndTold, "acquired 2 times"},
		{"acquired again, when it had been taken back", func(e *Evidence) {
			back := simulator.Entry{Seq: 2, Time: calm.Add(-30 * time.Second), JobID: "a", Event: "acceptance expired", From: simulator.StateAccepted, To: simulator.StateScheduled}
			e.Ledger = append(e.Ledger[:2:2], append([]simulator.Entry{back, e.Ledger[1]}, e.Ledger[2:]...)...)
		}, ranAndTold, ""},
		{"started twice", func(e *Evidence) { e.Ledger = append(e.Ledger, e.Ledger[2]) }, ranAndTold, "started 2 times"},
		{"run twice", func(e *Evidence) { e.Runs["a"] = append(e.Runs["a"], Execution{ID: "s"}) }, ranAndTold, "run 2 times"},
		{"passed, but it never ran", func(e *Evidence) { delete(e.Runs, "a") }, ranAndTold, "never began"},
		{"passed, but its script was cut short", func(e *Evidence) { e.Runs["a"][0].Ended = false }, ranAndTold, "never ended"},
		{"not ended", func(e *Evidence) { e.Jobs[0].State = simulator.StateReserved }, notEnded, "it is reserved"},
		{"another exit status", func(e *Evidence) { e.Jobs[0].ExitStatus = "99" }, runnerEnded, `exit status "99"`},
		{"stopped by its runner", func(e *Evidence) { e.Jobs[0].ExitStatus, e.Jobs[0].SignalReason = "-1", "agent_stop" }, runnerEnded, ""},
		{"lost, and told", told(events.Lost, decide.Decision{Reason: decide.ReasonLostAfter}), wasLost, ""},
		{"lost, and told that it was deleted", told(events.Notice, decide.Decision{Reason: decide.ReasonDeleted}), wasLost, ""},
		{"lost with the reply that granted it, and told", told(events.Notice, decide.Decision{Reason: decide.ReasonRejected, Topic: decide.TopicMaybeGranted}), wasLost, ""},
		{"lost, and told that it was refused", told(events.Notice, decide.Decision{Reason: decide.ReasonRejected}), wasLost, "nobody told why"},
		{"lost, and told of an attempt before", told("NewAttempt", decide.Decision{Reason: decide.ReasonLost}), wasLost, "nobody told why"},
		{"lost, and told in an Event alone", func(e *Evidence) {
			told(events.Lost, decide.Decision{Reason: decide.ReasonLostAfter})(e)
			e.Jobs[0].Notifications = []simulator.Notification{{Detail: "something else"}}
		}, wasLost, "nobody told why"},
		{"lost, and nobody told", ended("agent lost", func(*simulator.Job) {}), wasLost, "nobody told why"},
		{"lost, and nobody was left to tell", func(e *Evidence) {
			ended("agent lost", func(*simulator.Job) {})(e)
			e.Untraced = map[string]bool{"a": true}
		}, wasLost, ""},
		{"ended by the scheduler", ended("finished by stack", func(j *simulator.Job) { j.StackFinish = &simulator.StackFinish{Detail: "why"} }), stackEnded, ""},
		{"ended by the scheduler without a reason", ended("finished by stack", func(j *simulator.Job) { j.StackFinish = &simulator.StackFinish{} }), stackEnded, "no reason"},
		{"cancelled", func(e *Evidence) { e.Jobs[0].State, e.Cancelled["a"] = simulator.StateCanceled, true }, wasRejected, ""},
		{"cancelled by nobody", func(e *Evidence) { e.Jobs[0].State = simulator.StateCanceled }, wasRejected, "nobody cancelled it"},
		{"waited, but not too long", later(longestWait), ranAndTold, ""},
		{"waited too long", later(longestWait + time.Second), ranAndTold, "it waited 3m1s, with room for it"},
		{"the ledger blames", func(e *Evidence) { e.Violations = []simulator.Violation{{Kind: simulator.LogMissing, JobID: "a"}} }, ranAndTold, "log_missing"},
		{"left by a runner whose finish was eaten", func(e *Evidence) { e.Violations = []simulator.Violation{{Kind: simulator.Abandoned, JobID: "a"}} }, ranAndTold, ""},
		{"a kjob is left", func(e *Evidence) { e.Left = []Leftover{{"kjob", "onejob-01a20148-d084-769d-b1a5-ddd855f1218d"}} }, ranAndTold, "left over: kjob"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := evidence()
			tt.change(e)
			got := Judge(*e)
			if got.Ended[tt.how] != 1 || len(got.Ended) != 1 {
				t.Errorf("it ended %v, want %q", got.Ended, tt.how)
			}
			switch {
			case tt.want == "" && len(got.Problems) > 0:
				t.Errorf("problems: %v, want none", got.Problems)
			case tt.want != "" && (len(got.Problems) != 1 || !strings.Contains(got.Problems[0].Text, tt.want)):
				t.Errorf("problems: %v, want one with %q", got.Problems, tt.want)
			}
		})
	}
}

// A problem with what is left of a job names the job, so that its story is told.
func TestLeftoversNameTheirJob(t *testing.T) {
	e := evidence()
	const id = "01a20148-d084-769d-b1a5-ddd855f1218d"
	e.Left = []Leftover{{"pod", "onejob-" + id + "-2-x7k2p"}, {What: "the Lease onejob, held by onejob-6bfb9d665-m5rwk"}, {What: "3 reservations"}}
	var ids []string
	for _, p := range Judge(*e).Problems {
		ids = append(ids, p.JobID)
	}
	if want := []string{id, "", ""}; !slices.Equal(ids, want) {
		t.Errorf("the problems are those of %q, want %q", ids, want)
	}
}

// Behind others a job waits for room, and that isn't counted; a moment after
// their end there is room.
func TestWaitBehindOthers(t *testing.T) {
	at := func(seq uint64, after time.Duration, id string, to simulator.JobState) simulator.Entry {
		return simulator.Entry{Seq: seq, Time: calm.Add(after), JobID: id, To: to}
	}
	e := Evidence{Slots: 6, CalmAfter: 3, Calm: calm, Ledger: []simulator.Entry{
		at(1, -time.Minute, "a", simulator.StateScheduled),
		at(2, -time.Minute, "b", simulator.StateRunning),
		at(3, -time.Minute, "c", simulator.StateRunning),
		at(4, 5*time.Minute, "b", simulator.StateFinished),
		at(5, 6*time.Minute, "c", simulator.StateFinished),
		at(6, 7*time.Minute, "a", simulator.StateReserved),
		at(7, 7*time.Minute+time.Second, "a", simulator.StateAccepted),
		at(8, 9*time.Minute, "a", simulator.StateFinished),
	}}
	if got, want := waits(e)["a"], 2*time.Minute+time.Second; got != want {
		t.Errorf("it waited %s, want %s", got, want)
	}
}

// Only a kjob's deletion takes its traces along, and only a scheduler that lost
// its lead after that could have told.
func TestUntraced(t *testing.T) {
	m := &machine{
		erased:   map[string]time.Time{"told": calm, "untold": calm.Add(-time.Minute), "long gone": calm.Add(-time.Hour)},
		unseated: []time.Time{calm.Add(-30 * time.Second)},
	}
	if got := m.untraced(); got["told"] || !got["untold"] || got["long gone"] {
		t.Errorf("untraced are %v", got)
	}
}
