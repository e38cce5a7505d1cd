package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/test/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

// TestSmall runs every scenario in small, but for the outages, which nothing
// makes short and which test/controlplane has. What it wants are counts: times are
// the report's.
func TestSmall(t *testing.T) {
	c := cluster.Shared(t, cluster.Config{})
	o := options{
		scenarios: "abcdefgh", arrivals: 6, rate: 4, burst: 40, rounds: 1, weights: []int{20, 40}, settle: time.Second,
		cap: 4, more: 8, lost: 5, paused: 5,
		// Longer than a reservation without a kjob lives.
		watched: 25 * time.Second,
	}
	b, err := newBench(t.Context(), o, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	b.run(t.Context())
	if err := b.report.failed(); err != nil {
		t.Error(err)
	}

	var text bytes.Buffer
	if err := b.report.writeJSON(&text); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, l := range r.Lines {
		got[l.Scenario+" "+l.What] = l.Measured
	}
	for what, want := range map[string]bar{
		"a scheduled to kjob in a watch, p99":                       atLeast(1),
		"b share of the best bare loop":                             atLeast(0.1),
		"b a bare loop of 100, creates a second":                    atLeast(1),
		"c a: reserve calls a job":                                  atMost(1),
		"c b: Buildkite calls a job beyond listing and environment": atMost(0.2), // not one for each of them
		"c b: writes to jobs a kjob, Events and statuses apart":     exactly(1),
		"d RSS, idle":                                    atLeast(1),
		"d RSS, 40 kjobs":                                atLeast(1),
		"d CPU per 1,000, 40 kjobs":                      atLeast(0.01),
		"d CPU at rest, 40 kjobs":                        atMost(100),
		"e 25s after the restart":                        exactly(0),
		"e second kjobs of a job":                        exactly(0),
		"f unfinished kjobs above max-in-flight 4":       exactly(0),
		"g of 5 jobs without a second kjob":              exactly(0),
		"h kjobs created of 5 while the queue is paused": exactly(0),
	} {
		v, measured := got[what]
		if !measured {
			t.Errorf("%q was not measured; there is %s", what, text.String())
		} else if want.verdict(v) != "PASS" {
			t.Errorf("%s: %v, want %s", what, v, want)
		}
	}
	var table strings.Builder
	if err := b.report.writeTable(&table); err != nil {
		t.Fatal(err)
	}
	t.Log(table.String())
}

// TestAllOn: beside the figures there are those with traces, holds and the status page, and
// how far they are apart.
func TestAllOn(t *testing.T) {
	c := cluster.Shared(t, cluster.Config{})
	b, err := newBench(t.Context(), options{scenarios: "a", arrivals: 8, rate: 2, allOn: true}, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	b.run(t.Context())
	if err := b.report.failed(); err != nil {
		t.Error(err)
	}
	got := map[string]line{}
	for _, l := range b.report.Lines {
		got[l.Scenario+" "+l.What] = l
	}
	for _, what := range []string{"j a: answers of the status page", "j a: traces", "j a: spans of a trace"} {
		if got[what].Verdict != "PASS" {
			t.Errorf("%s: %+v", what, got[what])
		}
	}
	const p50 = "scheduled to kjob in a watch, p50"
	off, on, both := got["a "+p50], got["a+ "+p50], got["j a: "+p50+", of that with all off"]
	if off.Measured <= 0 || on.Measured <= 0 || both.Bar != "≤ 110" || both.Measured <= 0 {
		t.Errorf("%+v beside %+v: %+v", on, off, both)
	}
}

// A command that is no scheduler is told apart from a slow one.
func TestNoScheduler(t *testing.T) {
	c := cluster.Shared(t, cluster.Config{})
	o := options{scenarios: "h", paused: 1}
	b, err := newBench(t.Context(), o, c, []string{"sh", "-c", "echo no such queue: $QUEUE; exit 3"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	b.run(t.Context())
	if err := b.report.failed(); err == nil || !strings.Contains(err.Error(), "exit status 3: no such queue: default") {
		t.Errorf("the report's error is %v, want the program's own words", err)
	}
}

func TestSamples(t *testing.T) {
	hundred := make(samples, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100-i) * time.Second // 100 … 1
	}
	for _, tt := range []struct {
		name        string
		s           samples
		median, p99 time.Duration
	}{
		{"none", nil, 0, 0},
		{"one", samples{7}, 7, 7},
		{"odd", samples{3, 1, 2}, 2, 3},
		{"a hundred", hundred, 50 * time.Second, 99 * time.Second},
	} {
		if median, p99 := tt.s.at(0.5), tt.s.at(0.99); median != tt.median || p99 != tt.p99 {
			t.Errorf("%s: median %s, p99 %s; want %s, %s", tt.name, median, p99, tt.median, tt.p99)
		}
	}
	if rate := hundred.rate(); rate != 1 {
		t.Errorf("a hundred in 99 seconds are %v a second, want 1", rate)
	}
}

func TestMissed(t *testing.T) {
	var r report
	r.add("b", "no bar", 1, "", noBar, "")
	r.add("b", "met", 1, "", atMost(1), "")
	if err := r.missed(); err != nil {
		t.Errorf("all pass, and yet: %v", err)
	}
	r.add("b", "slow", 2, "s", atMost(1), "")
	r.add("a", "few", 1, "", atLeast(2), "")
	r.fail("c", "no end", errors.New("told by failed"))
	const want = "below the bar: a: few; b: slow"
	if err := r.missed(); err == nil || err.Error() != want {
		t.Errorf("missed: %v, want %q", err, want)
	}
	var table strings.Builder
	if err := r.writeTable(&table); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(table.String(), "\nagent-stack-k8s: "+peerMeasured+"\n") {
		t.Errorf("the table doesn't end in where the peer's figures come from:\n%s", table.String())
	}
}

func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		bar  bar
		v    float64
		want string
	}{
		{noBar, 1, ""},
		{atMost(2), 2, "PASS"}, {atMost(2), 2.1, "MISS"},
		{atLeast(2), 2, "PASS"}, {atLeast(2), 1.9, "MISS"},
		{exactly(0), 0, "PASS"}, {exactly(0), 1, "MISS"},
	} {
		if got := tt.bar.verdict(tt.v); got != tt.want {
			t.Errorf("%v against %q: %q, want %q", tt.v, tt.bar, got, tt.want)
		}
	}
}
