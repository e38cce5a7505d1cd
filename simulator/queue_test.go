package simulator

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestQueueForgetsWhatIsDone: a long-lived queue must not grow with the jobs
// that went through it, nor lose those that are reserved.
func TestQueueForgetsWhatIsDone(t *testing.T) {
	sim := New(Config{})
	defer sim.Close()
	b, err := sim.CreateBuild(BuildRequest{Pipeline: fmt.Appendf(nil, "steps: [{command: a, parallelism: 1000}]")})
	if err != nil {
		t.Fatal(err)
	}
	reserved := sim.jobs[b.JobIDs[0]]
	sim.setState(reserved, StateReserved, time.Now(), cause{event: "test"})
	for _, id := range b.JobIDs[1:990] {
		if err := sim.CancelJob(id); err != nil {
			t.Fatal(err)
		}
	}
	q := sim.queue("default")
	q.sweep()
	shown := sim.shown(time.Now())
	page, more := q.after(0, 5, shown)
	if len(page) != 5 || !more || page[0].id != b.JobIDs[990] {
		t.Errorf("page = %d jobs, more %v", len(page), more)
	}
	if len(q.list) != 11 {
		t.Errorf("the queue remembers %d jobs, want 11", len(q.list))
	}
	sim.setState(reserved, StateScheduled, time.Now(), cause{event: "test"})
	if page, _ := q.after(0, 1, sim.shown(time.Now())); len(page) != 1 || page[0] != reserved {
		t.Error("a job whose reservation ended lost its place")
	}
	if page, _ := q.after(page[4].order, 100, sim.shown(time.Now())); len(page) != 5 {
		t.Errorf("behind the cursor: %d jobs, want 5", len(page))
	}
}

func TestQueueKey(t *testing.T) {
	for _, name := range []string{"", "_default", "__default__", "default"} {
		if got := queueKey(name); got != "default" {
			t.Errorf("queueKey(%q) = %q, want default", name, got)
		}
	}
}

func TestRequestRing(t *testing.T) {
	var l requestLog
	l.init(3)
	for i := range uint64(5) {
		l.add(Request{Seq: i, Endpoint: "e", Status: 200}, 3)
	}
	s := &Simulator{requests: l}
	var got []uint64
	for _, r := range s.Requests() {
		got = append(got, r.Seq)
	}
	if want := []uint64{2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("remembered %v, want %v", got, want)
	}
	if n := s.Count("e"); n != 5 {
		t.Errorf("counted %d, want 5", n)
	}
}

func TestGlobMatch(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"", "x", true},
		{"*", "a/b/c", true},
		{"a/*", "a/b/c", true},
		{"*.txt", "a/b.txt", true},
		{"a*c", "abc", true},
		{"a*c", "abd", false},
		{"b*", "abc", false},
		{"*a*", "bab", true},
		{"abc", "abcd", false},
		{"a?c", "abc", true},
	}
	for _, tt := range tests {
		if got := globMatch(tt.pattern, tt.name); got != tt.want {
			t.Errorf("globMatch(%q, %q) = %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}

// A rule without a value, and one with *, is satisfied by any value of its key.
func TestSatisfies(t *testing.T) {
	tags := []string{"os=linux", "gpu=a100"}
	for _, tt := range []struct {
		rules []string
		want  bool
	}{
		{nil, true},
		{[]string{"queue=default", "os=linux"}, true},
		{[]string{"gpu=*", "os=linux"}, true},
		{[]string{"gpu="}, true},
		{[]string{"gpu"}, false},
		{[]string{"gpu=t4"}, false},
		{[]string{"os=linux", "arch="}, false},
	} {
		if got := satisfies(tags, tt.rules); got != tt.want {
			t.Errorf("satisfies(%q, %q) = %t, want %t", tags, tt.rules, got, tt.want)
		}
	}
}
