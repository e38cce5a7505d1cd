package k8s

import (
	"slices"
	"strings"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// story is what became of a job's attempts, a sentence each. Each kjob takes
// that of the attempts before it along in an annotation: theirs, and their pods,
// may be gone when the whole is to be told.
type story []string

// A story has its beginning and its end; what is between them goes, so that a
// finish (stacks.MaxDetail) has room for all of it and a last sentence.
const (
	storyWidth = 200 // bytes of a sentence
	storyFirst = 4
	storyLast  = 10
	storyGap   = "…"
)

// with is the story with one more sentence.
func (s story) with(more string) story {
	s = append(slices.Clone(s), stacks.Cut(more, storyWidth))
	if len(s) > storyFirst+1+storyLast {
		s[storyFirst] = storyGap
		s = slices.Delete(s, storyFirst+1, len(s)-storyLast)
	}
	return s
}

// annotation is what parseStory reads.
func (s story) annotation() string { return strings.Join(s, "\n") }

func parseStory(annotation string) story {
	if annotation == "" {
		return nil
	}
	lines := strings.Split(annotation, "\n")
	for i := range lines {
		lines[i] = contract.Sentence(lines[i])
	}
	return lines
}

func (s story) String() string { return strings.Join(s, "; ") }

// and is the whole, with a last sentence that isn't cut.
func (s story) and(last string) string { return append(slices.Clone(s), last).String() }
