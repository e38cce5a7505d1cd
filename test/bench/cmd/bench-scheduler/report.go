package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// report collects what was measured.
type report struct {
	Subject string `json:"subject"`
	Host    string `json:"host"`
	Lines   []line `json:"lines"`

	mark string // of the scenario's letter in what is added
}

// line is one figure beside its bar and, where it has been measured, that of
// agent-stack-k8s: its defaults, and tuned (1,000 queries a second, 100
// workers).
type line struct {
	Scenario string  `json:"scenario"`
	What     string  `json:"what"`
	Measured float64 `json:"measured"`
	Unit     string  `json:"unit,omitempty"`
	Bar      string  `json:"bar,omitempty"`
	Verdict  string  `json:"verdict,omitempty"`
	Peer     string  `json:"agent_stack_k8s,omitempty"`
	// Error is why there is no figure.
	Error string `json:"error,omitempty"`
}

// bar is what a figure is held against.
type bar struct {
	sign  string
	limit float64
}

var noBar bar

func atMost(limit float64) bar  { return bar{"≤", limit} }
func atLeast(limit float64) bar { return bar{"≥", limit} }
func exactly(limit float64) bar { return bar{"=", limit} }

func (b bar) verdict(v float64) string {
	switch {
	case b.sign == "":
		return ""
	case b.sign == "≤" && v <= b.limit, b.sign == "≥" && v >= b.limit, b.sign == "=" && v == b.limit:
		return "PASS"
	}
	return "MISS"
}

func (b bar) String() string {
	if b.sign == "" {
		return ""
	}
	return b.sign + " " + strconv.FormatFloat(b.limit, 'f', -1, 64)
}

func newReport(argv []string) *report {
	r := &report{Subject: "onejob of this checkout", Host: fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}
	if len(argv) > 0 {
		r.Subject = filepath.Base(argv[0]) + " " + strings.Join(argv[1:], " ")
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		r.Host += ", load at the start " + strings.Join(strings.Fields(string(load))[:3], " ")
	}
	return r
}

func (r *report) add(scenario, what string, measured float64, unit string, b bar, peer string) {
	r.Lines = append(r.Lines, line{Scenario: scenario + r.mark, What: what, Measured: measured, Unit: unit, Bar: b.String(), Verdict: b.verdict(measured), Peer: peer})
}

// fail notes that a scenario came to no end.
func (r *report) fail(scenario, what string, err error) {
	r.Lines = append(r.Lines, line{Scenario: scenario + r.mark, What: what, Verdict: "MISS", Error: err.Error()})
}

// failed is an error if a scenario came to no end.
func (r *report) failed() error {
	var errs []error
	for _, l := range r.Lines {
		if l.Error != "" {
			errs = append(errs, fmt.Errorf("%s: %s: %s", l.Scenario, l.What, l.Error))
		}
	}
	return errors.Join(errs...)
}

// missed is an error that names each figure whose bar isn't met.
func (r *report) missed() error {
	var lines []string
	for _, l := range r.sorted() {
		if l.Error == "" && l.Verdict == "MISS" {
			lines = append(lines, fmt.Sprintf("%s: %s", l.Scenario, l.What))
		}
	}
	if len(lines) > 0 {
		return fmt.Errorf("below the bar: %s", strings.Join(lines, "; "))
	}
	return nil
}

func (r *report) sorted() []line {
	return slices.SortedStableFunc(slices.Values(r.Lines), func(a, b line) int { return cmp.Compare(a.Scenario, b.Scenario) })
}

func (r *report) writeJSON(w io.Writer) error {
	r.Lines = r.sorted()
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

func (r *report) writeTable(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "\n%s\n%s\n\n", r.Subject, r.Host); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\t\tmeasured\tbar\t\tagent-stack-k8s")
	for _, l := range r.sorted() {
		figure := strconv.FormatFloat(l.Measured, 'f', digits(l.Measured), 64)
		if l.Error != "" {
			figure = "none, see below"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Scenario, l.What, strings.TrimSpace(figure+" "+l.Unit), l.Bar, l.Verdict, l.Peer)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\nagent-stack-k8s: "+peerMeasured)
	return err
}

// peerMeasured says where the figures of agent-stack-k8s come from: they are
// literals here. -file measures it anew.
const peerMeasured = "measured before, not in this run: just after v0.47.0 (a5d56d1), on a real API server and two cores, medians of three"

// digits after the point: three figures, and none for a whole number.
func digits(v float64) int {
	switch {
	case v == float64(int64(v)), v >= 100:
		return 0
	case v >= 10:
		return 1
	case v >= 1:
		return 2
	}
	return 3
}
