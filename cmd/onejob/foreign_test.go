package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/k8s/operate"
)

// What a job, an Event or a pipeline says is never a command of the terminal's that
// shows it.
func TestForeignWordsAreNoCommands(t *testing.T) {
	const bad = "x\x1b[2J\x1b]52;c;Y3VybA==\a\u009b31m\u202e\xffy\r\nz"
	a := operate.Row{JobID: bad, KJob: bad, Pod: bad, Phase: bad, Node: bad, Reason: strings.Repeat("é", 40) + bad, Pipeline: bad, Step: bad, URL: bad, Queue: bad, CreatedAt: time.Now()}
	var out bytes.Buffer
	for _, wide := range []bool{true, false} {
		jobsTable(&out, []operate.Row{a}, wide)
	}
	tellStory(&out, operate.Story{URL: bad, State: bad, StateError: bad, Attempts: []operate.Row{a}, Lines: []operate.StoryLine{{Who: bad, What: bad}}, Now: bad, Advice: bad})
	lines := strings.Count(out.String(), "\n")
	sayTo(&out, "12:00:00  onejob-1  "+bad)
	exitCode(&out, errors.Join(errors.New(bad), errors.New("two")))
	got := out.String()
	if strings.ContainsAny(got, "\x1b\a\r\u009b\u202e") || strings.ToValidUTF8(got, "") != got {
		t.Errorf("%q", got)
	}
	if lines != 2+2+9 || !strings.HasSuffix(got, "\ntwo\n") {
		t.Errorf("%d lines of tables:\n%s", lines, got)
	}
}
