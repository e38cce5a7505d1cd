package scheduler

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// What happens to a queue, what it may do after that, and what the gauge shows.
func TestStanding(t *testing.T) {
	refused, keptOut := errors.New("refused"), fmt.Errorf("%w: no Role", errNoCreate)
	served := func(s *standing) { s.recover(s.stopCount(), true) }
	ends := func(code int, action decide.Action) func(*standing) {
		return func(s *standing) {
			for range maxRefusals {
				s.tokenAsked(decide.Decision{Action: action}, &contract.Message{ExitCode: code})
			}
		}
	}
	for _, tt := range []struct {
		name                      string
		do                        []func(*standing)
		why                       string
		ready, looksAfter, probes bool
		paused, namespaceRefuses  bool
	}{
		{name: "new", looksAfter: true},
		{name: "served", do: []func(*standing){served}, ready: true, looksAfter: true},
		{name: "not reached", do: []func(*standing){func(s *standing) { s.cannotReach(refused) }}, why: "has not reached Buildkite yet: refused", looksAfter: true},
		{name: "reached after all", do: []func(*standing){func(s *standing) { s.cannotReach(refused); s.cannotReach(nil) }, served}, ready: true, looksAfter: true},
		{name: "stopped", do: []func(*standing){served, func(s *standing) { s.stop(refused) }}, why: "is stopped: refused"},
		{name: "stopped for the namespace's sake", do: []func(*standing){served, func(s *standing) { s.keptOut(); s.stop(keptOut) }},
			why: "is stopped: creating Kubernetes Jobs: no Role", looksAfter: true, namespaceRefuses: true},
		{name: "and a poll goes well", do: []func(*standing){served, func(s *standing) { s.keptOut(); s.stop(keptOut) }, served},
			why: "is stopped: creating Kubernetes Jobs: no Role", looksAfter: true, namespaceRefuses: true},
		{name: "and a poll goes well that finds no job, later", do: []func(*standing){served, func(s *standing) {
			s.keptOut()
			s.stop(keptOut)
			time.Sleep(refusedEvery)
			s.recover(s.stopCount(), false)
		}}, ready: true, looksAfter: true, namespaceRefuses: true},
		{name: "and a kjob is let in", do: []func(*standing){served, func(s *standing) { s.keptOut(); s.stop(keptOut); s.letIn() }}, ready: true, looksAfter: true},
		{name: "a kjob is let in where all are", do: []func(*standing){served, func(s *standing) { s.stop(refused); s.letIn() }}, why: "is stopped: refused"},
		{name: "a poll that began before the stop goes well", do: []func(*standing){served, func(s *standing) {
			before := s.stopCount()
			s.stop(refused)
			s.recover(before, true)
		}}, why: "is stopped: refused"},
		{name: "served again", do: []func(*standing){served, func(s *standing) { s.stop(refused) }, served}, ready: true, looksAfter: true},
		{name: "paused", do: []func(*standing){served, func(s *standing) { s.pause(true) }}, ready: true, looksAfter: true, paused: true},
		{name: "pods' tokens refused", do: []func(*standing){served, ends(contract.ExitRefused, decide.Attempt)}, ready: true, looksAfter: true, probes: true},
		{name: "by the words of jobs", do: []func(*standing){served, ends(contract.ExitRefused, decide.None)}, ready: true, looksAfter: true},
		{name: "until one is accepted", do: []func(*standing){served, ends(contract.ExitRefused, decide.Attempt), ends(contract.ExitOK, decide.None)}, ready: true, looksAfter: true},
		{name: "until an agent has a job", do: []func(*standing){served, ends(contract.ExitRefused, decide.Attempt), (*standing).tokenAccepted}, ready: true, looksAfter: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			ready := false
			s := newStanding(func(is bool) { ready = is })
			s.begins()
			for _, do := range tt.do {
				do(s)
			}
			now, why := s.now(), ""
			if err := now.why(); err != nil {
				why = err.Error()
			}
			if why != tt.why || ready != tt.ready || now.looksAfter() != tt.looksAfter {
				t.Errorf("%s: %q, ready %t, looks after %t; want %q, %t, %t", tt.name, why, ready, now.looksAfter(), tt.why, tt.ready, tt.looksAfter)
			}
			if now.probes != tt.probes || now.paused != tt.paused || now.namespaceRefuses() != tt.namespaceRefuses {
				t.Errorf("%s: probes %t, paused %t, namespace refuses %t; want %t, %t, %t", tt.name, now.probes, now.paused, now.namespaceRefuses(), tt.probes, tt.paused, tt.namespaceRefuses)
			}
		})
	}
}

// A stop is news when its reason is, and the claims made before the namespace refused
// are told from those made since.
func TestStops(t *testing.T) {
	s := newStanding(func(bool) {})
	for _, tt := range []struct {
		err  string
		want bool
	}{{"a", true}, {"a", false}, {"b", true}, {"a", true}} {
		if news := s.stop(errors.New(tt.err)); news != tt.want {
			t.Errorf("stopped for %s: news is %t, want %t", tt.err, news, tt.want)
		}
	}
	if was := s.recover(s.stopCount(), true); was == nil || was.Error() != "a" {
		t.Errorf("what is lifted is %v, want a", was)
	}
	if s.now().refusedSince(time.Now()) {
		t.Error("no namespace has refused anything")
	}
	before := time.Now()
	s.keptOut()
	if now := s.now(); !now.refusedSince(before) || now.refusedSince(time.Now().Add(time.Second)) {
		t.Error("a claim before the refusal was refused, and one after it wasn't")
	}
}
