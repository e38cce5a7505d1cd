package scheduler

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// The Events of a kjob without a pod are read now and then, and once more before
// its job is finished for that: their words are all that its reader gets.
func TestLastWordsAreNew(t *testing.T) {
	const id = contract.SampleJobID
	for _, tt := range []struct {
		action decide.Action
		read   time.Duration // ago
		want   bool
	}{
		{decide.None, decide.WarningsEvery / 2, false},
		{decide.None, 2 * decide.WarningsEvery, true},
		{decide.Finish, decide.WarningsEvery / 2, true},
		{decide.Finish, decide.StateFresh / 2, false},
	} {
		q := newQueue(New(Options{}), &settings{Queue: config.Queue{Name: "default"}}, &cache.Store{Connection: cache.NewConnection(slog.New(slog.DiscardHandler), &kube.Breaker{})}, nil, nil)
		now := time.Now()
		f := decide.Facts{Now: now, KJob: decide.KJob{Exists: true, CreatedAt: now.Add(-time.Hour)}, Heard: decide.Heard{EventsAt: now.Add(-tt.read)}}
		q.claims.state(id).Hear("", f.Heard)
		if got := q.wantsWarnings(id, decide.Decision{Action: tt.action, Reason: decide.ReasonNoPod}, f); got != tt.want {
			t.Errorf("%s, read %s ago: reads again: %t, want %t", tt.action, tt.read, got, tt.want)
		}
		q.work.ShutDown()
	}
}

// Reading once more what was read before leaves room for what never was.
func TestFirstReadsComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEventReads()
		again, first := 0, 0
		for range 600 {
			for range 10 {
				if r.may(false, true) {
					again++
				}
			}
			if time.Sleep(100 * time.Millisecond); r.may(false, false) {
				first++
			}
		}
		if first < 60*warningsPerSecond/2 || again+first > 60*warningsPerSecond+warningsPerSecond {
			t.Errorf("in a minute %d were read again, and %d for the first time", again, first)
		}
	})
}
