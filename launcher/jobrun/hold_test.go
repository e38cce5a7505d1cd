package jobrun

import (
	"slices"
	"testing"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/launcher"
)

// The log says that the container stays before the finish closes it; the result comes
// whether or not the text did.
func TestLogSaysThatTheContainerStays(t *testing.T) {
	for _, tt := range []struct {
		name, exit, reason string
		chunks             int // status
		want               []string
	}{
		{"failed", "3", "", 200, []string{"chunks", "finish"}},
		{"failed, and the log is refused", "3", "", 413, []string{"chunks", "finish"}},
		{"passed", "0", "", 200, []string{"finish"}},
		{"cancelled", "-1", "cancel", 200, []string{"finish"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &server{replies: map[string][]int{"chunks": {tt.chunks}}}
			client, tr, _ := setupTransport(s)
			tr.hold = launcher.Hold{Most: time.Hour, Asked: time.Minute}
			if _, err := client.FinishJob(t.Context(), &api.Job{ID: job, ExitStatus: tt.exit, SignalReason: tt.reason}, nil); err != nil {
				t.Error(err)
			}
			if !slices.Equal(s.calls, tt.want) || !tr.state.snapshot().Finish.Delivered {
				t.Errorf("calls %q, want %q; %+v", s.calls, tt.want, tr.state.snapshot().Finish)
			}
		})
	}
}
