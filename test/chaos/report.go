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
	Injuries       map[string]int // by name, with missed for those that struck nobody
	Stories        []string
	// Logs is a folder with the logs of all pods there were, if it was kept.
	Logs string
}

// missed follows the name of an injury that struck nobody.
const missed = " (missed)"

// spared says where a run proves nothing: what was tried three times is meant to
// strike.
func spared(injuries map[string]int) (all []Problem) {
	struck := 0
	for _, name := range slices.Sorted(maps.Keys(injuries)) {
		kind, isMissed := strings.CutSuffix(name, missed)
		switch {
		case !isMissed:
			struck += injuries[name]
		case injuries[name] >= 3 && injuries[kind] == 0:
			all = append(all, Problem{Text: fmt.Sprintf("%s: tried %d times, and it never struck", kind, injuries[name])})
		}
	}
	if struck == 0 {
		all = append(all, Problem{Text: "nothing was hurt"})
	}
	return all
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
