package stacks

import (
	"context"
	"errors"
	"slices"
)

// Told is what became of texts that were sent aside.
type Told struct {
	Taken int
	// Refused were refused one by one: by their index, or alone in a call.
	Refused int
	// Err is the last failure, nil if there was none.
	Err error
}

// NotifyAside sends texts that nobody needs, in calls of their own: a Notifier's texts never
// wait for these, not even while these fail. No text is sent again once it was refused alone.
// A call to which Buildkite answers with an error is halved, because one text may be the
// cause, down to single texts. It ends early when nobody answers, when the token is
// refused, and when most texts were refused alone before any was taken: then Buildkite
// takes none of their kind.
func (c *Client) NotifyAside(ctx context.Context, ns []Notification, most int) (told Told) {
	alone := false // the last call was for a single text
	for left := [][]Notification{ns}; len(left) > 0 && (told.Taken > 0 || told.Refused < most); {
		i := len(left) - 1
		if alone && told.Taken == 0 {
			i = largest(left) // neighbours may be of one build, and over
		}
		batch := left[i]
		left, alone = slices.Delete(left, i, i+1), len(batch) == 1
		refused, err := c.notify(ctx, c.aside, 1, batch)
		switch {
		case err == nil:
			told.Refused += len(refused)
			told.Taken += len(batch) - len(refused)
			continue
		case ctx.Err() != nil, nobody(err), errors.Is(err, ErrRefused) && c.CheckToken(ctx) != nil:
			told.Err = err
			return told
		case alone:
			told.Refused++
		default:
			half := len(batch) / 2
			left = append(left, batch[half:], batch[:half])
		}
		told.Err = err
	}
	return told
}

// nobody: neither Buildkite nor something in between, which may dislike a text, has answered.
func nobody(err error) bool {
	var e *Error
	between := errors.As(err, &e) && e.Between
	return unanswered(err) && !between
}

func largest(of [][]Notification) (at int) {
	for i, ns := range of {
		if len(ns) > len(of[at]) {
			at = i
		}
	}
	return at
}
