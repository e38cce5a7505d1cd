package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// maxStories bounds the stories in a report: the first ones usually tell all.
const maxStories = 3

// Report is what a run came to.
type Report struct {
	Judgement
	Seed           uint64
	Jobs, Attempts int
	Took           time.Duration
	Injuries       map[string]int // by name
	Stories        []string
	// Logs is a folder with the logs of all pods there were, if it was kept.
	Logs string
}

// Passed reports whether all holds that must.
func (r *Report) Passed() bool { return len(r.Problems) == 0 }

func (r *Report) String() string {
	var b strings.Builder
	table := func(title string, counts map[string]int) {
		total := 0
		for _, n := range counts {
			total += n
		}
		fmt.Fprintf(&b, "%s: %d\n", title, total)
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(&b, "  %5d  %s\n", counts[name], name)
		}
	}
	fmt.Fprintf(&b, "seed %d, %s\n", r.Seed, r.Took.Round(time.Second))
	table("injuries", r.Injuries)
	table("jobs", r.Ended)
	fmt.Fprintf(&b, "attempts: %d\n", r.Attempts)
	fmt.Fprintf(&b, "longest wait beyond the injuries: %s\n", r.Longest.Round(100*time.Millisecond))
	fmt.Fprintf(&b, "problems: %d\n", len(r.Problems))
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "  %s  %s\n", p.JobID, p.Text)
	}
	for _, story := range r.Stories {
		b.WriteString("\n" + story)
	}
	if !r.Passed() && r.Logs != "" {
		fmt.Fprintf(&b, "\nthe pods' logs are in %s\n", r.Logs)
	}
	return b.String()
}
