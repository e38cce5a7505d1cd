package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// samples are what was measured in turns: times in nanoseconds, or bytes.
type samples []int64

// at returns the least sample that the fraction q of all don't exceed (nearest
// rank).
func (s samples) at(q float64) int64 {
	if len(s) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(s))))
	return slices.Sorted(slices.Values(s))[max(rank, 1)-1]
}

func (s samples) least() int64  { return s.at(0) }
func (s samples) median() int64 { return s.at(0.5) }
func (s samples) p99() int64    { return s.at(0.99) }
func (s samples) most() int64   { return s.at(1) }

// report collects the figures of a run.
type report struct {
	host  string
	lines []line
	notes []string
}

type line struct {
	what, bar string
	cells     map[string]string
	// verdicts hold for each of ours whether it meets the bar.
	verdicts map[string]bool
}

func (r *report) add(what, bar string, cells map[string]string, verdicts map[string]bool) {
	r.lines = append(r.lines, line{what, bar, cells, verdicts})
}

// addTimes adds a line of one statistic over the samples of each; meets, if
// there is a bar, judges ours.
func (r *report) addTimes(what string, took map[string]samples, of func(samples) int64, bar string, meets func(time.Duration) bool) {
	cells, verdicts := map[string]string{}, map[string]bool{}
	for name, s := range took {
		d := time.Duration(of(s))
		cells[name] = fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
		if meets != nil && name != stock.name {
			verdicts[name] = meets(d)
		}
	}
	r.add(what, bar, cells, verdicts)
}

func (r *report) note(format string, a ...any) { r.notes = append(r.notes, fmt.Sprintf(format, a...)) }

// print writes the table.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n\n", r.host)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	subjects := []string{stock.name, onejob.name, onejobPID1.name}
	fmt.Fprintf(table, "measured\t%s\tthe bar\t\n", strings.Join(subjects, "\t"))
	for _, l := range r.lines {
		fmt.Fprintf(table, "%s\t", l.what)
		for _, s := range subjects {
			cell := l.cells[s]
			if cell == "" {
				cell = "–"
			}
			fmt.Fprintf(table, "%s\t", cell)
		}
		fmt.Fprintf(table, "%s\t%s\n", l.bar, l.verdict())
	}
	table.Flush() //nolint:errcheck // standard output
	fmt.Fprintln(w)
	for _, n := range r.notes {
		fmt.Fprintln(w, n)
	}
}

// missed returns an error that names each line whose bar isn't met.
func (r *report) missed() error {
	var lines []string
	for _, l := range r.lines {
		if v := l.verdict(); strings.HasPrefix(v, "MISS") {
			lines = append(lines, l.what+": "+v)
		}
	}
	if len(lines) > 0 {
		return fmt.Errorf("below the bar: %s", strings.Join(lines, "; "))
	}
	return nil
}

// verdict is PASS if all of ours meet the bar, and names those that don't.
func (l line) verdict() string {
	if len(l.verdicts) == 0 {
		return ""
	}
	var missed []string
	for _, name := range slices.Sorted(maps.Keys(l.verdicts)) {
		if !l.verdicts[name] {
			missed = append(missed, name)
		}
	}
	if len(missed) > 0 {
		return "MISS (" + strings.Join(missed, ", ") + ")"
	}
	return "PASS"
}

// host says where the figures come from.
func host() string {
	text := fmt.Sprintf("%s, %s/%s, %d CPUs", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		text += ", load " + strings.Join(strings.Fields(string(load))[:3], " ")
	}
	return text + "; all built as `make build` does"
}

func mb(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// counts writes exit codes and how often they came.
func counts(codes map[int]int) string {
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		parts = append(parts, fmt.Sprintf("%d (%d×)", code, codes[code]))
	}
	return strings.Join(parts, ", ")
}
