package decide

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// Past is the end of one attempt. Reason is for decisions, Text for people. A line of
// an older release has only its text.
type Past struct {
	Reason  Reason
	Attempt int
	// At is when the attempt ended.
	At   time.Time
	Text string
}

// Reacquired is the reason of an attempt after which a person asked for the next one.
const Reacquired Reason = "reacquired"

// History is the ends of a job's attempts. Each kjob has the history of the attempts
// before it in an annotation, because their kjobs and pods may be gone when the history
// is needed.
type History []Past

// A long history keeps its beginning and its end, so that it fits into a finish
// (stacks.MaxDetail) together with a last sentence.
const (
	storyWidth = 200 // bytes of a sentence
	StoryFirst = 4
	StoryLast  = 10
	StoryGap   = "…"
)

// leftOut is the reason of a gap in which attempts are that don't count for the cap:
// its number is how many.
const leftOut Reason = "left_out"

// With is the history with one more attempt.
func (s History) With(p Past) History {
	p.Text = contract.Line(p.Text, storyWidth)
	s = append(slices.Clone(s), p)
	if end := len(s) - StoryLast; end > StoryFirst+1 {
		gap := Past{Text: StoryGap}
		if free := s[StoryFirst:end].free(); free > 0 {
			gap.Reason, gap.Attempt, gap.At = leftOut, free, s[end-1].At
		}
		s[StoryFirst] = gap
		s = slices.Delete(s, StoryFirst+1, end)
	}
	return s
}

// had: an attempt ended for that reason.
func (s History) had(r Reason) bool {
	return slices.ContainsFunc(s, func(p Past) bool { return p.Reason == r })
}

// free are the attempts that don't count for the cap, because Kubernetes or Buildkite
// took them back before they had begun: nothing about them had failed.
func (s History) free() (n int) {
	for _, p := range s {
		switch {
		case p.Reason == leftOut:
			n += p.Attempt
		case takenBack(p.Reason):
			n++
		}
	}
	return n
}

// takenBack: Buildkite held the job back again, or somebody who decides what may run,
// such as Kueue, suspended its kjob, and the runner didn't have the job.
func takenBack(r Reason) bool { return r == ReasonNotYet || r == ReasonSuspended }

// Annotation is what ParseHistory reads: a line for each attempt, with its reason,
// its number, the time and the text, and tabs between them.
func (s History) Annotation() string {
	lines := make([]string, len(s))
	for i, p := range s {
		if lines[i] = p.Text; p.Reason != "" {
			lines[i] = fmt.Sprintf("%s\t%d\t%s\t%s", p.Reason, p.Attempt, p.At.UTC().Format(time.RFC3339), p.Text)
		}
	}
	return strings.Join(lines, "\n")
}

// ParseHistory reads what History.Annotation wrote, and the lines without codes of
// the release before.
func ParseHistory(annotation string) (s History) {
	if annotation == "" {
		return nil
	}
	for line := range strings.SplitSeq(annotation, "\n") {
		s = append(s, parsePast(line))
	}
	return s
}

// parsePast reads a line. A line that doesn't begin with codes is all text.
func parsePast(line string) Past {
	all := Past{Text: contract.Sentence(line)}
	fields := strings.SplitN(line, "\t", 4)
	if len(fields) < 4 || fields[0] == "" {
		return all
	}
	attempt, notNumber := strconv.Atoi(fields[1])
	at, notTime := time.Parse(time.RFC3339, fields[2])
	if notNumber != nil || notTime != nil {
		return all
	}
	return Past{Reason: Reason(contract.Word(fields[0])), Attempt: attempt, At: at, Text: contract.Sentence(fields[3])}
}

func (s History) String() string {
	texts := make([]string, len(s))
	for i, p := range s {
		texts[i] = p.Text
	}
	return strings.Join(texts, "; ")
}

// and is the whole history and a last sentence that isn't cut.
func (s History) and(last string) string { return append(slices.Clone(s), Past{Text: last}).String() }
