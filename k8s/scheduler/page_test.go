package scheduler

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
)

// A line is told once, and none when there are so many.
func TestLines(t *testing.T) {
	ps := newPages()
	for _, tt := range []struct {
		line string
		most int
		want bool
	}{{"a", 2, true}, {"a", 2, false}, {"b", 2, true}, {"c", 2, false}, {"c", 3, true}} {
		if got := ps.line(someJob, tt.line, tt.most); got != tt.want {
			t.Errorf("line %s of %d: told is %t, want %t", tt.line, tt.most, got, tt.want)
		}
	}
	if !ps.line(contract.JobID("other"), "a", 2) {
		t.Error("another job's page has it not")
	}
}

// What a job waits for is told at once for each reason, then when its words change, at
// most once a minute and five times.
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ps := newPages()
		for n, tt := range []struct {
			after       time.Duration
			reason      decide.Reason
			text        string
			tell, first bool
		}{
			{0, decide.ReasonImage, "", false, true},
			{0, decide.ReasonImage, "one", true, true},
			{waitsEvery, decide.ReasonImage, "one", false, false},
			{0, decide.ReasonImage, "two", true, false},
			{waitsEvery / 2, decide.ReasonImage, "three", false, false},
			{0, decide.ReasonPending, "four", true, true},
			{waitsEvery, decide.ReasonImage, "five", true, false},
			{waitsEvery, decide.ReasonImage, "six", true, false},
			{waitsEvery, decide.ReasonImage, "seven", false, false},
			{waitsEvery, decide.ReasonNotCreated, "eight", false, true},
		} {
			time.Sleep(tt.after)
			if got := ps.waits(someJob, decide.Decision{Reason: tt.reason, Text: tt.text}); got.tell != tt.tell || got.first != tt.first {
				t.Errorf("%d, %q: told is %t, first is %t; want %t, %t", n, tt.text, got.tell, got.first, tt.tell, tt.first)
			}
		}
	})
}

// A leader goes on where the one before it was: what an Event says was told isn't told
// again, in whatever words.
func TestRecalls(t *testing.T) {
	for _, tt := range []struct {
		name, reason string
		of           decide.Decision // what the Event is of
		told         bool
	}{
		{"another reason", events.Notice, decide.Decision{Reason: decide.ReasonLost}, false},
		{"told", events.Notice, decide.Decision{Reason: decide.ReasonRejected}, true},
		{"told as lost", events.Lost, decide.Decision{Reason: decide.ReasonRejected}, true},
		{"somebody else's", "Pulling", decide.Decision{Reason: decide.ReasonRejected}, false},
	} {
		ps := newPages()
		ps.recalls(someJob, 1, *events.New(namespace, "k", "", true, tt.reason, "words", tt.of))
		if told := !ps.line(someJob, lineOf(1, decide.Decision{Reason: decide.ReasonRejected}), maxNoted); told != tt.told {
			t.Errorf("%s: told is %t, want %t", tt.name, told, tt.told)
		}
	}
	ps := newPages()
	d := decide.Decision{Reason: decide.ReasonImage, Text: "other words"}
	ps.recalls(someJob, 1, *events.New(namespace, "k", "", true, events.Waiting, "words", d))
	if got := ps.waits(someJob, d); got.tell || got.first {
		t.Errorf("what it waits for is told again: %+v", got)
	}
	ps.recalls(someJob, 1, corev1.Event{Reason: events.Notice})
	if n := len(ps.page(someJob).lines); n != 1 {
		t.Errorf("%d lines, want none of an Event without a code", n)
	}
}

// The end of an attempt is counted once for each thing that is done about it, an
// announcement is made once, and phases are measured once.
func TestToldOnce(t *testing.T) {
	ps := newPages()
	for n, tt := range []struct {
		action        decide.Action
		reason        decide.Reason
		changed, news bool
	}{
		{decide.None, decide.ReasonFinished, true, true},
		{decide.None, decide.ReasonFinished, false, false},
		{decide.None, decide.ReasonOfferAgain, false, true},
		{decide.None, decide.ReasonOfferAgain, false, false},
		{decide.Attempt, decide.ReasonRejected, true, true},
	} {
		if changed, news := ps.count(someJob, "k", decide.Decision{Action: tt.action, Reason: tt.reason}); changed != tt.changed || news != tt.news {
			t.Errorf("%d: changed %t, news %t; want %t, %t", n, changed, news, tt.changed, tt.news)
		}
	}
	if !ps.isCounted(someJob, "k", decide.Attempt) || ps.isCounted(someJob, "l", decide.Attempt) {
		t.Error("the attempt after k is counted, none after l")
	}
	f := decide.Facts{Attempt: 1, KJob: decide.KJob{UID: "k"}}
	for _, want := range []bool{true, false} {
		if got := ps.announce(someJob, decide.Decision{Reason: decide.ReasonLost, Text: "lost"}, f); got != want {
			t.Errorf("announced: news is %t, want %t", got, want)
		}
		if got := ps.measure(someJob, "k", phaseStarted); got != want {
			t.Errorf("measured: news is %t, want %t", got, want)
		}
	}
	if story, _ := ps.story(someJob); len(story) != 1 {
		t.Errorf("the next attempt takes along %v", story)
	}
}

// A page is forgotten when nothing was told for an hour, and its job isn't known.
func TestPagesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ps := newPages()
		ps.line(someJob, "a", 1)
		time.Sleep(memoLife)
		if ids := ps.idle(); len(ids) != 0 {
			t.Errorf("idle too early: %q", ids)
		}
		time.Sleep(time.Second)
		ids := ps.idle()
		if ps.forget(nil); len(ids) != 1 || len(ps.of) != 1 {
			t.Errorf("idle: %q, %d pages left; want one of each", ids, len(ps.of))
		}
		ps.line(someJob, "b", 1)
		if ps.forget(ids); len(ps.of) != 1 {
			t.Error("a page is forgotten that was told something meanwhile")
		}
		time.Sleep(memoLife + time.Second)
		if ps.forget(ids); len(ps.of) != 0 {
			t.Error("a page is kept")
		}
	})
}
