package chaos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

// story tells all that is known of one job, in the order of time.
func (m *machine) story(id string, ledger []simulator.Entry, began time.Time) string {
	lines := m.witness.linesOf(id)
	for _, e := range ledger {
		if e.JobID != id {
			continue
		}
		what := e.Event
		if e.To != "" {
			what += fmt.Sprintf(", %s -> %s", e.From, e.To)
		}
		if e.AgentID != "" {
			what += ", agent " + e.AgentID[max(0, len(e.AgentID)-12):]
		}
		if e.Withheld {
			what += ", and the reply was lost"
		}
		if e.Detail != "" {
			what += ": " + e.Detail
		}
		lines = append(lines, line{e.Time.Add(-m.skewAt(e.Seq)), "buildkite", what})
	}
	if job, ok := m.Simulator.Job(id); ok {
		for _, n := range job.Notifications {
			lines = append(lines, line{n.At, "told", n.Detail})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "the story of job %s\n", id)
	for _, l := range lines {
		fmt.Fprintf(&b, "  %7.2fs  %-10s  %s\n", l.at.Sub(began).Seconds(), l.who, l.what)
	}
	return b.String()
}

// skewAt is how far the simulator's clock was off at an entry of the ledger.
func (m *machine) skewAt(seq uint64) (skew time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range m.jumps {
		if seq > j.after {
			skew = j.skew
		}
	}
	return skew
}

// linesOf is what was seen of a job, and what the schedulers' and its pods' logs
// say of it.
func (w *witness) linesOf(id string) []line {
	w.mu.Lock()
	lines := slices.Clone(w.lines[id])
	w.mu.Unlock()
	files, _ := filepath.Glob(filepath.Join(w.dir, "*.log"))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		who, own := "scheduler", jobOf(filepath.Base(file)) == id
		if own {
			who = "runner"
		} else if jobOf(filepath.Base(file)) != "" {
			continue
		}
		for scan := bufio.NewScanner(bytes.NewReader(data)); scan.Scan(); {
			if at, text, ok := parseLog(scan.Text()); ok && (own || strings.Contains(text, id)) {
				lines = append(lines, line{at, who, text})
			}
		}
	}
	return lines
}

// parseLog reads a line of a container's log: the time, the stream, whether the
// line is whole, and the text, of which ours is JSON.
func parseLog(s string) (at time.Time, text string, ok bool) {
	parts := strings.SplitN(s, " ", 4)
	if len(parts) < 4 {
		return time.Time{}, "", false
	}
	at, err := time.Parse(time.RFC3339Nano, parts[0])
	if err != nil {
		return time.Time{}, "", false
	}
	text = parts[3]
	var fields map[string]any
	if json.Unmarshal([]byte(text), &fields) == nil {
		words := []string{fmt.Sprint(fields["msg"])}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if !slices.Contains([]string{"time", "level", "msg", "queue"}, name) {
				words = append(words, fmt.Sprintf("%s=%v", name, fields[name]))
			}
		}
		text = strings.Join(words, " ")
	}
	return at, text, true
}
