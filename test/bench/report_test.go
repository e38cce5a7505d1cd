package bench

import (
	"flag"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

var (
	herdN    = flag.String("herd.n", "", "sizes of the herds in TestHerdReport, as 1000,10000; it is skipped without")
	herdRuns = flag.Int("herd.runs", 5, "how often each herd of TestHerdReport runs; ours with the seeds 1, 2, …")
)

// capacity is what the report's server serves in a second.
const capacity = 100

// span is the least and the most of a figure over the runs.
type span struct{ low, high float64 }

func (s span) String() string {
	if s.low == s.high {
		return strconv.FormatFloat(s.low, 'f', -1, 64)
	}
	return strconv.FormatFloat(s.low, 'f', -1, 64) + "–" + strconv.FormatFloat(s.high, 'f', -1, 64)
}

// row is one policy in one case, over all runs.
type row struct{ requests, peak, later, givenUp, last span }

func newRow(runs []figures) row {
	over := func(of func(figures) float64) span {
		s := span{of(runs[0]), of(runs[0])}
		for _, f := range runs[1:] {
			s.low, s.high = min(s.low, of(f)), max(s.high, of(f))
		}
		return s
	}
	return row{
		requests: over(func(f figures) float64 { return float64(f.Requests) }),
		peak:     over(func(f figures) float64 { return float64(f.Peak) }),
		later:    over(func(f figures) float64 { return float64(f.Later) }),
		givenUp:  over(func(f figures) float64 { return float64(f.GivenUp) }),
		last:     over(func(f figures) float64 { return f.Last.Seconds() }),
	}
}

// TestHerdReport prints what each policy does to the server in each case. It
// fails if the herd's books don't balance and, at N = 1,000, if one of our
// policies misses the bar where it doesn't have to.
func TestHerdReport(t *testing.T) {
	if *herdN == "" {
		t.Skip("it takes minutes; run it with -herd.n=1000,10000")
	}
	var sizes []int
	for field := range strings.SplitSeq(*herdN, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 || n > 1_000_000 {
			t.Fatalf("-herd.n: %q is no size of a herd", field)
		}
		sizes = append(sizes, n)
	}
	// Ten thousand stacks are slow to scan, and there is memory enough.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	for _, n := range sizes {
		report(t, n, max(1, *herdRuns))
	}
}

func report(t *testing.T, n, runs int) {
	out := t.Output()
	began := time.Now()
	fmt.Fprintf(out, "\nN = %d runners, %d acquires served a second, 429 above; %d runs (ours: seeds 1–%d; the stock jitter can't be seeded)\n\n",
		n, capacity, runs, runs)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "case\tpolicy\trequests\tmost in a second\tbut the first\tgiven up\tlast success, s")
	rows := map[string]row{}
	for _, s := range scenarios {
		for _, p := range policies {
			var all []figures
			for seed := range runs {
				all = append(all, herd(t, s, p, n, capacity, uint64(seed+1)))
			}
			r := newRow(all)
			rows[s.name+p.name] = r
			fmt.Fprintf(table, "%s\t%s\t%v\t%v\t%v\t%v\t%v\n", s.name, p.name, r.requests, r.peak, r.later, r.givenUp, r.last)
		}
	}
	table.Flush() //nolint:errcheck // a test's output
	fmt.Fprintln(out)
	for _, s := range scenarios {
		fmt.Fprintf(out, "case %-2s  %v\n", s.name, s)
	}
	fmt.Fprintf(out, "patient  --acquire-attempts %d --acquire-backoff-cap %v --acquire-jitter-max %v\n", patient.Attempts, patient.Cap, patient.JitterMax)
	fmt.Fprintf(out, "took     %v\n\n", time.Since(began).Round(100*time.Millisecond))

	if n != 1000 {
		return // the bar is set for 1,000
	}
	for _, p := range policies {
		for _, s := range scenarios {
			r := rows[s.name+p.name]
			verdict := "PASS"
			if r.givenUp.high > 0 || s.after503 > 0 && r.peak.high > capacity {
				verdict = "MISS"
				if p.reaches(s) {
					t.Errorf("case %s, %s: %v given up, at most %v in a second", s.name, p.name, r.givenUp, r.peak)
				}
			}
			bar := "none given up"
			if s.after503 > 0 {
				bar += fmt.Sprintf(", at most %d in a second", capacity)
			}
			fmt.Fprintf(out, "%s  case %-2s  %-16s %s (%v given up, at most %v in a second)\n", verdict, s.name, p.name, bar, r.givenUp, r.peak)
		}
	}
}
