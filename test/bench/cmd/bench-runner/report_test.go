package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestSamples(t *testing.T) {
	hundred := make(samples, 100)
	for i := range hundred {
		hundred[i] = int64(100 - i) // 100 … 1
	}
	for _, tt := range []struct {
		name                     string
		s                        samples
		least, median, p99, most int64
	}{
		{"none", nil, 0, 0, 0, 0},
		{"one", samples{7}, 7, 7, 7, 7},
		{"odd", samples{3, 1, 2}, 1, 2, 3, 3},
		{"a hundred", hundred, 1, 50, 99, 100},
	} {
		got := [4]int64{tt.s.least(), tt.s.median(), tt.s.p99(), tt.s.most()}
		if want := [4]int64{tt.least, tt.median, tt.p99, tt.most}; got != want {
			t.Errorf("%s: least, median, p99, most = %v, want %v", tt.name, got, want)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		name     string
		verdicts map[string]bool
		want     string
	}{
		{"no bar", nil, ""},
		{"both", map[string]bool{"a": true, "b": true}, "PASS"},
		{"one not", map[string]bool{"a": true, "b": false}, "MISS (b)"},
	} {
		if got := (line{verdicts: tt.verdicts}).verdict(); got != tt.want {
			t.Errorf("%s: verdict %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestMissed(t *testing.T) {
	var r report
	r.add("size", "", nil, nil)
	r.add("start", "half", nil, map[string]bool{"a": true, "b": true})
	if err := r.missed(); err != nil {
		t.Errorf("all pass, and yet: %v", err)
	}
	r.add("memory", "3/4", nil, map[string]bool{"a": true, "b": false})
	r.add("exit", "100 ms", nil, map[string]bool{"a": false, "b": false})
	const want = "below the bar: memory: MISS (b); exit: MISS (a, b)"
	if err := r.missed(); err == nil || err.Error() != want {
		t.Errorf("missed: %v, want %q", err, want)
	}
}

// TestMemory looks at a shell and its child, as at an init and its worker.
func TestMemory(t *testing.T) {
	cmd := exec.Command("sh", "-c", "echo ready; sleep 60; :")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		pids, _ := tree(cmd.Process.Pid)
		for _, pid := range slices.Backward(pids) {
			if p, err := os.FindProcess(pid); err == nil {
				p.Kill() //nolint:errcheck // it may be gone
			}
		}
		cmd.Wait() //nolint:errcheck // killed
	}()
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	p := &process{subject: stock, cmd: cmd}
	var processes int
	for processes < 2 { // the sleep comes after the word
		var n int64
		if n, processes, err = p.memory(); err != nil && !strings.Contains(err.Error(), "no such") {
			t.Fatal(err)
		}
		if err == nil && processes == 2 && (n < 100<<10 || n > 100<<20) {
			t.Errorf("a shell and a sleep have %d bytes", n)
		}
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
	if processes != 2 {
		t.Errorf("%d processes, want 2", processes)
	}
}
