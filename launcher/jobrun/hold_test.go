package jobrun

import (
	"compress/gzip"
	"io"
	"slices"
	"strings"
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

// The log says why the runner stopped a job whose token Buildkite refused, as far as it is
// still taken; the result comes whether or not it is. A job that ended by itself, or whose
// token is refused for the end that is being reported, says nothing.
func TestLogSaysThatTheTokenWasRefused(t *testing.T) {
	for _, tt := range []struct {
		name, reason string
		ran          bool
		chunks       int // status
		want         []string
	}{
		{"stopped", "cancel", true, 200, []string{job, "chunks", "finish"}},
		{"stopped, and the log is refused", "cancel", true, 401, []string{job, "chunks", "finish"}},
		{"stopped by a signal", "agent_stop", true, 200, []string{job, "chunks", "finish"}},
		{"ended by itself", "", true, 200, []string{job, "finish"}},
		{"not run yet", "cancel", false, 200, []string{job, "finish"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &server{replies: map[string][]int{job: {401}, "chunks": {tt.chunks}}}
			client, st, _ := setup(s)
			st.update(func(r *launcher.Report) { r.Ran = tt.ran })
			if _, _, err := client.GetJobState(t.Context(), job); err == nil {
				t.Error("the token is taken")
			}
			if _, err := client.FinishJob(t.Context(), &api.Job{ID: job, ExitStatus: "-1", SignalReason: tt.reason}, nil); err != nil {
				t.Error(err)
			}
			if got := st.snapshot(); !slices.Equal(s.calls, tt.want) || !got.Finish.Delivered || got.TokenRefused != tt.ran {
				t.Errorf("calls %q, want %q; %+v", s.calls, tt.want, got)
			}
			if at := slices.Index(s.calls, "chunks"); at >= 0 && !strings.Contains(unzipped(t, s.bodies[at]), launcher.EndedWhileItRan) {
				t.Errorf("the log gets %q", unzipped(t, s.bodies[at]))
			}
		})
	}
}

func unzipped(t *testing.T, body string) string {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
