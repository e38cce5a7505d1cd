package scheduler

import (
	"log/slog"
	"testing"

	"k8s.io/client-go/kubernetes/fake"

	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// A worker that waited for Buildkite may carry out what was decided before another
// attempt was made, and what is more, before somebody deleted that: its name is free,
// and it isn't made again.
func TestRetryOfAnAttemptThatWasMade(t *testing.T) {
	store, err := cache.New(fake.NewSimpleClientset(), slog.New(slog.DiscardHandler), namespace, "", cache.Handlers{}, &kube.Breaker{}, new(kube.Skew).Of) //nolint:staticcheck // as in the world
	if err != nil {
		t.Fatal(err)
	}
	for attempts, want := range map[int]bool{1: true, 2: false} {
		q := newQueue(New(Options{}), &settings{Queue: config.Queue{Name: "default"}}, store, nil, nil)
		q.claims.state(someJob).made(attempts)
		q.claims.retry(someJob, decide.Decision{Action: decide.Attempt, Reason: decide.ReasonLost}, decide.Facts{Attempt: 1})
		if _, waits := q.claims.retries[someJob]; waits != want {
			t.Errorf("attempt 2 is to be made, with %d made: %t, want %t", attempts, waits, want)
		}
		q.work.ShutDown()
	}
}
