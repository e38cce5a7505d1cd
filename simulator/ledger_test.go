package simulator

import (
	"testing"
	"time"
)

// The ledger must catch the simulator itself doing wrong, so it is fed with
// transitions that the simulator never makes.
func TestLedgerCatches(t *testing.T) {
	type step struct {
		to    JobState
		agent string
	}
	tests := []struct {
		name  string
		steps []step
		want  string
	}{
		{"all well", []step{{StateScheduled, ""}, {StateReserved, ""}, {StateScheduled, ""}, {StateAccepted, "a"}, {StateRunning, "a"}, {StateFinished, "a"}}, ""},
		{"acquired twice", []step{{StateScheduled, ""}, {StateAccepted, "a"}, {StateAccepted, "b"}}, AcquiredTwice},
		{"started twice", []step{{StateScheduled, ""}, {StateAccepted, "a"}, {StateRunning, "a"}, {StateRunning, "b"}}, StartedTwice},
		{"finished twice", []step{{StateScheduled, ""}, {StateAccepted, "a"}, {StateRunning, "a"}, {StateFinished, "a"}, {StateFinished, "b"}}, FinishedTwice},
		{"run from nowhere", []step{{StateScheduled, ""}, {StateRunning, "a"}}, ImpossibleStep},
		{"back to life", []step{{StateScheduled, ""}, {StateCanceled, ""}, {StateScheduled, ""}}, ImpossibleStep},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := ledger{books: map[string]*book{}}
			for _, step := range tt.steps {
				l.transition(time.Now(), "job", step.to, cause{event: "test", agentID: step.agent})
			}
			kinds := map[string]bool{}
			for _, v := range l.violations {
				kinds[v.Kind] = true
			}
			if tt.want == "" && len(kinds) > 0 || tt.want != "" && !kinds[tt.want] {
				t.Errorf("violations %v, want %q", l.violations, tt.want)
			}
			if len(l.entries) != len(tt.steps) {
				t.Errorf("%d entries, want %d", len(l.entries), len(tt.steps))
			}
		})
	}
}

// When a session ends, its job must end. A job that the Simulator forgot is one violation.
func TestLedgerCatchesUnsettled(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	b, err := s.CreateBuild(BuildRequest{Pipeline: []byte("steps: [{command: a}]")})
	if err != nil {
		t.Fatal(err)
	}
	j := s.jobs[b.JobIDs[0]]
	j.state, j.agent = StateRunning, &agent{state: agentLost}
	for range 2 {
		if v := s.CheckSettled(); len(v) != 1 || v[0].Kind != Unsettled || v[0].JobID != j.id {
			t.Fatalf("violations = %v, want that %s is unsettled", v, j.id)
		}
	}
}
