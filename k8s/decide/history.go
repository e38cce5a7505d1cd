package decide

import (
	"slices"
	"strings"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// History is what became of a job's attempts, a sentence each. Each kjob takes
// that of the attempts before it along in an annotation: theirs, and their pods,
// may be gone when the whole is to be told.
type History []string

// A story has its beginning and its end; what is between them goes, so that a
// finish (stacks.MaxDetail) has room for all of it and a last sentence.
const (
	storyWidth = 200 // bytes of a sentence
	StoryFirst = 4
	StoryLast  = 10
	StoryGap   = "…"
)

// With is the story with one more sentence.
func (s History) With(more string) History {
	s = append(slices.Clone(s), stacks.Cut(more, storyWidth))
	if len(s) > StoryFirst+1+StoryLast {
		s[StoryFirst] = StoryGap
		s = slices.Delete(s, StoryFirst+1, len(s)-StoryLast)
	}
	return s
}

// Annotation is what ParseHistory reads.
func (s History) Annotation() string { return strings.Join(s, "\n") }

func ParseHistory(annotation string) History {
	if annotation == "" {
		return nil
	}
	lines := strings.Split(annotation, "\n")
	for i := range lines {
		lines[i] = contract.Sentence(lines[i])
	}
	return lines
}

func (s History) String() string { return strings.Join(s, "; ") }

// and is the whole, with a last sentence that isn't cut.
func (s History) and(last string) string { return append(slices.Clone(s), last).String() }
