package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/onejob-dev/onejob/simulator"
)

// row is one job on the board.
type row struct{ id, label, state, runner, result string }

// board shows the jobs: a table that redraws itself on a terminal, a line for
// each change elsewhere.
type board struct {
	out      io.Writer
	terminal bool
	begin    time.Time
	lines    int               // of the table that stands there
	seen     map[string]string // what was last said of a job, by ID
}

func newBoard(out io.Writer) *board {
	f, ok := out.(*os.File)
	return &board{out: out, terminal: ok && term.IsTerminal(int(f.Fd())), begin: time.Now(), seen: map[string]string{}}
}

func (b *board) show(rows []row) {
	if !b.terminal {
		for _, r := range rows {
			if line := strings.TrimRight(fmt.Sprintf("%-29s %-17s %s", r.label, r.state, r.result), " "); b.seen[r.id] != line {
				b.seen[r.id] = line
				fmt.Fprintf(b.out, "%5.1fs  %s  %s\n", time.Since(b.begin).Seconds(), r.id[len(r.id)-8:], line)
			}
		}
		return
	}
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "JOB\tSTEP\tBUILDKITE\tRUNNER\tRESULT")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.id[len(r.id)-8:], r.label, r.state, r.runner, r.result)
	}
	w.Flush() //nolint:errcheck // a Buffer takes everything
	if b.lines > 0 {
		fmt.Fprintf(b.out, "\x1b[%dA\x1b[J", b.lines)
	}
	b.lines = strings.Count(table.String(), "\n")
	io.WriteString(b.out, paint(table.String())) //nolint:errcheck // a terminal that is gone shows nothing
}

// paint colours the words that matter. It works on whole lines, after the
// columns are set, so that escapes don't count as width.
func paint(table string) string {
	return strings.NewReplacer(
		" passed", " \x1b[32mpassed\x1b[0m", " failed", " \x1b[31mfailed\x1b[0m",
		" canceled", " \x1b[33mcanceled\x1b[0m", " running", " \x1b[36mrunning\x1b[0m",
	).Replace(table)
}

// jobRow is what Buildkite knows of a job.
func jobRow(job simulator.Job) row {
	r := row{id: job.ID, label: job.Label, state: string(job.State)}
	if job.RetriesCount > 0 {
		r.label += fmt.Sprintf(" (try %d)", job.RetriesCount+1)
	}
	switch {
	case job.Note != "":
		r.result = job.Note
	case job.Passed:
		r.result = "passed"
	case job.ExitStatus != "":
		r.result = strings.TrimSpace("failed with " + job.ExitStatus + " " + job.Signal + " " + job.SignalReason)
	}
	return r
}

// stepRows are those of block steps, which have no job.
func stepRows(sim *simulator.Simulator) []row {
	var rows []row
	for _, b := range sim.Builds() {
		for _, step := range b.Steps {
			r := row{id: step.ID, label: step.Label, state: strings.ReplaceAll(step.State, "waiting_for_dependencies", "waiting")}
			if step.State == "finished" {
				r.result = step.Outcome
			}
			rows = append(rows, r)
		}
	}
	return rows
}
