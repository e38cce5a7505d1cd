package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// samples are times that were measured.
type samples []time.Duration

// at returns the least sample that the fraction q of all don't exceed (nearest rank).
func (s samples) at(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(s))[max(int(math.Ceil(q*float64(len(s)))), 1)-1]
}

// bar is what a figure is held against.
type bar struct {
	sign  string
	limit float64
}

var noBar bar

func atMost(limit float64) bar  { return bar{"≤", limit} }
func atLeast(limit float64) bar { return bar{"≥", limit} }

func (b bar) verdict(v float64) string {
	switch {
	case b.sign == "":
		return ""
	case b.sign == "≤" && v <= b.limit, b.sign == "≥" && v >= b.limit:
		return "PASS"
	}
	return "MISS"
}

// report collects what was measured.
type report struct {
	host  string
	lines []line
	notes []string
}

type line struct {
	scenario, what, unit string
	measured             float64
	bar                  bar
}

func newReport() *report {
	return &report{host: fmt.Sprintf("%s, %d CPUs, load at the start %s", runtime.GOARCH, runtime.NumCPU(), loads())}
}

func (r *report) add(scenario, what string, measured float64, unit string, b bar) {
	r.lines = append(r.lines, line{scenario, what, unit, measured, b})
}

func (r *report) note(format string, a ...any) { r.notes = append(r.notes, fmt.Sprintf(format, a...)) }

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n\n", r.host)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\t\tmeasured\tbar\t")
	for _, l := range r.lines {
		limit := ""
		if l.bar != noBar {
			limit = l.bar.sign + " " + strconv.FormatFloat(l.bar.limit, 'f', -1, 64)
		}
		fmt.Fprintf(table, "%s\t%s\t%.2f %s\t%s\t%s\n", l.scenario, l.what, l.measured, l.unit, limit, l.bar.verdict(l.measured))
	}
	table.Flush() //nolint:errcheck // standard output
	fmt.Fprintln(w)
	for _, n := range r.notes {
		fmt.Fprintln(w, n)
	}
}

// missed is an error that names each figure whose bar isn't met.
func (r *report) missed() error {
	var lines []string
	for _, l := range r.lines {
		if l.bar.verdict(l.measured) == "MISS" {
			lines = append(lines, l.scenario+": "+strings.TrimSpace(l.what))
		}
	}
	if len(lines) > 0 {
		return fmt.Errorf("below the bar: %s", strings.Join(lines, "; "))
	}
	return nil
}
