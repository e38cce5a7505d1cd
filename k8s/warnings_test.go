package k8s

import (
	"log/slog"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// The Events of a kjob without a pod are read now and then, and once more before
// its job is finished for that: their words are all that its reader gets.
func TestLastWordsAreNew(t *testing.T) {
	const id = contract.JobID("01a20178-40c6-7700-b66b-9921d0c7c6a5")
	for _, tt := range []struct {
		action Action
		read   time.Duration // ago
		want   bool
	}{
		{None, warningsEvery / 2, false},
		{None, 2 * warningsEvery, true},
		{Finish, warningsEvery / 2, true},
		{Finish, stateFresh / 2, false},
	} {
		q := newQueue(New(Options{}), &settings{Queue: Queue{Name: "default"}}, &store{link: newLink(slog.New(slog.DiscardHandler), &brake{})}, nil, nil)
		now := time.Now()
		f := Facts{Now: now, KJob: KJob{Exists: true, CreatedAt: now.Add(-time.Hour)}, Heard: Heard{EventsAt: now.Add(-tt.read)}}
		q.memo(id).heard = f.Heard
		if got := q.wantsWarnings(id, Decision{Action: tt.action, Reason: ReasonNoPod}, f); got != tt.want {
			t.Errorf("%s, read %s ago: reads again: %t, want %t", tt.action, tt.read, got, tt.want)
		}
		q.work.ShutDown()
	}
}
