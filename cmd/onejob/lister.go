package main

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/operate"
)

const (
	// listAgain and listAtMost bound the wait after a list that has failed.
	listAgain, listAtMost = time.Second, 15 * time.Second
	// pardon is how long after a good list a refusal is retried: an API server that has
	// just started refuses requests that it will allow later.
	pardon = time.Minute
)

// lister lists kjobs for a command that goes on showing them.
type lister struct {
	list func(context.Context) ([]operate.Row, error)
	say  func(string)
	good time.Time // when the last good list came
}

// next returns the next good list. It reports a failure and retries, however long the
// API server is away. It returns an error only if we have no right to list, or if ctx
// ends.
func (l *lister) next(ctx context.Context) ([]operate.Row, error) {
	for n := 0; ; n++ {
		rows, err := l.list(ctx)
		switch refused := apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err); {
		case err == nil:
			l.good = time.Now()
			return rows, nil
		case ctx.Err() != nil, refused && time.Since(l.good) > pardon:
			return nil, err
		case n == 0:
			l.say(fmt.Sprintf("%s; retrying until it succeeds", err))
		}
		if !jitter.Sleep(ctx, jitter.AtLeast(jitter.Doubled(listAgain, listAtMost, n))) {
			return nil, ctx.Err()
		}
	}
}
